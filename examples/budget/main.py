"""A user asks until the budget of the day is used up; another one still has his own."""

import asyncio
import sys

from auwgent import LimitExceeded, auwgent

overrides = [f"agent.model={model}"] if (model := "".join(sys.argv[1:])) else []


async def main() -> None:
    async with auwgent("auwgent.toml", overrides=overrides) as agent:
        for user in ("ada", "ada", "ada", "eve"):
            try:
                session = await agent.run("Hi", user_id=user)
                print(f"{user}: {session.text}")
            except LimitExceeded as error:
                print(f"{user}: {error.key}: {error}")


asyncio.run(main())
