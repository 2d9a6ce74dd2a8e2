"""Five runs on one session, each as a program of its own might make it."""

import asyncio
import sys

from auwgent import auwgent

overrides = [f"agent.model={model}"] if (model := "".join(sys.argv[1:])) else []


async def main() -> None:
    for word in ("one", "two", "three", "four", "five"):
        async with auwgent("auwgent.toml", overrides=overrides) as agent:
            await agent.run(word, session_id="counting")


asyncio.run(main())
