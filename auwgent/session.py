"""The session: plain data that belongs to the user. A conversation's prompt, its stack and its turns."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, Any, ClassVar, Generic, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from typing_extensions import TypeVar  # that of typing takes no default before Python 3.13

from auwgent import words

Outcome = Literal["ok", "error", "skipped", "denied", "unknown"]
Role = Literal["user", "assistant", "tool"]
FinishReason = Literal["stop", "tool_calls", "length", "filtered"]
Answer_co = TypeVar("Answer_co", covariant=True, default=Any)  # the type of a structured answer

LATEST = 2200  # year

ticks: ContextVar[Callable[[], datetime] | None] = ContextVar("ticks", default=None)


def new_id() -> str:
    """Return a fresh id: 32 hexadecimal digits, random."""
    return uuid.uuid4().hex


def now() -> datetime:
    """Return the time, aware, in UTC; by another clock where one `ticks`."""
    clock = ticks.get()
    return datetime.now(UTC) if clock is None else clock()


def _in_utc(time: datetime) -> datetime:
    if not 1970 <= time.year < LATEST:
        raise ValueError(f"should be a time between the years 1970 and {LATEST}")
    return time.astimezone(UTC)


def encodable(text: str) -> str:
    """Return the text without halves of characters, which no provider and no database takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


String = Annotated[str, AfterValidator(encodable)]
Id = Annotated[String, Field(min_length=1)]


class Plain(BaseModel):
    """Data that is stored and exported: unknown keys are refused, what does not apply is left out."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("data must be base64 text") from None
    return text


Base64Str = Annotated[str, AfterValidator(_base64)]  # kept as text: a session is plain data


class Text(Plain):
    """Words."""

    type: Literal["text"] = "text"
    text: String


class Media(Plain):
    """An image, a file or a sound: bytes or a URL, never a local path."""

    type: Literal["image", "file", "audio"]
    data: Base64Str | None = None
    url: str | None = None  # http(s) only; read by the provider, never by us
    mime_type: str | None = None
    name: str | None = None
    refused: String | None = None  # why a provider would not take it; it is told in words from then on

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.data is None) == (self.url is None):
            raise ValueError("give either data or url")
        if self.url is not None and not self.url.startswith(("https://", "http://")):
            raise ValueError("url must begin with https:// or http://")
        if self.url is not None and urlsplit(self.url).password is not None:
            raise ValueError("url must not hold a password: it would be stored with the session")
        return self


def _no_words(content: Any) -> Any:
    """Nothing said is an empty text; others write None beside tool calls."""
    return "" if content is None else content


Part = Annotated[Text | Media, Field(discriminator="type")]
PARTS: TypeAdapter[list[Part]] = TypeAdapter(list[Part], config=ConfigDict(defer_build=True))


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be a whole number")
    return value


FROM_A_FILE = {"from": "file"}  # context of a validation that lets nothing pass as something else
MOST = 10**15  # tokens; thousands of such counts can be added up in 64 bits
Count = Annotated[int, BeforeValidator(_number), Field(ge=0, le=MOST)]


class Usage(BaseModel):
    """Tokens of one model call, or of several added up. `usd` is None where a price is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    input_tokens: Count = 0  # cached ones included
    output_tokens: Count = 0  # reasoning ones included
    cached_tokens: Count = 0
    written_tokens: Count = 0  # written to the provider's cache, among those of the input
    reasoning_tokens: Count = 0
    usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    estimated: bool = False  # True where a provider did not report, so that we counted

    @model_validator(mode="before")
    @classmethod
    def _believable(cls, given: Any, info: ValidationInfo) -> Any:
        """A provider's count beyond all measure is not believed, and costs nobody the answer it came with.

        In a file that somebody imports it is refused.
        """
        if not isinstance(given, dict) or info.context is FROM_A_FILE:
            return given
        counts = [name for name in cls.model_fields if name.endswith("_tokens")]
        absurd = [name for name in counts if type(given.get(name)) is int and given[name] > MOST]
        return {**given, **dict.fromkeys(absurd, 0), "estimated": True} if absurd else given

    @classmethod
    def summed(cls, counts: Mapping[str, Any], *, estimated: bool) -> Usage:
        """Return what a database has added up: numbers of any kind, None for nothing; no count is above `MOST`."""
        usd = counts["usd"]
        tokens = {name: min(MOST, int(count or 0)) for name, count in counts.items() if name != "usd"}
        return cls(**tokens, usd=None if usd is None else float(usd), estimated=estimated)

    def __add__(self, other: Usage) -> Usage:
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Usage(
            input_tokens=min(MOST, self.input_tokens + other.input_tokens),
            output_tokens=min(MOST, self.output_tokens + other.output_tokens),
            cached_tokens=min(MOST, self.cached_tokens + other.cached_tokens),
            written_tokens=min(MOST, self.written_tokens + other.written_tokens),
            reasoning_tokens=min(MOST, self.reasoning_tokens + other.reasoning_tokens),
            usd=usd,
            estimated=self.estimated or other.estimated,
        )


DEEPEST = 100  # how deep arguments may be nested; providers, databases and parsers give up soon after


def is_too_deep(value: Any) -> bool:
    """Return whether plain data is nested deeper than can be stored and sent everywhere."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def _shallow(args: dict[str, Any] | None) -> dict[str, Any] | None:
    if is_too_deep(args):
        raise ValueError(f"must not be nested deeper than {DEEPEST}")
    return args


class ToolCall(Plain):
    """What the model asked for. Arguments that could not be parsed stand in `raw_args`, and `args` is empty."""

    id: Id
    name: Id
    args: Annotated[dict[str, Any], AfterValidator(_shallow)] = Field(default_factory=dict)
    raw_args: str | None = None


class Turn(Plain):
    """One message. `agent` is who spoke, or whom the user or tool spoke to."""

    id: Id = Field(default_factory=new_id)
    role: Role
    content: Annotated[String | list[Part], BeforeValidator(_no_words)] = ""
    agent: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    outcome: Outcome | None = None
    model: str | None = None  # provider/model that answered
    finish_reason: FinishReason | None = None  # how the answer ended
    usage: Usage | None = None
    run_id: str | None = None
    created_at: Annotated[AwareDatetime, AfterValidator(_in_utc)] = Field(default_factory=now)
    provider_data: Annotated[dict[str, Any] | None, AfterValidator(_shallow)] = (
        None  # goes back only to the `model` it came from
    )

    @property
    def text(self) -> str:
        """The text of the content, without media."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, Text))

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if self.role == "tool" and not self.tool_call_id:
            raise ValueError("a tool turn needs tool_call_id")
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"tool_calls belong to an assistant turn, not to role {self.role!r}")
        return self


class Session(BaseModel, Generic[Answer_co]):
    """A conversation. `model_dump(mode="json")` is its stored and exported form.

    `text`, `output`, `usage`, `status` and `pending` are computed: they are in no dump, and equal sessions may differ
    in them. `output` is there after a run, `status` and `pending` after a run that is stored, or from the store.
    """

    model_config = ConfigDict(extra="forbid", defer_build=True)

    shown_as: ClassVar[Callable[[Any], str] | None] = None  # a session as HTML, for a notebook

    id: Id = Field(default_factory=new_id)
    user_id: str = ""
    version: Literal[1] = 1
    system_prompt: str = ""
    stack: list[str] = Field(default_factory=list)  # names, root first; the last one takes the next input
    turns: list[Turn] = Field(default_factory=list)

    _output: Answer_co | None = PrivateAttr(default=None)
    _status: str = PrivateAttr(default="")
    _pending: list[dict[str, Any]] = PrivateAttr(default_factory=list)

    @property
    def text(self) -> str:
        """The text of the answer since the newest user turn, by the agent that has the word; empty without one."""
        return "" if (answer := self.answer()) is None else answer.text

    @property
    def output(self) -> Answer_co | None:
        """The structured answer, as an instance of the agent's Pydantic model; None without a model or an answer."""
        return self._output

    @property
    def usage(self) -> Usage:
        """Tokens and money of all its turns. `usd` is None where a model's price is not known."""
        return _added(self.turns)

    @property
    def status(self) -> str:
        """How its last run stands, such as `completed` or `paused`; empty where no store tells."""
        return self._status

    @property
    def pending(self) -> list[dict[str, Any]]:
        """The calls of a paused run that wait for an answer, as the intent `paused` tells of them."""
        return self._pending

    def usage_of(self, run_id: str) -> Usage:
        """Tokens and money of the turns of one run."""
        return _added(turn for turn in self.turns if turn.run_id == run_id)

    def answer(self) -> Turn | None:
        """The turn that holds the newest words to the user since the newest user turn, as far as there are any."""
        heard = spoken_by(self.turns, self.stack[-1]) if self.stack else []
        for turn in reversed(heard or self.turns):
            if turn.role == "user":
                return None
            if turn.role == "assistant" and turn.content:
                return turn
        return None

    def tell(
        self, status: str = "", pending: Sequence[dict[str, Any]] = (), output: Answer_co | None = None
    ) -> Self:
        """Set what is told of the session beside its data; gives the session."""
        self._status, self._pending, self._output = status, list(pending), output
        return self

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if isinstance(other, Session) else NotImplemented

    def __repr__(self) -> str:
        of_user = f", user {self.user_id!r}" if self.user_id else ""
        status = f", {self.status}" if self.status else ""
        return f"<Session {self.id!r}{of_user}: {len(self.turns)} turns{status}>"

    __str__ = __repr__

    def _repr_html_(self) -> str | None:
        """The page of the conversation, for a notebook; None where nothing that draws pages is loaded."""
        return None if Session.shown_as is None else Session.shown_as(self)


_building = Lock()


def complete() -> None:
    """Build the validators of sessions; a config does without. Older Pydantics must not in two threads at once."""
    with _building:
        for model in (Text, Media, Usage, ToolCall, Turn, Session):
            model.model_rebuild()


def _added(turns: Iterable[Turn]) -> Usage:
    return sum((turn.usage for turn in turns if turn.usage is not None), Usage(usd=0.0))


def misfits(error: ValidationError, place: str = "") -> str:
    """Say what keeps data from being a session: which field of which turn, and what would be right. Shows no texts."""
    problems = []
    for problem in error.errors(include_url=False):
        if isinstance(problem["input"], list) and problem["type"] == "string_type":
            continue  # then parts were tried, too
        steps = [*problem["loc"]]
        if "content" in steps:  # pydantic names the variants it tried: a text, or parts by their type
            at = steps.index("content")
            steps[at + 1 :] = steps[at + 2 : at + 3] + steps[at + 4 :]
        problem["loc"] = tuple(steps)
        if steps[-1:] == ["content"] and problem["type"] in ("string_type", "list_type"):
            problem |= {"type": "content", "msg": "should be a text or a list of parts"}
        problems.append(problem)
    return words.misfits(
        problems, whole="the session", inside=place, known=lambda steps: _fields_at(steps, place)
    )


def _fields_at(steps: Sequence[Any], place: str) -> Iterable[str]:
    known: dict[Any, type[BaseModel]] = {
        "turns": Turn,
        "content": Media,
        "tool_calls": ToolCall,
        "usage": Usage,
    }
    owner = next((known[step] for step in reversed(steps) if step in known), Turn if place else Session)
    return owner.model_fields


UNKNOWN = (
    "The result is unknown after a crash or a stop: the run ended while this call was under way. "
    "It was not made again."
)
NOT_ANSWERED = "This call was denied: nobody answered in time. Go on without it."
NEVER_BEGUN = "This call was not made: the run ended before its turn came."
LEFT_OPEN = "This call was begun, and went on elsewhere: its result is not known here. It was not made again."


def spoken_by(turns: Iterable[Turn], agent: str) -> list[Turn]:
    """Return the turns that agent took part in: what its model may be shown."""
    return [turn for turn in turns if turn.agent in (agent, None)]
