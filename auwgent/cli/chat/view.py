"""Runs in a chat: the answer as Markdown, each step as one quiet line, the cost below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from auwgent.cli.chat.markdown import GrowingText
from auwgent.intents import ANSWERS, Intent
from auwgent.render.money import dollars
from auwgent.render.run import RunOutcome, Teller
from auwgent.render.terminal import harmless
from auwgent.session import Usage


class View(Teller):
    """Shows one run. `steps` are kept whole, for whoever wants to see more of them."""

    def __init__(self, console: Console, speaks: Callable[[str], bool], root: str) -> None:
        super().__init__(speaks, root)
        self.steps: list[Intent] = []
        self._console = console
        self._stream = GrowingText(console)

    def show(self, intent: Intent) -> None:
        if not intent.partial and intent.name not in (*ANSWERS, "model_call"):
            self.steps.append(intent)
        super().show(intent)

    def say(self, text: str) -> None:
        self._stream.add(harmless(text))

    def pause(self) -> None:
        self._stream.end()

    def write(self, line: str) -> None:
        self._console.print(Text(harmless(line), style="dim"))

    def structured(self, response: Any) -> str:
        return fenced(super().structured(response))

    def over(self, outcome: RunOutcome) -> None:
        """How the run ended, and what it cost."""
        self.settle()
        if outcome.status == "cancelled":
            self._console.control(Control(ControlType.CARRIAGE_RETURN))  # over the ^C that was echoed
            self.note("interrupted; what was said is kept")
        elif outcome.status == "completed":
            self.note(spent(outcome.usage))


def fenced(text: str, language: str = "json") -> str:
    """Return the text as a code block of Markdown, whatever it holds."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def spent(usage: Usage) -> str:
    """Return tokens and money on one line."""
    told = f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"
    if usage.cached_tokens:
        told += f", {usage.cached_tokens:,} cached"
    if usage.estimated:
        told = f"about {told}"
    if usage.usd:
        told += f", ${dollars(usage.usd)}"
    return told
