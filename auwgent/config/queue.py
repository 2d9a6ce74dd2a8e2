"""The table [queue] of the config file, and its [[schedules]]."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from auwgent import crons
from auwgent.config.keys import Finding
from auwgent.config.tables import Name, Table, Url
from auwgent.limits import Count
from auwgent.spans import Span

SHORTEST = 2.0  # seconds of a lease: a process shows each second that it is alive


def _line(value: str) -> str:
    with contextlib.suppress(ImportError):  # a worker says what is missing
        crons.check(value)
    return value


def _zone(value: str) -> str:
    crons.zone(value)
    return value


class QueueConfig(Table):
    """Where runs are queued for workers."""

    use: Literal["dbos"] = Field("dbos", description="The engine that carries the runs' ids to workers.")
    url: Url | None = Field(
        None,
        repr=False,
        description="Address of the PostgreSQL database that keeps the sessions, as the engine is to reach it; when "
        "absent, that of the session store.",
    )
    concurrency: Count = Field(20, description="Runs at once in one worker process.")
    retries: Annotated[int, Field(ge=0)] = Field(
        5, description="Starts of one run after crashes without a new turn between them; then it is dead."
    )
    lease: Span = Field(
        Span.parse("6s"), description="A worker silent for so long is dead; its runs go on elsewhere."
    )
    per_user: Count | None = Field(
        None, description="Runs of one user at once over all machines; more wait without holding a worker."
    )
    max_waiting: Count = Field(
        100_000, description="Runs that may wait; more are refused, over HTTP with 503 and Retry-After."
    )

    @field_validator("url")
    @classmethod
    def _is_postgresql(cls, value: str | None) -> str | None:
        if value is not None and value.partition(":")[0] not in (
            "postgresql",
            "postgres",
            "postgresql+psycopg",
        ):
            raise ValueError(f"should be postgresql://…: {WHY}")
        return value

    @field_validator("lease")
    @classmethod
    def _is_long_enough(cls, value: Span) -> Span:
        if value.total_seconds() < SHORTEST:
            raise ValueError(
                f"should be at least {SHORTEST:g}s: a process shows each second that it is alive"
            )
        return value


# Why a queue is not kept in SQLite.
WHY = "workers of many machines share it, and a SQLite file is of one machine alone"


class ScheduleConfig(Table):
    """A run that begins at times of its own; each firing is one run, however many machines there are."""

    name: Name = Field(description="What it is called; a firing's run id is `name@time`.")
    cron: Annotated[str, AfterValidator(_line)] = Field(
        description="Minute, hour, day, month and weekday, as cron has them."
    )
    timezone: Annotated[Name, AfterValidator(_zone)] = Field(
        "UTC", description="Whose clock that is, such as Europe/Berlin; an hour that comes twice fires once."
    )
    user: str = Field("", description="The user of its runs.")
    session: Name = Field(
        description="The session of its runs; {date} and {time} in it are those of the firing.",
    )
    input: str = Field(description="What is said; {date} and {time} in it are those of the firing.")
    missed: Literal["skip", "once", "all"] = Field(
        "once", description="What becomes of firings at which no worker was there."
    )
    overlap: Literal["skip", "queue"] = Field(
        "skip", description="What becomes of a firing while the last run of the schedule is not over."
    )


def check_schedules(tree: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding for schedules without a queue, and for each whose name another one before it has."""
    tables = tree.get("schedules")
    if not isinstance(tables, (list, tuple)) or not tables:
        return
    if "queue" not in tree:
        yield Finding(("schedules",), "[[schedules]] need a queue", "add a [queue] table", about="key")
    seen: Counter[Any] = Counter()
    for index, one in enumerate(tables):
        name = one.get("name") if isinstance(one, Mapping) else None
        if isinstance(name, str):
            seen[name] += 1
            if seen[name] == 2:
                yield Finding(("schedules", index, "name"), f"there are two schedules named {name!r}")
