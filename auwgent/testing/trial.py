"""Runs tests: each with each of its models, on a store that is thrown away, from its tape or for real."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auwgent.config import Config
from auwgent.engine.agent import ApprovalRequest
from auwgent.errors import AuwgentError, ConfigError
from auwgent.files import make_folder
from auwgent.intents import CALLS
from auwgent.runtime import Runtime, Source
from auwgent.session import Session, Usage, new_id
from auwgent.tape import TapeFile
from auwgent.tape.voices import name_of
from auwgent.testing.expectations import Outcome, problems
from auwgent.testing.suite import Trial, check_of, session_of

AT_ONCE = 4  # trials side by side
NO_TAPE = "it has no tape and was not run: --live runs it for real, `tape` and --record write one"


@dataclass(frozen=True, slots=True)
class How:
    """How tests are run: `record` writes their tapes, `live` also runs those without one."""

    record: bool = False
    live: bool = False
    models: tuple[str, ...] = ()  # in place of those that the tests name
    profile: str | None = None
    overrides: tuple[str, ...] = ()


@dataclass(slots=True)
class Result:
    """One test with one model, once: what is wrong, in words, and what it took."""

    trial: Trial
    model: str  # as the config names it
    repeat: int  # counted from 1
    played: bool = False  # from its tape: the seconds say nothing of the model then
    problems: list[str] = field(default_factory=list)
    outcome: Outcome | None = None

    @property
    def passed(self) -> bool:
        """Whether all was as expected."""
        return not self.problems

    @property
    def usage(self) -> Usage:
        """What it used."""
        return Usage(usd=0.0) if self.outcome is None else self.outcome.usage

    def plain(self) -> dict[str, Any]:
        """Return it as JSON data."""
        table, got = self.trial.table, self.outcome
        facts: dict[str, Any] = {
            "test": table.name,
            "place": self.trial.place,
            "model": self.model,
            "repeat": self.repeat,
            "passed": self.passed,
            "problems": self.problems,
        }
        if got is None:
            return facts
        return facts | {
            "status": got.status,
            "text": got.session.text,
            "calls": got.calls,
            "llm_calls": got.llm_calls,
            "usage": got.usage.model_dump(mode="json"),
            "seconds": round(got.seconds, 3),
        }


async def run_all(
    source: Source, config: Config, trials: Sequence[Trial], how: How, done: Callable[[Result], None]
) -> list[Result]:
    """Run tests side by side, those on one tape one after the other; gives their results in order."""
    room = asyncio.Semaphore(AT_ONCE)
    tapes: dict[Path, asyncio.Lock] = {}

    async def run(trial: Trial, model: str) -> list[Result]:
        tape = None if trial.tape is None else tapes.setdefault(trial.tape.resolve(), asyncio.Lock())
        async with tape or asyncio.Lock(), room:
            return await _run(source, config, trial, model, how, done)

    for trial in trials if how.record else ():
        _begin_tape(trial, how.models)
    jobs = [
        run(trial, model)
        for trial in trials
        for model in how.models or trial.table.models or (config.agent.model,)
    ]
    found = [result for results in await asyncio.gather(*jobs) for result in results]
    for trial in trials if how.record else ():
        _end_tape(trial, [result for result in found if result.trial is trial])
    return found


def _fresh(tape: Path) -> Path:
    """Return where a tape is written until its test is over."""
    return tape.with_name(f"{tape.name}.new")


def _begin_tape(trial: Trial, models: Sequence[str]) -> None:
    """Begin a new tape; with some `models` alone, the voices of all others are kept."""
    if trial.tape is None:
        return
    make_folder(trial.tape.parent)
    fresh = TapeFile(_fresh(trial.tape))
    fresh.path.unlink(missing_ok=True)
    if models and trial.tape.exists():
        for _, entry in TapeFile(trial.tape).entries():
            if entry.get("voice") not in models:
                fresh.append(entry)


def _end_tape(trial: Trial, results: Sequence[Result]) -> None:
    """Put the new tape in its place. Where a run failed that should not, the old one stays."""
    if trial.tape is None or not _fresh(trial.tape).exists():
        return
    wanted = trial.table.expect.status or "completed"
    if any(one.outcome is None or (one.outcome.error and one.outcome.status != wanted) for one in results):
        _fresh(trial.tape).unlink()
    else:
        _fresh(trial.tape).replace(trial.tape)


async def _run(
    source: Source, config: Config, trial: Trial, model: str, how: How, done: Callable[[Result], None]
) -> list[Result]:
    """Run a test with one model as often as it wants to be, by one agent."""
    tape, results = trial.tape, []
    repeats = range(1, trial.table.repeat + 1)
    refused = _refused(tape, how)
    with tempfile.TemporaryDirectory(prefix="auwgent-test-", ignore_cleanup_errors=True) as kept:
        agent: Runtime | None = None
        record: Path | None = None
        try:
            if not refused:
                use = model
                if tape is not None and not how.record:
                    use = name_of(tape.resolve(), model)
                elif tape is not None:
                    record = _fresh(tape)
                agent = Runtime(
                    source,
                    profile=how.profile,
                    overrides=(*how.overrides, f"agent.model={json.dumps(use, ensure_ascii=False)}"),
                    on_approval=_answers(trial),
                    rehearsal=Path(kept),
                )
            for repeat in repeats:
                result = Result(trial, model, repeat, played=tape is not None and not how.record)
                if agent is None:
                    result.problems.append(refused)
                else:
                    result.outcome = await _played(agent, trial, record)
                    check = check_of(trial, config)
                    result.problems = await problems(trial.table.expect, check, result.outcome)
                results.append(result)
                done(result)
        finally:
            if agent is not None:
                await agent.close()
    return results


def _refused(tape: Path | None, how: How) -> str:
    if tape is None:
        return "" if how.live else NO_TAPE
    if how.record or tape.exists():
        return ""
    return f"there is no tape {tape}: `auwgent test --record` writes it"


def _answers(trial: Trial) -> Callable[[ApprovalRequest], Any]:
    def answer(request: ApprovalRequest) -> Any:
        return trial.table.answers.get(request.tool)

    return answer


async def _played(agent: Runtime, trial: Trial, record: Path | None) -> Outcome:
    """Say all inputs of a test, one after the other; a run that fails ends it."""
    table = trial.table
    given = session_of(trial)
    session = (given or Session()).model_copy(update={"id": new_id()}, deep=True)
    got = Outcome(session, since=len(session.turns))
    began = time.monotonic()
    async with agent:
        for text in (table.input, *table.then):
            stream = agent.stream(text, session=got.session, context=table.context, record=record)
            try:
                async for intent in stream:
                    if intent.partial:
                        continue
                    if intent.name in CALLS:
                        got.calls.append(intent.value["type"])
                    elif intent.name == "model_call":
                        got.llm_calls += 1
                    elif intent.name == "response_schema":
                        got.answer = intent.value["response"]
                got.status = getattr(stream.session, "status", "") or "completed"
            except ConfigError:
                raise
            except AuwgentError as error:
                got.error, got.status = error, "failed"
            got.usage += stream.usage or Usage(usd=0.0)
            got.session = stream.session or got.session
            if got.status != "completed":
                break
    got.seconds = time.monotonic() - began
    return got
