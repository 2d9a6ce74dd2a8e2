"""A Python function as a tool: what the model is told of it, the call, and its result as text."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from auwgent.config.tables import ToolOptions
from auwgent.errors import AuwgentError, ToolError
from auwgent.models.base import ToolSpec
from auwgent.session import PARTS, Media, Part, Text, encodable
from auwgent.tools import Tool
from auwgent.tools.arguments import NAME, Arguments


def function_tool(function: Callable[..., Any], options: ToolOptions | None = None) -> Tool:
    """Make a tool of a function, a method of an object or an object with `__call__`.

    What the model is told comes from signature, annotations and docstring. A parameter named `ctx`,
    or annotated with `Context`, gets the run's ctx. What is not `async` runs in a thread of its own. Raises
    `ValueError` where the function cannot be a tool.
    """
    source, options = _source(function), options or ToolOptions()
    name = options.name or _own_name(source)
    check_name(name)
    about, parameters = _docstring(source)
    arguments = Arguments.of(function, source, tool=name, about=parameters)
    return Tool(
        spec=ToolSpec(name, about if options.description is None else options.description, arguments.schema),
        check=arguments.check,
        call=_FunctionCall(function, name, arguments.contexts, options.timeout),
        options=options,
    )


def check_name(name: str) -> None:
    """Raise `ValueError` unless every provider accepts this as the name of a tool."""
    if NAME.fullmatch(name):
        return
    better = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:64]
    better = better if NAME.fullmatch(better) else "my_tool"
    raise ValueError(
        f"{name!r} cannot be the name of a tool: at most 64 letters, digits, _ and -, beginning with "
        f'a letter or _; name = "{better}" would do'
    )


def media_in(value: Any) -> list[Part]:
    """Return a result that is made of parts and has media among them, as its parts; nothing for any other."""
    parts = value if isinstance(value, list) else [value]
    if not any(isinstance(part, Media) for part in parts):
        return []
    return parts if all(isinstance(part, (Text, Media)) for part in parts) else []


def result_content(value: Any, parts: Sequence[Part] = ()) -> str | list[Part]:
    """Return a result as it is kept in a turn: as text, or as parts where it has media.

    `parts` is what the tool gave, `value` the same as plain data after the hooks: no other media come from there.
    """
    if parts:
        with suppress(ValidationError):
            left = PARTS.validate_python(value)
            if all(part in parts for part in left if isinstance(part, Media)):
                return left
    return result_text(value)


def result_text(value: Any) -> str:
    """Return a result as the model reads it: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return encodable(value)
    try:
        return to_json(value, fallback=str, bytes_mode="base64", inf_nan_mode="strings").decode()
    except PydanticSerializationError:
        pass
    except Exception as error:
        raise _no_json(value, error) from error
    try:  # half a surrogate pair, as in a badly encoded file's name, needs the standard library's escapes
        return json.dumps(to_jsonable_python(value, fallback=str, bytes_mode="base64"))
    except Exception as error:
        raise _no_json(value, error) from error


def _no_json(value: Any, error: Exception) -> ToolError:
    return ToolError(f"the result, a {type(value).__name__}, cannot be written as JSON: {error}")


def _source(function: Any) -> Any:
    """Return the function that has the name, the docstring and the globals; refuse anything else."""
    if inspect.isclass(function):
        raise ValueError(
            f"{function.__name__} is a class; a tool is a function, a method of an object or an object "
            "with __call__"
        )
    if not callable(function):
        raise ValueError(f"{function!r} is a {type(function).__name__}, not a function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ValueError(f"{_own_name(function)} yields; a tool returns its result")
    while isinstance(function, partial):
        function = function.func
    return inspect.unwrap(function)


def _own_name(source: Any) -> str:
    return str(getattr(source, "__name__", type(source).__name__))


def _docstring(source: Any) -> tuple[str, dict[str, str]]:
    """Return what the docstring says about the function, and about each parameter."""
    from docstring_parser import ParseError, parse  # not needed by agents without tools

    text = inspect.getdoc(source)
    if not inspect.isroutine(source) and type(source).__call__.__doc__:  # an object: its method says more
        text = inspect.getdoc(source.__call__)
    try:
        doc = parse(text or "")
    except ParseError:
        return text or "", {}
    about = "\n\n".join(part for part in (doc.short_description, doc.long_description) if part)
    return about, {one.arg_name.lstrip("*"): one.description or "" for one in doc.params}


@dataclass(frozen=True, slots=True)
class _FunctionCall:
    """Calls the function with checked arguments. Whatever goes wrong in it becomes a `ToolError`."""

    function: Callable[..., Any]
    tool: str
    contexts: tuple[str, ...]  # parameters that get the run's ctx
    timeout: float | None

    async def __call__(self, arguments: dict[str, Any], ctx: Any) -> Any:
        limit = asyncio.timeout(self.timeout)
        try:
            async with limit:
                return await self._result(arguments | dict.fromkeys(self.contexts, ctx))
        except AuwgentError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # the run is being cancelled, not only something in the tool
            raise ToolError(_words(error), tool=self.tool) from error
        except BaseException as error:  # native libraries raise what is not an `Exception`
            if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
                raise
            words = self._too_long() if limit.expired() else _words(error)
            raise ToolError(words, tool=self.tool) from error

    async def _result(self, arguments: dict[str, Any]) -> Any:
        if _is_async(self.function):
            return await self.function(**arguments)
        result = await in_thread(partial(self.function, **arguments), name=self.tool)
        return await result if inspect.isawaitable(result) else result

    def _too_long(self) -> str:
        words = f"{self.tool} took longer than {self.timeout:g} seconds"
        # What has no thread of its own was stopped.
        return words if _is_async(self.function) else f"{words}; it may still finish on its own"


def _is_async(function: Any) -> bool:
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


async def in_thread(work: Callable[[], Any], *, name: str) -> Any:
    """Run `work` in a thread of its own, with the caller's context variables.

    Unlike those of the loop's executor, such threads do not wait for each other, and one that hangs for ever
    holds up neither the end of the run nor that of the program. A thread cannot be stopped: when the caller
    is cancelled it goes on alone, and what it returns is dropped.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def finish(result: Any, error: Exception | None) -> None:
        if outcome.done():
            return  # cancelled meanwhile
        if error is None:
            outcome.set_result(result)
        else:
            outcome.set_exception(error)

    def run() -> None:
        result: Any = None
        failure: Exception | None = None
        try:
            result = context.run(work)
        except BaseException as error:  # Ctrl-C comes to the main thread only: this is the tool's own
            if isinstance(error, Exception) and not isinstance(error, StopIteration):
                failure = error
            else:  # through a future these would end the whole loop, or never arrive
                failure = ToolError(_words(error), tool=name)
                failure.__cause__ = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(finish, result, failure)

    threading.Thread(target=run, name=f"tool {name}", daemon=True).start()
    return await outcome


def _words(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
