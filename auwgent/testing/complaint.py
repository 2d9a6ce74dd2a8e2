"""Makes a [[test]] and its tape of a conversation that was really had."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli_w

from auwgent.engine.order import Services
from auwgent.errors import AuwgentError, ConfigError
from auwgent.files import make_folder, write_new
from auwgent.replay import Point, point_of
from auwgent.runtime import Runtime
from auwgent.session import Session, new_id
from auwgent.tape import RecordedModels, Recorder
from auwgent.tape.form import clean
from auwgent.tape.remade import RecordedPast, Said, SaidModels
from auwgent.tape.stored import StoredCalls
from auwgent.testing.suite import FOLDER

LONGEST = 200  # characters of an answer that are expected as a whole
HEAD = "# What happened is what is expected: change it into what should have happened.\n"


async def as_test(agent: Runtime, session: Session, name: str, at: str | None = None) -> Path:
    """Write a test and its tape of the exchange at a turn, the newest one without it; gives the file of the test.

    They stand in `tests` beside the config: `NAME.toml`, `tapes/NAME.jsonl`, and `sessions/NAME.json` with what was
    said before. Secrets are masked. `ConfigError` where one of the files is there already, or the config of now
    makes another run of it.
    """
    point = point_of(session, at, agent)
    if not isinstance(point.input, str):
        raise ConfigError("a test begins with words of the user: give `--at` the turn of such words")
    folder = agent.config.folder / FOLDER
    stem = re.sub(r"[^\w-]+", "-", name.strip()).strip("-") or "test"
    file, tape, before = (
        folder / f"{stem}.toml",
        folder / "tapes" / f"{stem}.jsonl",
        folder / "sessions" / f"{stem}.json",
    )
    for path in (file, tape, before):
        if path.exists():
            raise ConfigError(f"{path} is there already: give the test another name")
    await _run(agent, session, point, tape)
    table: dict[str, Any] = {"name": name, "input": clean(point.input), "tape": f"tapes/{tape.name}"}
    if point.before:
        make_folder(before.parent)
        history = session.model_copy(update={"turns": point.before, "stack": point.stack})
        write_new(
            before, json.dumps(clean(history.model_dump(mode="json")), ensure_ascii=False, indent=2) + "\n"
        )
        table["session"] = f"sessions/{before.name}"
    table["expect"] = clean(_expectation(point))
    make_folder(folder)
    write_new(file, HEAD + tomli_w.dumps({"test": [table]}))
    return file


async def _run(agent: Runtime, session: Session, point: Point, tape: Path) -> None:
    """Run the exchange again, with the answers and results of then, and write them to the tape."""
    recorder = Recorder(tape, agent.config.agent.model)
    past = RecordedPast(recorder, StoredCalls(session.turns))

    def deck(services: Services) -> Services:
        models = RecordedModels(SaidModels(services.models, Said(point.after)), recorder)
        return replace(services, models=models, tape=past)

    fork = session.model_copy(
        update={"id": new_id(), "turns": list(point.before), "stack": point.stack}, deep=True
    )
    with tempfile.TemporaryDirectory(prefix="auwgent-test-", ignore_cleanup_errors=True) as kept:
        other = agent.rehearsed(Path(kept), (), None, None, deck)
        try:
            async with other:
                await other.run(point.input, session=fork)
        except ConfigError:
            raise
        except AuwgentError as error:
            _remove(tape)
            raise ConfigError(f"the config of now does not run this as it ran then: {error}") from error


def _expectation(point: Point) -> dict[str, Any]:
    calls = [call.name for turn in point.after for call in turn.tool_calls or ()]
    said = [turn.text for turn in point.after if turn.role == "assistant" and turn.text]
    expect: dict[str, Any] = {"status": "completed", "calls": calls}
    if said:
        text = said[-1] if len(said[-1]) <= LONGEST else said[-1][:LONGEST].rpartition(" ")[0]
        expect["text"] = text
    return expect


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
