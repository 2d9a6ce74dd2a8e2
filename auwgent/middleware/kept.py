"""Bases of a middleware: options as fields of its class, a folder to keep files in, a small database of its own."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from types import FrameType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Concatenate,
    Generic,
    ParamSpec,
    TypeVar,
    dataclass_transform,
)

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from auwgent import store
from auwgent.hooks.context import Middleware
from auwgent.secrecy import is_secret
from auwgent.session import new_id, now
from auwgent.spans import Span, parse_bytes
from auwgent.words import SHOWN, misfit

if TYPE_CHECKING:
    from auwgent.store.database import Database

    In = TypeVar("In")
    Out = TypeVar("Out")

    class Given(Generic[In, Out]):
        """An option that is given as one type and read as another, such as `Given[str | float, Span]`."""

        def __get__(self, instance: object, owner: type) -> Out: ...

        def __set__(self, instance: object, value: In) -> None: ...

else:

    class Given:
        def __class_getitem__(cls, types: tuple[Any, Any]) -> Any:
            return types[1]


P = ParamSpec("P")
T = TypeVar("T")

Time = Annotated[Given[str | float | timedelta, Span], BeforeValidator(Span.parse)]
Bytes = Annotated[Given[str | int, int], BeforeValidator(parse_bytes)]
Many = Annotated[Given[Iterable[T], tuple[T, ...]], Field(strict=False)]
Count = Annotated[int, Field(gt=0)]
Amount = Annotated[float, Field(gt=0, strict=False)]


class Options(BaseModel):
    """Base of a table among a middleware's options: nothing else may be given, nothing is converted silently."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True, protected_namespaces=()
    )


class InFolder:
    """What wants to know the config file's folder. The runtime sets `folder` once, before `open`."""

    folder: Path | None = None

    def beside(self, path: str | Path) -> Path:
        """Return a path as the config means it: relative to its own folder."""
        return (self.folder or Path.cwd()) / Path(path).expanduser()


def option(*, default: Any) -> Any:
    """The default of an option that is given as one type and read as another: `per: Time = option(default="1m")`."""
    return default


@dataclass_transform(eq_default=False, field_specifiers=(option,))
class Configured(Middleware, InFolder):
    """A middleware whose options are the annotated fields of its class, in the order of the constructor.

    Types are pydantic's, and strict: what does not fit is a `ValueError` that names each option, and so an error of
    the config entry. `__post_init__` runs when all are set. `ClassVar`s and names with an underscore are not options.
    """

    __signature__: ClassVar[inspect.Signature] = inspect.Signature()
    # Names of middleware that it must be listed behind, or before, to do what it looks like; `auwgent check` warns.
    behind: ClassVar[Sequence[str]] = ()
    before: ClassVar[Sequence[str]] = ()
    # False: no hook of this very class puts a key or another model on ctx, or answers, so a missing key is told early.
    gives_key: ClassVar[bool] = True

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_globals.get("__name__") != cls.__module__:
            frame = frame.f_back
        known = (
            {} if frame is None else {**frame.f_globals, **frame.f_locals}
        )  # for annotations that are texts
        options = dict(cls.__signature__.parameters)  # of its base
        for name, kind in inspect.get_annotations(cls).items():
            if name.startswith("_") or "ClassVar" in str(kind):
                continue
            options.pop(name, None)  # one that is named again stands where it was named last
            options[name] = inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=getattr(cls, name, inspect.Parameter.empty),
                annotation=eval(kind, known) if isinstance(kind, str) else kind,
            )
        cls.__signature__ = inspect.Signature(list(options.values()))

    def __init__(self, *args: Any, **options: Any) -> None:
        try:
            given = type(self).__signature__.bind(*args, **options)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        given.apply_defaults()
        own: Any = type(self)
        for name, value in checked(_form(own), given.arguments).items():
            setattr(self, name, value)
        self.run_key = f"{self.name} {new_id()}"  # where on `ctx` this instance keeps what belongs to one run
        self.__post_init__()

    def __post_init__(self) -> None:
        """Make of the options what is needed; refuse with `ValueError` those that do not go together."""


class Kept(Configured):
    """A middleware with a database of its own, shared by all processes: `tables` in it, in `DEFAULT_FILE`.

    A class that has an option `url` lets the user name another one, such as that of the sessions, or `sqlite://`,
    which is kept in this process alone.
    """

    tables: ClassVar[Sequence[Any]]  # of SQLAlchemy, as classes of SQLModel have them
    DEFAULT_FILE: ClassVar[str]

    def __post_init__(self) -> None:
        self._side = store.side.SideDatabase(
            getattr(self, "url", None), self.tables, default=self.DEFAULT_FILE
        )
        self.clock: Callable[[], datetime] = now

    async def open(self) -> None:
        """Open the database, and create what is missing."""
        await self._side.open(self.folder)

    async def close(self) -> None:
        """Let what is under way end, then close the database."""
        await self._side.close()

    async def carry_out(
        self, job: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a job in a thread of the database, which is opened if it is not."""
        return await self._side.run(self.folder, job, *args, **kwargs)


def checked(form: type[BaseModel], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options as they are meant, or a `ValueError` that says for each one what is wrong with it."""
    try:
        return dict(form.model_validate(options))
    except ValidationError as error:
        told = [
            misfit(one, whole="the options", shown=0 if is_secret(one["loc"]) else SHOWN)
            for one in error.errors()
        ]
        raise ValueError("; ".join(told)) from None


@cache
def _form(cls: Any) -> type[BaseModel]:
    """Return what the options are checked with; made late, since most classes are never instantiated."""
    fields: dict[str, Any] = {
        name: (one.annotation, ...) for name, one in cls.__signature__.parameters.items()
    }
    return create_model(f"{cls.__name__}Options", __base__=Options, **fields)
