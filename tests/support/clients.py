"""Clients of others, from npm, that tests run against a served agent: programs in tests/clients."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).parents[1] / "clients"


async def node(program: str, *args: str) -> list[Any]:
    """Run a program of tests/clients with these arguments; what it printed, a JSON value a line."""
    if shutil.which("node") is None:
        pytest.skip("there is no node")
    if not (HOME / "node_modules").is_dir():
        pytest.skip("the clients are not installed: run npm ci in tests/clients")
    process = await asyncio.create_subprocess_exec(
        "node", str(HOME / program), *args, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(120):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode()
    return [json.loads(line) for line in out.decode().splitlines()]
