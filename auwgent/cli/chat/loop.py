"""The loop of a chat: read a line, obey it or say it to the agent, until the user leaves."""

from __future__ import annotations

import asyncio
import sys

from rich.console import Console

from auwgent.cli.chat.keyboard import Keyboard
from auwgent.cli.chat.slash import obey
from auwgent.cli.chat.talk import Talk
from auwgent.cli.interrupt import ENDS, interruptible
from auwgent.cli.request import CommandLine
from auwgent.keystore import data_folder
from auwgent.render.terminal import one_line


def chat(request: CommandLine) -> int:
    """Chat until the user leaves; gives the exit code."""
    return asyncio.run(interruptible(_chat(Talk(request, Console(highlight=False))), ENDS))


async def _chat(talk: Talk) -> None:
    await talk.begin()
    try:
        await _converse(talk)
    finally:
        await talk.end()


async def _converse(talk: Talk) -> None:
    kept = data_folder() if talk.request.no_config else talk.agent.config.folder / ".auwgent"
    history = kept / "history" if talk.agent.store else None
    keyboard = Keyboard(talk, history)
    talk.note(f"{talk.agent.config.agent.name} on {talk.model}. /help lists the commands, Ctrl-D leaves.")
    while not talk.leaves:
        await talk.ask_open()
        try:
            text = (await keyboard.line()).strip()
        except (EOFError, KeyboardInterrupt):
            break
        if not text:
            continue
        if text.startswith("/") and not text.startswith("//"):
            await obey(talk, text)
        else:
            await talk.say(text.removeprefix("/"))
        talk.console.print()
    if talk.agent.store and talk.session:
        print(one_line(f"session: {talk.session.id}"), file=sys.stderr)
