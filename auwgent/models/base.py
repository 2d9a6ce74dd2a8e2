"""A model as the rest of the package sees it: one method that streams pieces and ends with a reply."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

from pydantic import BaseModel, Field

from auwgent.model_settings import ModelSettings
from auwgent.models.ends import End
from auwgent.models.quotes import Purse
from auwgent.session import Turn, Usage


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model is told of it. `parameters` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """The shape a structured answer must have, as JSON Schema."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call. `turns` is a valid history: each tool call has exactly one result, in the calls' order.

    Turns may come from any provider; the model class turns them into its own wire format, and sends
    `provider_data` back only where `turn.model` is its own name.
    """

    system: str
    turns: Sequence[Turn]
    tools: Sequence[ToolSpec] = ()
    output: OutputSpec | None = None
    stream: bool = True  # False: ask the provider for the whole answer at once
    shown: bool = True  # False: nobody looks at the pieces of a stream, and they may be left out
    spec: ModelSpec | None = None  # for a model of the user's own: its table, as hooks have it for this call
    agent: str = ""  # who asks, and in which session; empty: a middleware
    session_id: str = ""
    purse: Purse | None = field(default=None, repr=False, compare=False)  # who pays; None: nobody counts
    most: int | None = None  # tokens of output that are paid for, where that is less than the params allow


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A streamed piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningPiece:
    """A streamed piece of the model's visible reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A streamed piece of a tool call. `index` tells parallel calls apart; `name` is whole when it first comes."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""  # a fragment of JSON text


@dataclass(frozen=True, slots=True)
class RawCall:
    """A tool call as the model wrote it. `arguments` is JSON text that may not parse; `id` may be empty.

    `cut` says that its arguments never came or were cut off, whatever stands in them: it must not be made.
    """

    id: str
    name: str
    arguments: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The whole answer, always the last thing a model yields."""

    text: str = ""
    calls: tuple[RawCall, ...] = ()
    usage: Usage = field(default_factory=Usage)
    model: str = ""  # provider/model that answered
    finish_reason: End = "stop"
    said: str = ""  # the provider's own word for that end, and what it says about it
    provider_data: dict[str, Any] | None = None  # thinking signatures and the like, JSON values only
    raw: str = ""  # what the model wrote, unparsed, for audits; empty where it equals `text`


@dataclass(frozen=True, slots=True)
class Retry:
    """Says that a model failed before it said anything, and that `model` is asked next.

    That is the same one again, or the one that stands in for it.
    """

    failed: str
    model: str
    reason: str
    wait: float  # seconds until then


Piece = TextPiece | ReasoningPiece | CallPiece | Retry


class ModelSpec(ModelSettings):
    """Everything one model needs: endpoint, key, settings. What may hold a secret stays out of its repr.

    `name` is `provider/model`; the provider is the text before the first slash.
    """

    name: str
    api_key: str | None = Field(None, repr=False)
    base_url: str | None = Field(None, repr=False)
    headers: dict[str, str] = Field({}, repr=False)
    fallbacks: tuple[ModelSpec, ...] = ()
    label: str = ""  # the [models.*] name it was configured under, if any
    own: Any = Field(None, repr=False)  # a model class of the user's, or an instance; None: a provider's

    def __init__(self, name: str, **settings: Any) -> None:
        BaseModel.__init__(self, name=name, **settings)

    def changed(self, **settings: Any) -> Self:
        """Return this spec with other settings, which are not validated."""
        return self.model_copy(update=settings)

    @property
    def provider(self) -> str:
        """The text before the first slash of the name."""
        return self.name.partition("/")[0]

    @property
    def model(self) -> str:
        """The name without its provider."""
        return self.name.partition("/")[2]


class Model:
    """The base of a model of your own: `ask` is all it needs. An instance serves all runs of an agent, at once.

    It is made with the `params` of its [models.*] table as keyword arguments; `of` may be overridden to use more
    of the table, which `ask` finds as `request.spec` too.
    """

    keeps_schema: ClassVar[bool] = (
        False  # True: heeds `request.output`; else a structured answer is asked for as a call
    )
    window: ClassVar[int | None] = None  # tokens it can read, for middleware that shortens

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Return an instance for this table."""
        return cls(**spec.params)

    def ask(self, request: ModelRequest) -> AsyncIterator[str | Piece | Reply]:
        """Yield texts, pieces of reasoning and calls as they come; at the end a `Reply`, where there is more to say."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Free what the model holds. Called when its agent is closed."""


class Route(Protocol):
    """A way to a model, as the engine asks it."""

    spec: ModelSpec

    def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        """Yield pieces as they come, then exactly one `Reply`. Failures are `ProviderError`.

        Closing the iterator early stops the provider's work. With `request.stream` false, pieces may be left out.
        """
        ...

    async def aclose(self) -> None:
        """Free connections. The model is not asked again."""
        ...
