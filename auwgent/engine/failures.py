"""Failures of a run: what was raised as an error of ours, and limits that were reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from auwgent.errors import (
    AuwgentError,
    LimitExceeded,
    MiddlewareError,
    ProviderError,
    ToolError,
    goes_through,
)
from auwgent.limits import Limits
from auwgent.models.base import ModelSpec
from auwgent.words import describe


@asynccontextmanager
async def deadline(limits: Limits, began: float) -> AsyncIterator[Callable[[float], None]]:
    """Cancel the block when the run that began at `began` (by the loop's clock) is over its time limit.

    Gives a function that takes seconds off it, used before this block.
    """
    try:
        async with asyncio.timeout_at(None if limits.seconds is None else began + limits.seconds) as clock:

            def used(seconds: float) -> None:
                if (end := clock.when()) is not None and seconds:
                    clock.reschedule(end - seconds)

            yield used
    except TimeoutError:
        if not clock.expired():
            raise
        raise limit("seconds", limits.seconds or 0, "seconds") from None


def as_ours(failure: BaseException) -> AuwgentError:
    """Return a failure as an error of ours, whatever was raised; what ends a task or the program is raised again."""
    if goes_through(failure):
        raise failure
    if isinstance(failure, AuwgentError):
        return failure
    error = AuwgentError(f"the run failed: {describe(failure)}")
    error.__cause__ = failure
    return error


def no_answer(spec: ModelSpec) -> ProviderError:
    """Return the error for a model that yielded no reply."""
    return ProviderError(
        f"{spec.name} ended without an answer",
        provider=spec.provider,
        model=spec.name,
        fault="broken_stream",
        retryable=True,
    )


def limit(key: str, value: float, unit: str) -> LimitExceeded:
    return LimitExceeded(f"the run reached `limits.{key}` = {value:g} {unit}", key=f"limits.{key}")


def of_a_hook(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function that a hook has left on ctx. A `ToolError` is for the model to read."""
    try:
        return function(*args)
    except ToolError:
        raise
    except BaseException as error:
        if goes_through(error):
            raise
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise MiddlewareError(f"{name} failed: {describe(error)}", middleware=name, hook="ctx") from error
