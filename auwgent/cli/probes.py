"""Probes whether what a config names can be reached: databases, MCP servers and, on demand, models.

Nothing is created or changed. A middleware that can tell whether it would work has an async method `check`
without arguments: what it returns is shown, what it raises is a problem.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from auwgent.assembly import Parts
from auwgent.cli.inventory import InventoryItem, Report
from auwgent.cli.progress import Steps
from auwgent.config import Config
from auwgent.errors import AuwgentError
from auwgent.models.base import ModelRequest, ModelSpec, Reply
from auwgent.models.litellm import library
from auwgent.session import Turn
from auwgent.tools.mcp import McpTools
from auwgent.words import describe

SECONDS = 20.0  # that a middleware's check may take
PROMPT = "Answer with the one word OK."


class Probes:
    """Probes everything at once; each result goes into the report."""

    def __init__(self, config: Config, parts: Parts, report: Report) -> None:
        self._config, self._parts, self._report = config, parts, report
        self._progress = Steps(sys.stderr)
        self._found = {finding.key: finding for finding in report.findings if finding.kind != "key"}

    async def run(self, *, online: bool) -> None:
        """Run all probes, then close what they opened, also when cancelled."""
        work = [self._middleware(index) for index in range(len(self._parts.installed))]
        work += [self._server(name) for name in self._config.mcp]
        if online:
            work.append(self._models())
        try:
            await asyncio.gather(*work)
        finally:
            await self._parts.servers.close()
            await self._parts.catalog.aclose()

    async def _middleware(self, index: int) -> None:
        instance = self._parts.installed[index].instance
        check = _check_of(instance)
        if check is None:
            return
        found = self._found["middleware", index]
        if hasattr(instance, "schema"):  # as stores have, for `auwgent db`
            found = InventoryItem("database", found.name, found.origin, found.key)
            self._report.findings.insert(self._report.findings.index(self._found[found.key]) + 1, found)
        try:
            with self._progress.step(found.name):
                async with asyncio.timeout(SECONDS):
                    said = await check()
        except TimeoutError:
            self._fault(found, f"{found.name} did not answer within {SECONDS:g} seconds")
        except AuwgentError as error:
            self._fault(found, str(error))
        except Exception as error:  # it is the user's
            self._fault(found, f"{found.name}: its check failed: {describe(error)}")
        else:
            found.status, found.detail = "ok", " ".join(str(said or "").split())

    async def _server(self, name: str) -> None:
        found = self._found["mcp", name]
        with self._progress.step(f"MCP server {name}"):
            listed = await self._parts.servers.tools([McpTools(name)], remember=False)
        for failure in listed.failures:
            self._fault(found, str(failure))
        if listed.failures and not listed.tools:
            return
        names = list(listed.tools)
        found.facts["tools"] = names
        if not listed.failures:
            found.status = "ok"
        found.detail = (
            f"{len(names)} tool{'s' * (len(names) != 1)}: {', '.join(names)}" if names else "no tools"
        )
        for finding in self._report.findings:
            if finding.kind == "tool" and str(finding.facts["use"]).split(":")[:2] == ["mcp", name]:
                await self._remote(finding)

    async def _remote(self, finding: InventoryItem) -> None:
        """Check an entry of an agent's tools against a server that has answered."""
        entry = McpTools.parse(str(finding.facts["use"]))
        if entry.tool is None:
            finding.status = "ok"
            return
        listed = await self._parts.servers.tools([entry], remember=False)
        for failure in listed.failures:
            self._fault(finding, str(failure))
        if not listed.failures:
            finding.status = "ok"

    async def _models(self) -> None:
        wanted = [
            (finding, self._parts.catalog.spec(finding.facts["model"]))
            for finding in self._report.findings
            if finding.kind == "model" and finding.status != "problem"
        ]
        if any(self._parts.catalog.needs_litellm(spec) for _, spec in wanted):
            with self._progress.step("LiteLLM"):  # its import would count as the first model's latency
                await library()
        await asyncio.gather(*(self._model(finding, spec) for finding, spec in wanted))

    async def _model(self, found: InventoryItem, spec: ModelSpec) -> None:
        alone = spec.changed(fallbacks=(), retries=0)
        limit = 2 * spec.timeout
        begun = time.monotonic()
        try:
            with self._progress.step(spec.name):
                async with asyncio.timeout(limit):
                    reply = await self._answer(found, alone)
        except TimeoutError:
            self._fault(found, f"{spec.name} had not ended its answer after {limit:g} seconds")
        except AuwgentError as error:
            self._fault(found, str(error))
        else:
            found.status = "ok"
            _tell(found, time.monotonic() - begun, reply)

    async def _answer(self, found: InventoryItem, spec: ModelSpec) -> Reply | None:
        """Send one tiny request and return the reply; a model that embeds gets a word to embed (None)."""
        if found.key[0] == "embedding":
            assert self._parts.embed is not None
            await self._parts.embed(["OK"])
            return None
        request = ModelRequest(system="", turns=[Turn(role="user", content=PROMPT)])
        async with aclosing(self._parts.catalog.get(spec).ask(request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Reply):
                    return piece
        raise AssertionError("a model ends with a reply")

    def _fault(self, found: InventoryItem, message: str) -> None:
        self._report.fault(self._config, found, message)


def _check_of(instance: Any) -> Callable[[], Awaitable[Any]] | None:
    """Return the middleware's own check, where it is one: other methods may have that name, too."""
    check = getattr(instance, "check", None)
    if not inspect.iscoroutinefunction(check):
        return None
    try:
        inspect.signature(check).bind()
    except TypeError:
        return None
    return check


def _tell(found: InventoryItem, seconds: float, reply: Reply | None) -> None:
    found.facts["seconds"] = round(seconds, 3)
    words = [f"answered in {seconds:.2f} s"]
    if reply is not None:
        usage = reply.usage
        found.facts["usage"] = usage.model_dump()
        words.append(f"{usage.input_tokens} + {usage.output_tokens} tokens")
        words.append("no known price" if usage.usd is None else f"${usage.usd:.6f}")
    found.detail = ", ".join([*filter(None, [found.detail]), *words])
