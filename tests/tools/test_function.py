from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from auwgent.config.tables import ToolOptions
from auwgent.errors import LimitExceeded, ToolError
from auwgent.hooks.context import Context
from auwgent.tools.function import function_tool, result_text

USER = contextvars.ContextVar("user", default="nobody")


class Unit(Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


@dataclass
class Span:
    first: date
    last: date


def shout(city: str, times: int = 2) -> str:
    return city.upper() * times


async def called(function: Callable[..., Any], **arguments: Any) -> Any:
    tool = function_tool(function)
    return await tool.call(tool.check(arguments), {"user": "me"})


def refusal(function: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ToolError) as caught:
        function_tool(function).check(arguments)
    return str(caught.value)


async def test_ctx_is_the_runs() -> None:
    def one(ctx: Any) -> Any:
        return ctx["user"]

    async def two(*, run: Context) -> Any:
        return run["user"]

    assert await called(one) == "me"
    assert await called(two) == "me"


async def test_plain_functions_run_side_by_side_in_threads_with_context_variables() -> None:
    barrier = threading.Barrier(20, timeout=10)

    def meet() -> tuple[str, bool]:
        barrier.wait()
        return USER.get(), threading.current_thread() is threading.main_thread()

    USER.set("ada")
    assert set(await asyncio.gather(*(called(meet) for _ in range(20)))) == {("ada", False)}


async def test_async_functions_run_in_the_loop() -> None:
    async def where() -> Any:
        return asyncio.get_running_loop()

    assert await called(where) is asyncio.get_running_loop()


class Shop:
    """A shop."""

    def __init__(self, stock: int) -> None:
        self.stock = stock

    def sell(self, count: int) -> int:
        """Sell some."""
        return self.stock - count

    async def __call__(self, count: int) -> int:
        return self.stock + count


async def test_methods_objects_partials_and_decorated_functions_are_tools() -> None:
    @functools.wraps(shout)
    def polite(*args: Any, **kwargs: Any) -> str:
        return f"{shout(*args, **kwargs)}, please"

    assert await called(Shop(5).sell, count=2) == 3
    assert await called(Shop(5), count=2) == 7
    assert await called(functools.partial(Shop(5).sell, 1)) == 4
    assert await called(polite, city="Bonn") == "BONNBONN, please"
    assert (function_tool(Shop(5)).name, function_tool(Shop(5)).spec.description) == ("Shop", "A shop.")
    assert function_tool(Shop(5).sell).spec.description == "Sell some."


async def test_a_plain_function_that_returns_an_awaitable_is_awaited() -> None:
    async def later() -> int:
        return 1

    def start() -> Any:
        return later()

    assert await called(start) == 1


def _stop_iteration() -> None:
    next(iter(()))


class Panic(BaseException):
    """What libraries written in Rust raise."""


def _panic() -> None:
    raise Panic("index out of bounds")


async def _async_panic() -> None:
    raise Panic("index out of bounds")


def _exit() -> None:
    sys.exit(3)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _cancelled() -> None:
    raise asyncio.CancelledError


def _nothing_said() -> None:
    raise ValueError


async def _async_exit() -> None:
    sys.exit(3)


async def _async_cancelled() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def _own_timeout() -> None:
    raise TimeoutError("the shop is closed")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_stop_iteration, "StopIteration"),
        (_exit, "SystemExit: 3"),
        (_interrupt, "KeyboardInterrupt"),
        (_cancelled, "CancelledError"),
        (_nothing_said, "ValueError"),
        (_async_exit, "SystemExit: 3"),
        (_panic, "Panic: index out of bounds"),
        (_async_panic, "Panic: index out of bounds"),
        (_async_cancelled, "CancelledError"),
        (_own_timeout, "TimeoutError: the shop is closed"),
    ],
)
async def test_whatever_a_tool_raises_is_a_tool_error(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(ToolError) as caught:
        await called(function)
    assert (str(caught.value), caught.value.tool) == (words, function.__name__)
    assert caught.value.__cause__ is not None


async def test_the_packages_own_errors_pass_as_they_are() -> None:
    def refuse() -> None:
        raise ToolError("try tomorrow")

    def stop() -> None:
        raise LimitExceeded("enough", key="limits.llm_calls")

    with pytest.raises(ToolError, match=r"^try tomorrow$"):
        await called(refuse)
    with pytest.raises(LimitExceeded):
        await called(stop)


async def test_a_tool_that_takes_too_long_is_given_up() -> None:
    released = threading.Event()

    async def slow() -> None:
        await asyncio.sleep(60)

    def stuck() -> None:
        released.wait(60)

    for function, words in (
        (slow, "slow took longer than 0.05 seconds"),
        (stuck, "stuck took longer than 0.05 seconds; it may still finish on its own"),
    ):
        tool = function_tool(function, ToolOptions(timeout=0.05))
        with pytest.raises(ToolError, match=f"^{words}$"):
            await tool.call({}, None)
    released.set()


async def test_cancelling_the_run_cancels_its_tools() -> None:
    began, released = threading.Event(), threading.Event()

    def stuck() -> None:
        began.set()
        released.wait(60)

    task = asyncio.create_task(called(stuck))
    await asyncio.to_thread(began.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    released.set()


@pytest.mark.clock
def test_a_hanging_tool_does_not_keep_the_program_alive() -> None:
    released = threading.Event()

    def stuck() -> None:
        released.wait(60)

    async def run() -> None:
        with pytest.raises(ToolError):
            await function_tool(stuck, ToolOptions(timeout=0.05)).call({}, None)

    began = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - began < 10
    released.set()  # its loop is closed by now: nothing may be said about that


class Wallet(BaseModel):
    owner: str = "ada"
    pin: SecretStr = SecretStr("1234")


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ("", ""),
        (None, "null"),
        (Wallet(), '{"owner":"ada","pin":"**********"}'),
        (Span(date(2024, 1, 1), date(2024, 1, 2)), '{"first":"2024-01-01","last":"2024-01-02"}'),
        ({"at": datetime(2024, 1, 1, tzinfo=UTC)}, '{"at":"2024-01-01T00:00:00Z"}'),
        ([Decimal("1.10"), Unit.CELSIUS, Path("a"), 1 + 2j], '["1.10","c","a","1+2j"]'),
        ((float("nan"), float("inf")), '["NaN","Infinity"]'),
        ({"ü"}, '["ü"]'),
        (b"\x00\xff", '"AP8="'),
        ({1: {2: 3}}, '{"1":{"2":3}}'),
        ("bad \ud800", "bad �"),
        (["bad \ud800"], '["bad \\ud800"]'),
    ],
)
def test_results_reach_the_model_as_text_or_json(value: Any, text: str) -> None:
    assert result_text(value) == text


@pytest.mark.parametrize(("value", "words"), [(_circle(), "Circular reference"), (Broken(), "no words")])
def test_a_result_that_cannot_be_json_says_so(value: Any, words: str) -> None:
    with pytest.raises(
        ToolError, match=f"the result, a {type(value).__name__}, cannot be written as JSON: .*{words}"
    ):
        result_text(value)
