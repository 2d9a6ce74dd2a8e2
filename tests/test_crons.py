"""When schedules fire, also where clocks are set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from auwgent.crons import check, times, zone
from auwgent.fleet.schedules import wanted

pytestmark = pytest.mark.process


def fired(line: str, place: str, after: str, upto: str) -> list[tuple[str, str]]:
    begin, end = (datetime.fromisoformat(f"{one}+00:00") for one in (after, upto))
    return [(f"{wall:%d %H:%M}", f"{at:%d %H:%M}") for wall, at in times(line, zone(place), begin, end)]


def test_a_schedule_is_of_its_zone() -> None:
    assert fired("0 7 * * 1-5", "Europe/Berlin", "2026-07-03T00:00", "2026-07-07T12:00") == [
        ("03 07:00", "03 05:00"),
        ("06 07:00", "06 05:00"),
        ("07 07:00", "07 05:00"),
    ]
    assert fired("0 0 * * *", "UTC", "2026-07-03T00:00", "2026-07-04T00:00") == [("04 00:00", "04 00:00")]


def test_an_hour_that_comes_twice_fires_once() -> None:
    found = fired("30 * * * *", "Europe/Berlin", "2026-10-24T23:00", "2026-10-25T02:59")
    assert found == [("25 01:30", "24 23:30"), ("25 02:30", "25 00:30"), ("25 03:30", "25 02:30")]


def test_an_hour_that_is_left_out_fires_behind_it() -> None:
    found = fired("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T12:00")
    assert found == [("29 02:30", "29 01:30")]


@pytest.mark.parametrize(
    ("line", "words"), [("* * *", "five fields"), ("0 7 * * 9", "five fields of cron"), ("a b c d e", "five")]
)
def test_what_cron_does_not_know_is_refused(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(line)
    with pytest.raises(ValueError, match="time zone"):
        zone("Mars/Base")


@pytest.mark.parametrize(("missed", "kept"), [("skip", [3]), ("once", [3]), ("all", [0, 1, 2, 3])])
def test_what_was_missed_is_made_up_for_as_the_schedule_says(missed: str, kept: list[int]) -> None:
    now = datetime(2026, 7, 3, 12, 0, 30, tzinfo=UTC)
    found = [(now, now - timedelta(hours=hours, seconds=30)) for hours in (3, 2, 1, 0)]
    assert wanted(found, missed, now) == [found[number] for number in kept]
    late = found[:3]
    assert wanted(late, missed, now) == {"skip": [], "once": late[-1:], "all": late}[missed]
