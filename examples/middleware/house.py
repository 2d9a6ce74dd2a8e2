"""Two middlewares and a tool. No base class is needed: a middleware is any class with some of the hooks."""

from pathlib import Path
from typing import Any


class Lifecycle:
    """Writes every hook to a file as it fires."""

    folder: Path | None = None  # the runtime sets it to the folder of the config file

    def __init__(self, path: str) -> None:
        self.path = path

    def open(self) -> None:
        self.file = Path(self.folder or ".", self.path).open("a", encoding="utf-8")  # noqa: SIM115 - until close()

    def close(self) -> None:
        self.file.close()

    def note(self, line: str) -> None:
        print(line, file=self.file, flush=True)

    def onRunStart(self, session: Any, ctx: Any) -> None:
        self.note(f"onRunStart      {len(session.turns)} turns so far, input {ctx.input!r}")

    def onLLMStart(self, prompt: str, ctx: Any) -> None:
        self.note(f"onLLMStart      {ctx.activeAgent} is asked: {prompt!r}")

    def onIntentPartial(self, name: str, value: dict[str, Any], ctx: Any) -> None:
        self.note(f"onIntentPartial {name} {value['delta']!r}")

    async def onIntent(self, name: str, value: dict[str, Any], ctx: Any) -> None:
        self.note(f"onIntent        {name}")

    def onLLMEnd(self, response: dict[str, Any], ctx: Any) -> None:
        self.note(f"onLLMEnd        {response}")

    def onRunComplete(self, session: Any, ctx: Any) -> None:
        self.note(f"onRunComplete   {ctx.status}, {len(session.turns)} turns")

    def onError(self, error: Exception, session: Any, ctx: Any) -> None:
        self.note(f"onError         {error}")


class Manners:
    """Adds a word to what the model is asked, in this call only: the session keeps the user's own text."""

    def __init__(self, word: str) -> None:
        self.word = word

    def onLLMStart(self, prompt: str, ctx: Any) -> str:
        return f"{prompt}, {self.word}"


def double(number: int) -> int:
    """Twice the number."""
    return number * 2
