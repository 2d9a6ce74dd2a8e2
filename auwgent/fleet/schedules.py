"""Runs that begin at times of their own: each firing is accepted in one transaction, by whichever worker is first."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from auwgent.config import ScheduleConfig
from auwgent.crons import times, zone
from auwgent.fleet.queue import Carrier, Queue
from auwgent.runs import asked_of
from auwgent.session import now
from auwgent.store.line import Connection, Submission, queue_named
from auwgent.store.tables import to_json

PUNCTUAL = timedelta(seconds=60)  # a firing that is later was missed
MOST = 1_000  # firings that are made up for at once

Firing = tuple[datetime, datetime]  # what the clock on the wall shows, and the moment


class Schedules:
    """The schedules of a config. Which of their firings were seen to stands in the database."""

    def __init__(self, queue: Queue, agent: Carrier) -> None:
        self._queue, self._agent = queue, agent
        self._looked = now() - PUNCTUAL

    async def look(self) -> None:
        """Fire what is due."""
        at = now()
        due = [one for one in self._agent.config.schedules if self._may_be_due(one, at)]
        for schedule in due:
            await self._queue.write(partial(self._fire, schedule=schedule, at=at))
        self._looked = at

    def _may_be_due(self, schedule: ScheduleConfig, at: datetime) -> bool:
        if self._looked < at - PUNCTUAL / 2:  # the first time, or after a long while
            return True
        return any(True for _ in times(schedule.cron, zone(schedule.timezone), self._looked, at))

    def _fire(self, connection: Connection, schedule: ScheduleConfig, at: datetime) -> None:
        line = self._queue.line
        seen = line.seen_to(connection, schedule.name, at)
        if seen is None or seen >= at:  # it is new, or another worker has been here
            return
        found = list(times(schedule.cron, zone(schedule.timezone), seen, at))
        for wall, _ in wanted(found, schedule.missed, at)[-MOST:]:
            if schedule.overlap == "skip" and line.is_under_way(
                connection, schedule.user, f"{schedule.name}@"
            ):
                continue
            line.accept(connection, self._asked(schedule, wall))

    def _asked(self, schedule: ScheduleConfig, wall: datetime) -> Submission:
        agent = self._agent.config.agent.name
        said = _filled(schedule.input, wall)
        return Submission(
            user_id=schedule.user,
            session_id=_filled(schedule.session, wall),
            run_id=f"{schedule.name}@{wall:%Y-%m-%dT%H:%M}",
            queue=queue_named(agent, None),
            asked=asked_of(said, agent),
            input=to_json(said),
            settings=to_json({"agent": agent}),
        )


def wanted(found: list[Firing], missed: str, at: datetime) -> list[Firing]:
    """Return those of the firings due that are to happen, where some of them were missed."""
    late = [one for one in found if at - one[1] > PUNCTUAL]
    if missed == "all" or not late:
        return found
    return found[len(late) :] if missed == "skip" else found[-1:]


def _filled(text: str, wall: datetime) -> str:
    return text.replace("{date}", f"{wall:%Y-%m-%d}").replace("{time}", f"{wall:%H:%M}")
