"""The line at the bottom of a chat: history, several lines, completion."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth

from auwgent.cli.chat import slash
from auwgent.cli.chat.talk import Talk
from auwgent.errors import AuwgentError
from auwgent.files import make_file
from auwgent.render.terminal import one_line

EXPAND = "/expand"


class Keyboard:
    """Reads what the user says. `KeyboardInterrupt` is Ctrl-C on an empty line, `EOFError` Ctrl-D."""

    def __init__(self, talk: Talk, history: Path | None) -> None:
        self._session: PromptSession[str] = PromptSession(
            history=Remembered(history, talk.note),
            multiline=True,
            key_bindings=_keys(),
            completer=_Completer(talk),
            complete_while_typing=True,
            prompt_continuation=lambda width, number, wrapped: "" if wrapped else "· ".rjust(width),
            color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None,
        )

    async def line(self) -> str:
        return await self._session.prompt_async("> ")


class Remembered(InMemoryHistory):
    """What was typed, kept in a private file for the next chat. Where the file cannot be used the chat goes on."""

    def __init__(self, path: Path | None, note: Callable[[str], None]) -> None:
        self._file = None if path is None else FileHistory(path)
        self._path, self._note = path, note
        super().__init__()

    def load_history_strings(self) -> Iterable[str]:
        if self._file is not None and self._path is not None and self._path.exists():
            try:
                return list(self._file.load_history_strings())
            except OSError as error:
                self._give_up(error)
        return []

    def store_string(self, string: str) -> None:
        if self._file is None or self._path is None:
            return
        try:
            make_file(self._path)
            self._file.store_string(string)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._file = None
        self._note(f"What is typed is not remembered: {self._path}: {error.strerror or error}")


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.current_line_before_cursor.endswith("\\") and buffer.document.is_cursor_at_the_end:
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def another_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def clear_or_leave(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt)

    @keys.add("c-o")
    def expand(event: KeyPressEvent) -> None:
        event.current_buffer.text = EXPAND
        event.current_buffer.validate_and_handle()

    return keys


class _Completer(Completer):
    """Completes commands, and the words that may follow them."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        return ()  # a prompt that waits in an event loop asks for the others

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, space, argument = text[1:].partition(" ")
        if not space:
            for command in slash.COMMANDS:
                if command.name.startswith(name):
                    yield Completion(command.name, -len(name), display_meta=command.help)
            return
        choices = next((command.choices for command in slash.COMMANDS if command.name == name), None)
        if choices is None:
            return
        with contextlib.suppress(AuwgentError):  # whatever goes wrong, there is just nothing to complete
            for choice in dict.fromkeys(await choices(self._talk, argument)):
                if choice.startswith(argument):
                    yield Completion(choice, -len(argument), display=one_line(choice))
