"""What a script of the scripted model may hold, and how it is read."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from auwgent.errors import ConfigError, Fault
from auwgent.models.base import ModelRequest, ModelSpec
from auwgent.session import Usage

ECHO: Mapping[str, Any] = {"replies": ["You said: {user}"], "repeat": True}
FAULTS: Mapping[int, Fault] = {401: "auth", 403: "auth", 404: "not_found", 413: "context", 429: "rate_limit"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScriptedCall(_Strict):
    """A tool call. `args` is a table, or text that is sent as it is, to be as broken as a model's may be."""

    name: str
    args: dict[str, Any] | str = Field(default_factory=dict)
    id: str | None = None  # made from the last turn's id where it is not given


class ScriptedError(_Strict):
    """A failure. The fault `timeout` is silence until the model's `timeout` is over."""

    message: str = "the script says so"
    status: int | None = None
    fault: Fault | None = None  # follows from `status` where it is not given
    retryable: bool | None = None  # follows from `fault`
    retry_after: float | None = None  # seconds
    after: int = Field(0, ge=0)  # pieces that come first
    times: float = Field(math.inf, gt=0)  # only the first so many times that the same turns are asked about

    def kind(self) -> Fault:
        if self.fault:
            return self.fault
        if self.status is None:
            return "broken_stream" if self.after else "unavailable"
        return "unavailable" if self.status >= 500 else FAULTS.get(self.status, "bad_request")


class ScriptedReply(_Strict):
    """One reply. In `text`, `{user}` stands for the user's last text and `{result}` for the last tool result.

    A reply with a condition answers the user, and not the results of tools unless it has `result`.
    """

    when: str | None = None  # the user's last text contains it; case does not matter
    system: str | None = None  # the system prompt contains it
    result: bool | str | None = None  # the request ends with tool results, or with one that contains this

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ScriptedCall, ...] = ()
    usage: Usage | None = None  # without it four characters count as a token, and cost nothing
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"] | None = None
    provider_data: dict[str, Any] | None = None
    delay: float = Field(0, ge=0)  # seconds before the first piece
    pause: float = Field(0, ge=0)  # seconds before each other piece
    error: ScriptedError | None = None

    @property
    def conditional(self) -> bool:
        return any(condition is not None for condition in (self.when, self.system, self.result))

    def answers(self, request: ModelRequest) -> bool:
        """Whether the conditions hold."""
        results = last_results(request)
        return (
            bool(results) is (self.result not in (None, False))
            and (not isinstance(self.result, str) or any(self.result in result for result in results))
            and (self.when or "").casefold() in last_user_text(request).casefold()
            and (self.system or "") in request.system
        )


def _from_text(reply: Any) -> Any:
    return {"text": reply} if isinstance(reply, str) else reply


class Script(BaseModel):
    """What `params` and a script file may hold. Other params, a temperature say, mean nothing to a script."""

    replies: tuple[Annotated[ScriptedReply, BeforeValidator(_from_text)], ...]
    chunk: int | None = Field(None, gt=0)  # characters of a piece; a word where it is not given
    repeat: bool = False  # begin again when all replies are used
    restart: bool = False  # count from the last user turn, not from the beginning of the conversation


def read(spec: ModelSpec) -> Script:
    """The script of a model, from its params or its file."""
    found: Mapping[str, Any] = {}
    if "replies" not in spec.params:
        found = ECHO if spec.model == "echo" else _read_file(spec)
    try:
        return Script.model_validate({**found, **spec.params})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ConfigError(f"the script of {spec.name!r} is wrong: {wrong}") from error


def _read_file(spec: ModelSpec) -> Mapping[str, Any]:
    path = Path(spec.model).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        hint = "name a script file or scripted/echo, or give params.replies"
        raise ConfigError(f"model {spec.name!r}: cannot read {path}: {error.strerror}; {hint}") from error
    except ValueError as error:
        raise ConfigError(f"model {spec.name!r}: {path} is no valid {path.suffix[1:]}: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"model {spec.name!r}: {path} must hold a table with replies")
    return content


def last_user_text(request: ModelRequest) -> str:
    """What the user said last."""
    return next((turn.text for turn in reversed(request.turns) if turn.role == "user"), "")


def last_results(request: ModelRequest) -> list[str]:
    """The tool results that the request ends with."""
    results: list[str] = []
    for turn in reversed(request.turns):
        if turn.role != "tool":
            break
        results.insert(0, turn.text)
    return results
