"""A run, the log of it, and what `verify` says once somebody has changed the log."""

import asyncio
import json
import sys
from pathlib import Path

from auwgent import auwgent
from auwgent.middleware.audit import verify

LOG = Path("audit.jsonl")
overrides = [f"agent.model={model}"] if (model := "".join(sys.argv[1:])) else []


async def main() -> None:
    async with auwgent("auwgent.toml", overrides=overrides) as agent:
        await agent.run("Open an account for Ada")


asyncio.run(main())
for line in LOG.read_text().splitlines():
    record = json.loads(line)
    print(record["number"], record["event"], record.get("type", ""), record.get("args", ""))

print("in order" if verify(LOG).ok else "damaged")
LOG.write_text(LOG.read_text().replace('"ada"', '"eve"'))
found = verify(LOG)
print(f"line {found.line}: {found.problem}")
