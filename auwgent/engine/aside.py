"""Model calls of middleware, beside the conversation: counted, limited, redacted, judged and traced like an agent's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from auwgent.engine import calllog
from auwgent.engine.failures import no_answer
from auwgent.engine.state import Run
from auwgent.hooks.answers import Failure, PromptText
from auwgent.hooks.context import AgentState, Context, Embed
from auwgent.hooks.metering import ASKING
from auwgent.models.base import ModelRequest, ModelSpec, Reply, Route
from auwgent.models.embedding import Embedder
from auwgent.models.faults import ended
from auwgent.models.resilience import ask as ask_model
from auwgent.session import Turn


async def ask_aside(run: Run, agent: AgentState, prompt: str, model: str | None, system: str) -> str:
    """Ask a model for a middleware. What it says is shown to nobody and stands in no turn.

    Middleware that hears of `asides` is told before and after; `ctx.aside` names who asks. One that sets
    `ctx.modelReply` behind the call replaces what was said, and how it ended.
    """
    run.count_call()
    route = run.services.models.get(model or run.services.agents[agent.active].model)
    said, spec = Turn(role="user", content=run.final(prompt), agent=agent.active), route.spec
    aside = _beside(agent, spec, system=system, messages=[said])
    ctx = Context(run, aside)
    await run.chain.fire("onLLMStart", ctx, PromptText(said.text), who="asides")
    request = ModelRequest(system=system, turns=[said], stream=False, purse=run.paying(Context(run, agent)))
    try:
        began = time.monotonic()
        try:
            reply = await _whole_answer(route, request)
        except BaseException as error:
            calllog.model_failed(run, f"{agent.active} ({aside.aside})", spec.name, error, began)
            raise
        calllog.model_called(run, f"{agent.active} ({aside.aside})", request, reply, began)
        run.usage += reply.usage
        if problem := ended(spec, reply):
            raise problem
        aside.reply = replace(reply, text=run.final(reply.text))
        with aside.may_set("final"):
            await run.chain.fire("onLLMEnd", ctx, {"text": aside.reply.text}, who="asides")
        if problem := ended(spec, aside.reply):
            raise problem
    except Exception as error:
        await run.chain.fire("onError", ctx, Failure(error, run.session), who="asides")
        raise
    return aside.reply.text


async def embed_aside(run: Run, embed: Embed, agent: AgentState, texts: Sequence[str]) -> list[list[float]]:
    """Make vectors for a middleware: they count in what the run may spend. `ctx.embeds` has the texts."""
    texts = [run.final(text) for text in texts]
    if not isinstance(embed, Embedder):
        return await embed(texts)
    aside = _beside(agent, embed.spec(), embeds=texts)
    ctx = Context(run, aside)
    await run.chain.fire("onLLMStart", ctx, PromptText(""), who="asides")
    try:
        vectors, usage = await embed.paid(texts, run.paying(Context(run, agent), is_call=False))
    except Exception as error:
        await run.chain.fire("onError", ctx, Failure(error, run.session), who="asides")
        raise
    run.usage += usage
    aside.reply = Reply(model=embed.model, usage=usage)
    await run.chain.fire("onLLMEnd", ctx, {"text": ""}, who="asides")
    return vectors


def _beside(
    agent: AgentState,
    spec: ModelSpec,
    *,
    system: str = "",
    messages: Sequence[Turn] = (),
    embeds: Sequence[str] | None = None,
) -> AgentState:
    """Where a call beside the conversation stands, as hooks may see it."""
    call = {"model": spec.name, "provider": spec.provider, "url": spec.base_url, "config": dict(spec.params)}
    asker = ASKING.get() or "tool"
    return AgentState(agent.active, agent.stack, system, messages, aside=asker, embeds=embeds, call=call)


async def _whole_answer(route: Route, request: ModelRequest) -> Reply:
    async with aclosing(ask_model(route, request)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Reply):
                return piece
    raise no_answer(route.spec)
