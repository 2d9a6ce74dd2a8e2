"""What every store must pass, ours as well as yours.

A store is a middleware that keeps sessions: `onRunStart` and `onRunComplete`, and `onCheckpoint` if it saves on the
way. Subclass `StoreSuite` in a test module, and pytest runs it all:

    class TestMyStore(StoreSuite):
        @staticmethod
        def make(place: str) -> MyStore:
            return MyStore(place)

A store that tells of its runs, too, has `RunStoreSuite`. Needs pytest and pytest-asyncio with `asyncio_mode = "auto"`.
"""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from auwgent.errors import ConfigError, RunConflict, RunPaused, SessionConflict, SessionNotFound, ToolError
from auwgent.session import Session, ToolCall, now
from auwgent.store.base import is_run_store
from auwgent.testing.runs import StoreRun, talk

Make = Callable[[str], Any]

forked = multiprocessing.get_context("forkserver")
forked.set_forkserver_preload(["auwgent.testing.store_suite", "auwgent.middleware.sessions"])
PATIENCE = 100  # seconds for all that processes do


class StoreSuite:
    """Tests of a store. `make` gives a store on the storage at a place; each test has a place of its own.

    `make` and what it names must be importable: other processes call it, too. Runs on one session may follow
    one another, or all but one of them may fail with `SessionConflict`; both are right, a lost turn is not.
    """

    budget: ClassVar[float] = 3.0  # bytes stored for each byte of the session's JSON, at 200 turns

    @staticmethod
    def make(place: str) -> Any:
        """Return a store on the storage at this place, which may be empty."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        """Where the storage of one test is: a path that does not exist yet, or whatever `make` understands."""
        return str(tmp_path / "store")

    @staticmethod
    def break_storage(place: str) -> None:
        """Make the storage at this place unreadable and unwritable."""
        pytest.skip("break_storage is not defined")

    @staticmethod
    def size(place: str) -> int:
        """Bytes that the storage at this place takes."""
        pytest.skip("size is not defined")

    # One after the other

    async def test_a_session_goes_on_where_it_was(self, place: str) -> None:
        await self._talk(place, "one", "two")
        session = await self._load(place)
        assert [turn.text for turn in session.turns] == ["one", "You said: one", "two", "You said: two"]

    async def test_every_field_comes_back(self, place: str) -> None:
        async with opened(self.make, place) as store:
            run = await StoreRun(store, "s1").start()
            call = ToolCall(id="1", name="f", args={"x": [1.5, None, "é"]})
            run.say("Hi")
            run.ask(call).provider_data = {"signature": "abc"}
            run.answer(call, "ok")
            run.session.stack, run.session.system_prompt = ["Main", "Joker"], "Be funny."
            saved = await run.end()
            again = StoreRun(store, "s1")
            await again.start()
        assert again.session.model_copy(update={"stack": saved.stack}) == saved

    async def test_a_session_of_another_user_is_not_found(self, place: str) -> None:
        async with opened(self.make, place) as store:
            await talk(store, "mine", "s1", "u1")
            for user in ("u2", "", "u1\x1f"):
                assert (await StoreRun(store, "s1", user).start()).session.turns == []

    async def test_users_and_sessions_do_not_run_into_one_another(self, place: str) -> None:
        async with opened(self.make, place) as store:
            await talk(store, "mine", "c", "a/b")
            for user, session in (("a", "b/c"), ("a/b/c", ""), ("../a/b", "c"), ("A/B", "C")):
                assert (await StoreRun(store, session or "s", user).start()).session.turns == []

    @pytest.mark.parametrize("text", ["nul \0 inside", "half \ud800 a character", "x" * 5_000_000])
    async def test_any_text_can_be_said(self, place: str, text: str) -> None:
        """NUL and halves of characters may be replaced, but a run never fails of them."""
        async with opened(self.make, place) as store:
            run = await StoreRun(store, "s1").start()
            run.say(text)
            await run.save()
            await run.end()
            session = (await StoreRun(store, "s1").start()).session
        assert [len(turn.text) for turn in session.turns] == [len(text)]

    async def test_the_bytes_stored_are_in_proportion(self, place: str) -> None:
        await self._talk(place, *(f"{number} " + "word " * 40 for number in range(100)))
        raw = len((await self._load(place)).model_dump_json())
        assert self.size(place) <= self.budget * raw

    # What fails

    async def test_a_failed_read_is_never_a_new_session(self, place: str) -> None:
        await self._talk(place, "precious")
        self.break_storage(place)
        with pytest.raises(Exception):  # noqa: B017, PT011  # which one is the store's affair
            await self._load(place)

    async def test_a_failed_save_is_never_a_success(self, place: str) -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011, PT012
            async with opened(self.make, place) as store:
                run = await StoreRun(store, "s1").start()
                run.say("precious")
                self.break_storage(place)
                await run.end()

    # Several at once

    async def test_of_two_runs_at_once_none_loses_a_turn(self, place: str) -> None:
        await self._talk(place, "before")
        ended = await asyncio.gather(*(self._try(place, f"run {number}") for number in range(5)))
        said = {turn.text for turn in (await self._load(place)).turns}
        assert any(ended)
        for number, saved in enumerate(ended):
            assert (f"run {number}" in said) is saved

    def test_eight_processes_may_be_the_first(self, place: str) -> None:
        processes = [
            forked.Process(target=_talk_once, args=(self.make, place, f"s{number}")) for number in range(8)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(PATIENCE)
        assert [process.exitcode for process in processes] == [0] * 8

    def test_a_killed_process_loses_nothing_that_was_saved(self, place: str, tmp_path: Path) -> None:
        """A process talks, and notes each run that is saved; it is killed five times, wherever it is."""
        log = tmp_path / "log"
        log.touch()
        for attempt in range(5):
            process = forked.Process(target=_talk_on, args=(self.make, place, str(log)))
            process.start()
            before, deadline = log.stat().st_size, time.monotonic() + PATIENCE
            while log.stat().st_size == before and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(attempt / 100)
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
        noted = log.read_text().split()
        said = [turn.text for turn in asyncio.run(self._load(place)).turns]
        assert len(noted) >= 5
        assert set(noted) <= set(said)

    async def _talk(self, place: str, *texts: str) -> None:
        async with opened(self.make, place) as store:
            for text in texts:
                await talk(store, text, "s1")

    async def _load(self, place: str) -> Session:
        async with opened(self.make, place) as store:
            return (await StoreRun(store, "s1").start()).session

    async def _try(self, place: str, text: str) -> bool:
        """A run with a store of its own; whether it was saved."""
        async with opened(self.make, place) as store:
            try:
                run = await StoreRun(store, "s1").start()
                run.say(text)
                await asyncio.sleep(0.05)
                await run.end()
            except SessionConflict:
                return False
            return True


class RunStoreSuite(StoreSuite):
    """Tests of a store that tells of its runs, too: one with the methods of `auwgent.store.base.RunStore`."""

    async def test_runs_are_told_with_how_they_ended(self, place: str) -> None:
        async with opened(self.make, place) as store:
            assert is_run_store(store)
            done = await StoreRun(store, "s1").start()
            done.say("Hi")
            await done.end()
            broken = await StoreRun(store, "s2").start()
            broken.say("Ho")
            await broken.end("failed", ToolError("no such order"))
            await talk(store, "Hi", "s1", "u2")
            failed, completed = await store.runs("u1")
            assert [run.run_id for run in (failed, completed)] == [broken.state.run_id, done.state.run_id]
            assert (completed.status, completed.session_id, completed.error) == ("completed", "s1", None)
            assert failed.error == {"message": "no such order", "kind": "ToolError"}
            assert [run.session_id for run in await store.runs("u1", "failed")] == ["s2"]
            assert [run.run_id for run in await store.runs("u1", session_id="s1")] == [done.state.run_id]
            assert (await store.run("u1", done.state.run_id)).input == "Hi"
            with pytest.raises(SessionNotFound):
                await store.run("u2", done.state.run_id)

    async def test_a_run_is_done_once(self, place: str) -> None:
        async with opened(self.make, place) as store, opened(self.make, place) as other:
            await (await StoreRun(store, "s1", run_id="r1").start()).end()
            with pytest.raises(SessionConflict):
                await StoreRun(other, "s1", run_id="r1").start()
            await (await StoreRun(other, "s1", "u2", run_id="r1").start()).end()  # another user's
            assert len(await store.runs("u1")) == 1

    # A run that waits for answers

    async def test_a_paused_run_says_what_it_waits_for_and_takes_no_new_input(self, place: str) -> None:
        async with opened(self.make, place) as store, opened(self.make, place) as other:
            calls = await paused(store, "r1")
            run = await other.run("u1", "r1")
            assert (run.status, run.leg, run.ended_at) == ("paused", 1, None)
            assert [(one["id"], one["args"]) for one in run.calls] == [(one.id, one.args) for one in calls]
            session = await other.get("u1", "s1")
            assert (session.status, [one["id"] for one in session.pending]) == ("paused", ["c1", "c2"])
            assert not [turn for turn in session.turns if turn.role == "tool"]
            with pytest.raises(RunPaused) as refused:
                await StoreRun(other, "s1").start()
            assert (refused.value.run_id, len(refused.value.calls)) == ("r1", 2)
            await (await StoreRun(other, "s2").start()).end()

    async def test_answers_are_written_one_by_one_and_never_changed(self, place: str) -> None:
        async with opened(self.make, place) as store, opened(self.make, place) as other:
            await paused(store, "r1")
            for _ in range(2):
                assert (await other.answer("u1", "r1", {"c1": True})).answers == {"c1": True}
            with pytest.raises(RunConflict) as refused:
                await store.answer("u1", "r1", {"c1": False, "c2": True})
            assert refused.value.code == "already_answered"
            for wrong in ({"c2": 1}, {"c2": True, "c3": True}, {"c2": {"result": 1}}):
                with pytest.raises(ConfigError):
                    await store.answer("u1", "r1", wrong)
            assert (await store.run("u1", "r1")).answers == {"c1": True}
            for user, run_id in (("u2", "r1"), ("u1", "r2")):
                with pytest.raises(SessionNotFound):
                    await store.answer(user, run_id, {"c2": True})

    async def test_the_next_leg_finds_the_answers_and_has_the_run_alone(self, place: str) -> None:
        async with opened(self.make, place) as store, opened(self.make, place) as other:
            calls = await paused(store, "r1")
            with pytest.raises(SessionConflict):  # there is an answer still missing
                await StoreRun(other, "s1", run_id="r1", leg=2).start()
            await store.answer("u1", "r1", {"c1": True, "c2": "too dear"})
            leg = await StoreRun(other, "s1", run_id="r1", leg=2).start()
            assert leg.ctx["resumed"]["answers"] == {"c1": True, "c2": "too dear"}
            assert [one["id"] for one in leg.ctx["resumed"]["pending"]] == ["c1", "c2"]
            for call in calls:
                leg.answer(call, "done")
            await leg.end()
            with pytest.raises(SessionConflict):
                await StoreRun(store, "s1", run_id="r1", leg=2).start()
            run = await store.run("u1", "r1")
            assert (run.status, run.leg, run.input) == ("completed", 2, "Please pay")
            assert [turn.role for turn in (await store.get("u1", "s1")).turns] == [
                *("user", "assistant", "tool", "tool")
            ]
            with pytest.raises(RunConflict):
                await store.answer("u1", "r1", {"c2": True})

    async def test_a_question_is_denied_when_its_time_is_over(self, place: str) -> None:
        async with opened(self.make, place) as store:
            await paused(store, "r1", until=now() - timedelta(seconds=1))
            with pytest.raises(RunConflict) as refused:
                await store.answer("u1", "r1", {"c1": True})
            assert refused.value.code == "expired"
            assert (await store.run("u1", "r1")).status == "cancelled"
            await (await StoreRun(store, "s1").start()).end()
            assert await outcomes(store) == ["denied", "denied"]

    async def test_a_paused_run_is_cancelled_at_once(self, place: str) -> None:
        async with opened(self.make, place) as store, opened(self.make, place) as other:
            await paused(store, "r1")
            await other.cancel("u1", "r1")
            assert (await store.run("u1", "r1")).status == "cancelled"
            assert await outcomes(store) == ["skipped", "skipped"]
            with pytest.raises(RunConflict) as refused:
                await store.answer("u1", "r1", {"c1": True})
            assert refused.value.code == "not_paused"
            await (await StoreRun(store, "s1").start()).end()

    async def test_a_run_under_way_hears_that_it_is_cancelled(self, place: str) -> None:
        async with opened(self.make, place) as store, opened(self.make, place) as other:
            run, heard = StoreRun(store, "s1", run_id="r1"), threading.Event()
            run.state.cancel = heard.set
            await run.start()
            await other.cancel("u1", "r1")
            assert await asyncio.to_thread(heard.wait, PATIENCE)
            await run.end("cancelled")
            await other.cancel("u1", "r1")  # it is over already
            assert (await other.run("u1", "r1")).status == "cancelled"
            with pytest.raises(SessionNotFound):
                await other.cancel("u2", "r1")

    async def test_what_waits_is_not_pruned_and_only_the_original_can_be_answered(self, place: str) -> None:
        async with opened(self.make, place) as store:
            await paused(store, "r1")
            assert await store.prune("u1", before=now() + timedelta(days=1)) == 0
            await store.fork("u1", "s1", "s2")
            assert await outcomes(store, "s2") == ["skipped", "skipped"]
            assert (await store.get("u1", "s2")).pending == []
            assert len(await store.runs("u1", "paused")) == 1
            await store.delete("u1", "s1")
            run = await store.run("u1", "r1")
            assert (run.status, run.session_id, run.calls, run.answers) == ("cancelled", None, (), {})


async def paused(store: Any, run_id: str, until: datetime | None = None) -> list[ToolCall]:
    """Have a run of session s1 wait for answers to two calls; gives these."""
    run = await StoreRun(store, "s1", run_id=run_id).start()
    run.say("Please pay")
    calls = [ToolCall(id=f"c{number}", name="pay", args={"euro": number}) for number in (1, 2)]
    run.ask(*calls)
    await run.save()
    await run.pause(*calls, until=until)
    return calls


async def outcomes(store: Any, session_id: str = "s1") -> list[str | None]:
    """How the calls of a session have ended."""
    return [turn.outcome for turn in (await store.get("u1", session_id)).turns if turn.role == "tool"]


@asynccontextmanager
async def opened(make: Make, place: str) -> AsyncIterator[Any]:
    """A store, opened and closed where it wants that."""
    store = make(place)
    await _call(store, "open")
    try:
        yield store
    finally:
        await _call(store, "close")


async def _call(store: Any, name: str) -> None:
    outcome = getattr(store, name, lambda: None)()
    if inspect.isawaitable(outcome):
        await outcome


def _talk_once(make: Make, place: str, session_id: str) -> None:
    async def run() -> None:
        async with opened(make, place) as store:
            await talk(store, "Hi", session_id)

    asyncio.run(run())


def _talk_on(make: Make, place: str, log: str) -> None:
    async def run() -> None:
        async with opened(make, place) as store:
            while True:
                text = f"{os.getpid()}-{time.monotonic_ns()}"
                await talk(store, text, "s1")
                with Path(log).open("a") as file:  # noqa: ASYNC230  # it must be written before the next run
                    file.write(f"{text}\n")

    asyncio.run(run())
