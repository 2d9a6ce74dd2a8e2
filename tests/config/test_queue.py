"""What [queue] and [[schedules]] may say."""

from __future__ import annotations

from typing import Any

import pytest

from auwgent import ConfigError, auwgent
from auwgent.config import load

POSTGRESQL = {"use": "auwgent.middleware.SQLModelSessions", "url": "postgresql://127.0.0.1:1/none"}
SCHEDULE = {"name": "a", "cron": "0 7 * * *", "session": "s", "input": "Hello"}


def tree(**more: Any) -> dict[str, Any]:
    return {"agent": {"model": "scripted/echo"}, "queue": {}, **more}


def test_a_queue_has_defaults() -> None:
    queue = load(tree()).queue
    assert queue is not None
    assert (queue.use, queue.concurrency, queue.retries, str(queue.lease)) == ("dbos", 20, 5, "6s")
    assert (queue.per_user, queue.url, queue.max_waiting) == (None, None, 100_000)
    assert load({"agent": {"model": "scripted/echo"}}).queue is None


@pytest.mark.process
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"queue": {"url": "sqlite:///a.db"}}, "a SQLite file is of one machine alone"),
        ({"queue": {"lease": "1s"}}, "at least 2s"),
        ({"queue": {"use": "celery"}}, "dbos"),
        ({"queue": {"retries": -1}}, "retries"),
        ({"schedules": [SCHEDULE, SCHEDULE]}, "two schedules named 'a'"),
        ({"schedules": [{**SCHEDULE, "cron": "7 * *"}]}, "five fields of cron"),
        ({"schedules": [{**SCHEDULE, "timezone": "Mars"}]}, "name of a time zone"),
        ({"schedules": [{**SCHEDULE, "missed": "some"}]}, "skip"),
    ],
)
def test_what_a_queue_cannot_be_is_told(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(tree(**wrong))


def test_schedules_need_a_queue() -> None:
    with pytest.raises(ConfigError, match="need a queue"):
        load({"agent": {"model": "scripted/echo"}, "schedules": [SCHEDULE]})


@pytest.mark.parametrize("middleware", [["auwgent.middleware.SQLModelSessions"], []])
def test_a_queue_needs_postgresql(middleware: list[Any]) -> None:
    with pytest.raises(ConfigError, match="queue"):
        auwgent(tree(middleware=middleware))
    auwgent(tree(middleware=[POSTGRESQL]))
