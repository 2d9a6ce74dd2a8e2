"""A conversation with any model, and its tapes played where there is no network.

As a program it reads the paths of tapes, one a line, plays them, and prints what each came to as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auwgent import AuwgentError, Runtime
from tests.tape.acting import on_tape, watched, without_ids

ROOT = Path(__file__).parents[2]
LEFT = Path("asked.txt")  # what the tool leaves in the working directory
TALK = (
    ("Compare Paris and Rome", False),
    ("Think it over", False),
    ("Say hello", True),
)  # the last one whole
REACHING = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


def get_weather(city: str, days: int = 1) -> dict[str, Any]:
    """The weather of a city."""
    with LEFT.open("a") as file:
        file.write(f"{city}\n")
    return {"city": city, "degrees": len(city) + 16}


def config(**model: Any) -> dict[str, Any]:
    """An agent with that tool, and the model to be asked."""
    table = {"use": "openai/nobody", "base_url": "http://127.0.0.1:9", **model}
    agent = {"model": "main", "prompt": "You know the weather.", "tools": [get_weather]}
    return {"middleware": [], "agent": agent, "models": {"main": table}}


async def talk(one: dict[str, Any], **options: Any) -> Any:
    """What comes of the conversation, as JSON, but for ids and times: turns, system prompts and intents."""
    found, session = [], None
    async with Runtime(one) as agent:
        for question, whole in TALK:
            seen = await watched(agent, question, whole=whole, session=session, **options)
            session = seen.session
            ordered = sorted(seen.intents, key=repr)  # calls side by side end in any order
            found.append([without_ids(session), session.system_prompt, ordered])
    return json.loads(json.dumps(found))


def played_apart(tapes: Sequence[Path], folder: Path) -> list[Any]:
    """What the tapes come to in a process that is at work in `folder` and reaches nobody."""
    command = [*_apart(), sys.executable, "-m", "tests.tape.apart"]
    done = subprocess.run(
        command,
        input="\n".join(map(str, tapes)),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def _apart() -> list[str]:
    """The words in front of a command that take all interfaces from it; none where the system does not allow that."""
    for words in (["unshare", "-n"], ["unshare", "-rn"]):
        try:
            if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
                return words
        except OSError:
            continue
    return []


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in REACHING:
        raise AssertionError(f"somebody is to be reached: {event} {arguments}")


async def _play_all() -> None:
    found: list[Any] = []
    for line in sys.stdin.read().splitlines():
        try:
            found.append(await talk(on_tape(config(), Path(line))))
        except AuwgentError as error:
            found.append(f"{type(error).__name__}: {error}")
    print(json.dumps(found))


if __name__ == "__main__":
    sys.addaudithook(_refuse)
    asyncio.run(_play_all())
