"""When something happens that a line of cron tells, on the clock of a time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from auwgent.errors import ConfigError

FIELDS = 5


def check(line: str) -> None:
    """`ValueError` where it is not five fields of cron that some time fits."""
    from croniter import CroniterError, croniter

    if len(line.split()) != FIELDS:
        raise ValueError(
            'should be five fields of cron, such as "0 7 * * 1-5": minute, hour, day, month, weekday'
        )
    try:
        croniter(line, datetime(2000, 1, 1)).get_next(datetime)  # noqa: DTZ001 - the clock on a wall
    except (CroniterError, ValueError, KeyError) as error:
        raise ValueError(f"should be five fields of cron: {error}") from None


def zone(name: str) -> ZoneInfo:
    """Return the time zone; `ValueError` where there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"should be the name of a time zone, such as Europe/Berlin; {name!r} is none"
        ) from None


def times(line: str, place: ZoneInfo, after: datetime, upto: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield what the clock on the wall shows, and the moment in UTC, of all that comes after one moment up to another.

    An hour that comes twice counts once, the first time; what would fall into one that is left out happens as much
    later as the clock is set forward.
    """
    try:
        from croniter import croniter
    except ImportError:
        raise ConfigError("schedules need a library: pip install 'auwgent[queue]'") from None
    # A day early: clocks were never set by more, and what is found too early is left out.
    shown = after.astimezone(place).replace(tzinfo=None, microsecond=0)
    found = croniter(line, shown.replace(hour=0, minute=0, second=0))
    wall: datetime = found.get_current(datetime)
    if croniter.match(line, wall):
        yield from _between(wall, place, after, upto)
    while True:
        wall = found.get_next(datetime)
        moment = _moment(wall, place)
        if moment > upto and wall.replace(tzinfo=place).astimezone(UTC) > upto:
            return
        yield from _between(wall, place, after, upto)


def _between(
    wall: datetime, place: ZoneInfo, after: datetime, upto: datetime
) -> Iterator[tuple[datetime, datetime]]:
    moment = _moment(wall, place)
    if after < moment <= upto:
        yield wall, moment


def _moment(wall: datetime, place: ZoneInfo) -> datetime:
    return wall.replace(tzinfo=place, fold=0).astimezone(UTC)
