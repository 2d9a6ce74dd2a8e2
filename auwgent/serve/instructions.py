"""The callers' system messages: left out, added to the agent's prompt, or refused, as the config says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auwgent.config import ServeConfig
from auwgent.hooks.context import Context, Middleware
from auwgent.serve.faults import bad_request

KEY = "callerInstructions"  # of the context value that carries them to the run's later legs


class Instructions(Middleware):
    """Adds a caller's instructions to the prompt of the agent that answers the caller."""

    def onLLMStart(self, prompt: str, ctx: Context) -> None:
        words = ctx.get(KEY)
        if words and len(ctx.stack) == 1:
            ctx.systemPrompt = f"{ctx.systemPrompt}\n\n{words}" if ctx.systemPrompt else words


def context_of(config: ServeConfig, messages: Sequence[str], param: str) -> dict[str, Any]:
    """Return the context values that carry the callers' system messages, if any are to be heard."""
    words = "\n\n".join(one for one in messages if one.strip())
    if not words or config.instructions == "ignore":
        return {}
    if config.instructions == "refuse":
        raise bad_request(
            "this server takes no system messages: `instructions` in its [serve] says so", param
        )
    return {KEY: words}
