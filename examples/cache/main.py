"""Two sessions that begin with the same words: the second costs nothing."""

import asyncio
import sys

from auwgent import auwgent

overrides = [f"agent.model={model}"] if (model := "".join(sys.argv[1:])) else []


async def main() -> None:
    async with auwgent("auwgent.toml", overrides=overrides) as agent:
        for question in ("What is a cat?", "What is a cat?", "What is a dog?"):
            usage = (session := await agent.run(question)).turns[-1].usage
            print(f"{session.text} ({usage.output_tokens if usage else 0} tokens)")


asyncio.run(main())
