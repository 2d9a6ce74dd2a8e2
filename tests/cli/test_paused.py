"""A run that pauses, and the commands that answer it, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from auwgent.session import new_id
from tests.cli.test_sessions_command import Command, auwgent, done, failed

__all__ = ["auwgent"]

CONFIG = """
[agent]
name = "Main"
model = "main"
tools = [{ use = "till.pay", approve = "ask" }]

[models.main]
use = "scripted/main"
params.repeat = true

[[models.main.params.replies]]
when = "pay"
tool_calls = [{ id = "p1", name = "pay", args = { euro = 7 } }, { id = "p2", name = "pay", args = { euro = 8 } }]

[[models.main.params.replies]]
text = "Done: {result}"
"""
TILL = '''
from pathlib import Path

def pay(euro: int) -> str:
    """Pay."""
    with Path("paid").open("a") as paid:
        paid.write(f"{euro}\\n")
    return "paid"
'''


@pytest.fixture
def asked(auwgent: Command) -> Command:
    """A folder with a session whose run waits for two answers."""
    till = f"till_{new_id()}"
    (auwgent.folder / "auwgent.toml").write_text(CONFIG.replace("till", till))
    (auwgent.folder / f"{till}.py").write_text(TILL)
    waits(auwgent("run", "-s", "s1", "Please pay"))
    return auwgent


def waits(command: Any) -> str:
    """Check that a command ended with a run that waits; gives what it says of that."""
    assert command.returncode == 3, command.stderr
    text: str = command.stderr
    return text


def run_id(command: Command) -> str:
    (row,) = done(command("runs", "list", "--status", "paused", "--json")).splitlines()
    return str(json.loads(row)["run_id"])


def paid(folder: Path) -> list[str]:
    file = folder / "paid"
    return file.read_text().split() if file.exists() else []


def test_a_run_that_pauses_says_what_for_and_the_command_that_answers(asked: Command) -> None:
    shown = asked("run", "-s", "s1", "And now?")
    told = waits(shown)
    assert shown.stdout == ""
    run = run_id(asked)
    for call, euro in (("p1", 7), ("p2", 8)):
        assert f"Main wants to call pay ({call})" in told
        assert f'"euro": {euro}' in told
        assert f"auwgent runs answer {run} {call} yes|no" in told
    assert "error" not in told


def test_json_says_what_it_waits_for(asked: Command) -> None:
    shown = asked("run", "-s", "s2", "--json", "Please pay")
    waits(shown)
    *_, before, last = map(json.loads, shown.stdout.splitlines())
    assert before["name"] == "paused"
    assert (last["event"], last["status"], last["session_id"]) == ("run", "paused", "s2")
    assert [call["id"] for call in last["calls"]] == ["p1", "p2"]
    again = asked("run", "-s", "s2", "--json", "And now?")
    waits(again)
    assert json.loads(again.stdout.splitlines()[-1])["calls"] == last["calls"]


def test_answers_go_on_with_the_run_once_the_last_is_there(asked: Command) -> None:
    run = run_id(asked)
    told = waits(asked("runs", "answer", run, "p1", "yes"))
    assert "(p2)" in told
    assert "(p1)" not in told
    assert paid(asked.folder) == []
    shown = asked("runs", "answer", run, "p2", "no", "--because", "too dear")
    assert "Done: " in done(shown)
    assert paid(asked.folder) == ["7"]
    session = json.loads(done(asked("sessions", "export", "s1")))
    assert "too dear" in session["turns"][3]["content"]
    assert done(asked("runs", "answer", run, "p2", "no", "--because", "too dear")) == ""
    assert "differently" in failed(asked("runs", "answer", run, "p2", "yes"))
    assert paid(asked.folder) == ["7"]


def test_no_run_leaves_it_to_others(asked: Command) -> None:
    run = run_id(asked)
    waits(asked("runs", "answer", run, "p1", "yes", "--no-run"))
    assert done(asked("runs", "answer", run, "p2", "yes", "--no-run")) == ""
    assert paid(asked.folder) == []
    assert "Done: " in done(asked("run", "-s", "s1", "--resume"))
    assert sorted(paid(asked.folder)) == ["7", "8"]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["p1"], "one of them"),
        (["p1", "yes", "--result", "1"], "one of them"),
        (["p1", "yes", "--because", "x"], "goes with `no`"),
        (["p1", "--result", "{"], "is not JSON"),
        (["p1", "--result", "1"], "takes true, false"),
        (["p3", "yes"], "does not wait for an answer to 'p3'"),
        (["p1", "maybe"], "maybe"),
    ],
)
def test_an_answer_that_does_not_fit_is_wrong_usage(asked: Command, typed: list[str], words: str) -> None:
    wrong = asked("runs", "answer", run_id(asked), *typed)
    assert (wrong.returncode, words in wrong.stderr) == (2, True)
    assert "Traceback" not in wrong.stderr


def test_a_run_of_another_user_cannot_be_answered(asked: Command) -> None:
    assert "there is no run" in failed(asked("runs", "answer", run_id(asked), "p1", "yes", "-u", "ada"))


def test_an_export_has_no_open_calls(asked: Command) -> None:
    session = json.loads(done(asked("sessions", "export", "s1")))
    assert [turn.get("outcome") for turn in session["turns"][2:]] == ["skipped", "skipped"]
    (asked.folder / "s1.json").write_text(json.dumps(session))
    done(asked("sessions", "import", "s1.json", "--as", "s3"))
    assert "Done: " in done(asked("run", "-q", "-s", "s3", "And now?"))
    assert run_id(asked)


def test_a_run_without_a_config_is_found_and_answered_where_none_is_named(
    auwgent: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(auwgent.folder / "data"))
    till = f"till_{new_id()}"
    (auwgent.folder / f"{till}.py").write_text(TILL)
    script = "repeat = true\n" + CONFIG[CONFIG.index("[[models") :].replace("models.main.params.", "")
    (auwgent.folder / "script.toml").write_text(script)
    assert "there is no such file" in failed(auwgent("runs", "list"), code=2)
    tool = f'agent.tools=[{{ use = "{till}.pay", approve = "ask" }}]'
    said = waits(auwgent("run", "-m", "scripted/script.toml", "--set", tool, "-s", "s1", "Please pay"))
    run = json.loads(done(auwgent("runs", "list", "--json")))["run_id"]
    assert f"auwgent runs answer {run} p1 yes|no" in said
    waits(auwgent("runs", "answer", run, "p1", "yes"))
    answered = auwgent("runs", "answer", run, "p2", "no")
    assert (answered.returncode, paid(auwgent.folder)) == (0, ["7"]), answered.stderr
    assert "Done:" in answered.stdout
    assert "Done:" in done(auwgent("sessions", "show", "s1"))
    assert "Done:" in done(auwgent("runs", "follow", run))
