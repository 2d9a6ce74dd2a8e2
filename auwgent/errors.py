"""Every error a user of the package can meet, sorted by who has to act.

AuwgentError
├── ConfigError         the config file, the environment or an argument is wrong; nothing was run
│   └── ArgumentError   what one run was given is wrong: an option, an id, an answer; the config may be right
├── MiddlewareError     a middleware hook raised
├── ProviderError       a model provider refused, failed or could not be reached
├── ToolError           a tool failed, or was called with arguments that do not fit
├── LimitExceeded       a limit of the config was reached
├── SessionConflict     another run changed or holds the session
│   └── RunTaken        the run of that id is over, or another process has it
├── SessionNotFound     no such session, or run, for this user
├── RunPaused           the session's run waits for answers, and takes no new input until then
├── RunConflict         a run of that id was given another input, session, agent or answer
├── RunFailed           a run that is over already did not complete
├── Overloaded          more runs wait in the queue than its config allows; may pass
├── TapeMiss            a run that is played from a tape asked for what is not on it
└── StoreError          the session store could not be opened, read or written
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from auwgent.secrecy import scrubbed

Fault = Literal[
    "auth",  # the key is missing, wrong, or may not do this
    "not_found",  # no such model or endpoint
    "context",  # the conversation is longer than the model's window
    "bad_request",  # the provider refuses the request as it is
    "rate_limit",  # too many requests; may pass
    "unavailable",  # the provider is down, overloaded or cannot be reached; may pass
    "timeout",  # no answer in time; may pass
    "broken_stream",  # the answer broke off after it had begun
    "protocol",  # the server is not an LLM endpoint, or its answer is invalid
    "filtered",  # the provider's content filter refused
]
PASSING: frozenset[Fault] = frozenset(
    ("rate_limit", "unavailable", "timeout", "broken_stream")
)  # may pass by themselves

WIDEST = 160  # characters of a source line that are shown
DICT = "dict"  # the source of a config that a program gives


class AuwgentError(Exception):
    """Base of all errors of this package.

    `session` is the session as far as the run got, where there was a run: nothing that was said is lost. The text
    holds no secret of a config, also where it was made of what a user's own code raised.
    """

    session: Any = None  # a Session; this floor knows no sessions

    def __init__(self, *args: Any) -> None:
        super().__init__(*(scrubbed(one) if isinstance(one, str) else one for one in args))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a config: what, where, and what would be right.

    `line` and `column` count from 1; `column` counts characters. They are None where the value did not come
    from a file. `source` names where it came from: a path, `--set`, an environment variable, `dict`, of which the
    text of a problem names the key.
    """

    message: str
    source: str = ""
    line: int | None = None
    column: int | None = None
    length: int = 1  # characters the caret underlines
    text: str = ""  # the source line, without its newline; values of secret keys are masked
    key: str = ""  # dotted key, such as `agent.model`
    hint: str = ""  # "did you mean …", or what to do

    def __str__(self) -> str:
        place = self.source
        if place == DICT:  # it has no lines: the key is the place, unless that is named anyway
            place = f"`{self.key}`" if self.key and self.key not in self.message else ""
        if self.line is not None:
            place += f":{self.line}:{self.column or 1}"
        head = f"{place}: {self.message}" if place else self.message
        lines = [head]
        if self.text and self.line is not None:
            number = str(self.line)
            text, begin = _excerpt(self.text, (self.column or 1) - 1)
            pad = "".join("\t" if c == "\t" else " " * _columns(c) for c in text[:begin])
            carets = "^" * max(1, sum(map(_columns, text[begin : begin + self.length])))
            lines += [f" {number} | {text}", f" {' ' * len(number)} | {pad}{carets}"]
        if self.hint:
            lines.append(f"   = {self.hint}")
        return "\n".join(lines)


def _excerpt(text: str, begin: int) -> tuple[str, int]:
    """Return a line, or the part of a long one around a place in it, and where that place is then."""
    if len(text) <= WIDEST:
        return text, begin
    first = max(0, min(begin - WIDEST // 3, len(text) - WIDEST))
    before, after = "…" * (first > 0), "…" * (first + WIDEST < len(text))
    return before + text[first : first + WIDEST] + after, begin - first + len(before)


def _columns(character: str) -> int:
    """Return how much room a character takes on a terminal."""
    if unicodedata.combining(character) or unicodedata.category(character) == "Cf":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class ConfigError(AuwgentError):
    """The config cannot be used. `problems` holds everything found, in file order; nothing was run."""

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        found = [Problem(problems)] if isinstance(problems, str) else list(problems)
        self.problems: tuple[Problem, ...] = tuple(
            replace(problem, message=scrubbed(problem.message), hint=scrubbed(problem.hint))
            for problem in found
        )
        super().__init__("\n\n".join(map(str, self.problems)))


class ArgumentError(ConfigError):
    """What one run was given cannot be: an option, an id, an answer, a tool of its caller's."""


class MiddlewareError(AuwgentError):
    """A hook raised; the run ended because of it. The hook's own exception is the `__cause__`."""

    def __init__(self, message: str, *, middleware: str, hook: str) -> None:
        super().__init__(message)
        self.middleware = middleware
        self.hook = hook


class ProviderError(AuwgentError):
    """A model call failed.

    `provider` and `model` say whose, `status` is the HTTP status where there was one, `retryable` whether the
    same request may succeed later, `retry_after` the seconds the provider asked to wait, `fault` what kind of
    failure it was. The text is one sentence for the user and what to do; it holds no secret.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        model: str,
        fault: Fault,
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model
        self.fault: Fault = fault
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after


class ToolError(AuwgentError):
    """A tool failed. Raise it in a tool to choose the words the model reads."""

    def __init__(self, message: str, *, tool: str = "") -> None:
        super().__init__(message)
        self.tool = tool


class LimitExceeded(AuwgentError):
    """A limit was reached. `key` names it as the config does, such as `limits.llm_calls`."""

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key


class SessionConflict(AuwgentError):
    """The session is held or was changed by another run."""


class RunTaken(SessionConflict):
    """The run of this id is over, or another process has it: nothing of it is done here."""


class SessionNotFound(AuwgentError):
    """There is no such session, or run, for this user."""


class RunPaused(AuwgentError):
    """The session's run `run_id` waits for answers to its `calls`; new input is refused until it has them.

    Each of the `calls` has `id`, `type`, `args`, `agent`, `kind` (`approval` or `tool`) and `expires`.
    """

    def __init__(self, run_id: str, calls: Sequence[Mapping[str, Any]]) -> None:
        waits = ", ".join(f"{call['type']} ({call['id']})" for call in calls)
        super().__init__(
            f"run {run_id!r} waits for an answer to {waits or 'nothing more, and has not gone on yet'}"
        )
        self.run_id = run_id
        self.calls = tuple(dict(call) for call in calls)


RunConflictCode = Literal["run_id_reused", "already_answered", "expired", "not_paused"]


class RunConflict(AuwgentError):
    """There is a run of that id, and it was given another input, session, agent or answer, or waits for none.

    `code` says which.
    """

    def __init__(self, message: str, *, code: RunConflictCode = "run_id_reused") -> None:
        super().__init__(message)
        self.code: RunConflictCode = code


class RunFailed(AuwgentError):
    """A run that is over did not complete: its error as it was stored. `kind` is that of `error` intents."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class Overloaded(AuwgentError):
    """More runs wait in the queue than its config allows. Nothing was accepted; the same may be later."""


class TapeMiss(AuwgentError):
    """A call is not on the tape that is played, or not in the past of the session that is replayed."""


class StoreError(AuwgentError):
    """The session store could not be opened, read or written. Never means that there is no session."""


def kind_of(error: BaseException) -> str:
    """What kind of failure ended a run, in a word: the fault of a provider, else the name of the error."""
    if isinstance(error, RunFailed):
        return error.kind
    cause = error.__cause__ if type(error) is AuwgentError else None
    return getattr(error, "fault", None) or type(cause or error).__name__


def goes_through(error: BaseException) -> bool:
    """Return whether an exception ends a task or the program, and is not a failure of the code that raised it.

    All else that a user's code raises is such a failure, also the `BaseException`s of native libraries.
    """
    import asyncio  # late: what only shows a help text has no use for it

    return isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit | GeneratorExit)


def is_end(error: BaseException) -> bool:
    """Return whether it ends a task or the program, so that nobody may take it for a failure of something inside."""
    from asyncio import CancelledError  # loaded wherever something runs

    return isinstance(error, (CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit))
