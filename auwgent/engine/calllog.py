"""One DEBUG line for each model call and each tool call, by the loggers `auwgent.models` and `auwgent.tools`.

They say who, how long and how it ended. What was said is logged by `auwgent.content` alone, which is off until its
own level is set to DEBUG: that of the root logger does not turn it on.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from auwgent.engine.state import Run
from auwgent.models.base import ModelRequest, Reply
from auwgent.secrecy import scrubbed
from auwgent.session import ToolCall

models = logging.getLogger("auwgent.models")
tools = logging.getLogger("auwgent.tools")
content = logging.getLogger("auwgent.content")
if content.level == logging.NOTSET:
    content.setLevel(logging.WARNING)


def model_called(run: Run, agent: str, request: ModelRequest, reply: Reply, began: float) -> None:
    """Log a model call that was answered; `began` is the monotonic time when it was asked."""
    usage = reply.usage
    models.debug(
        "run %s, %s asked %s: %s, %d tokens in, %d out, %.3f s",
        run.run_id,
        agent,
        reply.model,
        f"{len(reply.calls)} calls" if reply.calls else "text",
        usage.input_tokens,
        usage.output_tokens,
        time.monotonic() - began,
    )
    if content.isEnabledFor(logging.DEBUG):
        turns = [
            turn.model_dump(mode="json", include={"role", "content", "tool_calls"}) for turn in request.turns
        ]
        _say(run, agent, "sent", {"system": request.system, "turns": turns})
        _say(
            run,
            agent,
            "said",
            {"text": reply.text, "calls": [[call.name, call.arguments] for call in reply.calls]},
        )


def model_failed(run: Run, agent: str, model: str, error: BaseException, began: float) -> None:
    """Log a model call that came to nothing; what the error says is not logged here."""
    models.debug(
        "run %s, %s asked %s: %s, %.3f s",
        run.run_id,
        agent,
        model,
        type(error).__name__,
        time.monotonic() - began,
    )


@contextmanager
def tool_called(run: Run, agent: str, call: ToolCall) -> Iterator[dict[str, Any]]:
    """Log a call when the block ends; the block puts its `outcome`, and its `result`, into what it is given."""
    began, end = time.monotonic(), {"outcome": "cut off", "result": None}
    try:
        yield end
    finally:
        tools.debug(
            "run %s, %s called %s (%s): %s, %.3f s",
            run.run_id,
            agent,
            call.name,
            call.id,
            end["outcome"],
            time.monotonic() - began,
        )
        if content.isEnabledFor(logging.DEBUG):
            _say(run, agent, f"call {call.name}", {"args": call.args, "result": end["result"]})


def _say(run: Run, agent: str, what: str, words: Any) -> None:
    text = json.dumps(run.final(words), ensure_ascii=False, default=str)
    content.debug("run %s, %s, %s: %s", run.run_id, agent, what, scrubbed(text))
