"""Asks at the terminal before a tool with `approve = "ask"` runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable

from auwgent.cli.waiting import shown
from auwgent.engine.agent import ApprovalRequest
from auwgent.render.terminal import one_line, paint, wants_colour

SHOWN = 0.01  # seconds in which the intents before the question reach the screen


class Approval:
    """Asks one question at a time. `before` makes room on the screen."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self._before = before
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, request: ApprovalRequest) -> bool:
        async with self._one_at_a_time:
            await asyncio.sleep(SHOWN)
            self._before()
            waiting = shown.get()
            with waiting.hushed() if waiting is not None else contextlib.nullcontext():
                return await _ask(question(request))


def somebody_is_there() -> bool:
    """Return whether there is a terminal to ask on."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def question(request: ApprovalRequest) -> str:
    """Who wants to call what, with every argument in full: nobody can approve what is cut off."""
    args = json.dumps(request.args, ensure_ascii=False, indent=2, default=str)
    who = one_line(f"{request.agent} wants to call {request.tool}")
    shown = "\n".join(map(one_line, args.split("\n")))  # nobody can approve what is hidden
    return f"{paint(who, 'yellow', on=wants_colour(sys.stderr))}\n{shown}"


async def _ask(about: str) -> bool:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.output import create_output

    print(about, file=sys.stderr)
    session: PromptSession[str] = PromptSession(output=create_output(sys.stderr))
    with contextlib.suppress(EOFError):
        try:
            answer = await session.prompt_async("Allow it? [y/N] ")
            return answer.strip().lower() in ("y", "yes")
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)  # to whoever ends the run; here it would end the event loop
    return False
