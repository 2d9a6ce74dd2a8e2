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
    """Asks one question at a time. `before` makes room on the screen.

    A tool that was always allowed is not asked about again, for as long as this object lives.
    """

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self._before = before
        self._one_at_a_time = asyncio.Lock()
        self._always: set[tuple[str, str]] = set()  # agents and their tools

    async def __call__(self, request: ApprovalRequest) -> bool | str:
        """Return whether the call may happen; a text says why not, for the model."""
        async with self._one_at_a_time:
            if (request.agent, request.tool) in self._always:
                return True
            await asyncio.sleep(SHOWN)
            self._before()
            waiting = shown.get()
            with waiting.hushed() if waiting is not None else contextlib.nullcontext():
                typed = await _ask(question(request))
        match typed.lower():
            case "a" | "always":
                self._always.add((request.agent, request.tool))
                return True
            case "y" | "yes":
                return True
            case "" | "n" | "no":
                return False
        return typed


def somebody_is_there() -> bool:
    """Return whether there is a terminal to ask on."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def question(request: ApprovalRequest) -> str:
    """Who wants to call what, with every argument in full: nobody can approve what is cut off."""
    args = json.dumps(request.args, ensure_ascii=False, indent=2, default=str)
    who = one_line(f"{request.agent} wants to call {request.tool}")
    shown = "\n".join(map(one_line, args.split("\n")))  # nobody can approve what is hidden
    return f"{paint(who, 'yellow', on=wants_colour(sys.stderr))}\n{shown}"


async def _ask(about: str) -> str:
    """Return what was typed, without blanks around it; empty where nothing was."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.output import create_output

    print(about, file=sys.stderr)
    session: PromptSession[str] = PromptSession(output=create_output(sys.stderr))
    with contextlib.suppress(EOFError):
        try:
            return (await session.prompt_async("Allow it? [y/N], a: always, or why not: ")).strip()
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)  # to whoever ends the run; here it would end the event loop
    return ""
