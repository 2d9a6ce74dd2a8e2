"""One contestant in a process of its own: does an operation as often as it is told, and says what that took.

`python worker.py MODULE NAME MODEL URL`; then each line on standard input is a count, and each line on standard
output the CPU seconds that so many operations took. MODULE's `CONTESTANTS` maps names to functions that take
the model and the provider's URL and return an operation.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Operation = Callable[[], Awaitable[Any]]


def contestant(module: str, name: str) -> Callable[[str, str], Awaitable[Operation]]:
    """The function of that name in a module beside this one."""
    spec = importlib.util.spec_from_file_location(module, Path(__file__).with_name(f"{module}.py"))
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    made: Callable[[str, str], Awaitable[Operation]] = loaded.CONTESTANTS[name]
    return made


async def main(module: str, name: str, model: str, url: str) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # some print banners
        operation = await contestant(module, name)(model, url)
        await operation()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        began = time.process_time()
        for _ in range(int(line)):
            await operation()
        print(time.process_time() - began, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
