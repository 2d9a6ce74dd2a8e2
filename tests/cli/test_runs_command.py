"""`auwgent runs`, as it is typed."""

from __future__ import annotations

import json

from tests.cli.test_sessions_command import Command, auwgent, done, failed, talked

__all__ = ["auwgent", "talked"]


def rows(command: Command, *options: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in done(command("runs", "list", "--json", *options)).splitlines()]


def test_list_prints_an_object_a_line_the_newest_first(talked: Command) -> None:
    sky, cat = rows(talked)
    names = [
        "run_id",
        "session_id",
        "user_id",
        "status",
        "agent",
        "calls",
        "made_at",
        "started_at",
        "ended_at",
        "error",
    ]
    assert list(sky) == names
    assert (sky["session_id"], cat["session_id"]) == ("sky", "cat")
    assert (sky["status"], sky["agent"], sky["calls"], sky["error"]) == ("completed", "Main", [], None)
    assert [row["session_id"] for row in rows(talked, "-u", "ada")] == ["hers"]
    assert rows(talked, "-n", "1") == [sky]
    assert rows(talked, "--status", "failed") == []


def test_a_failed_run_is_told_where_it_happened(talked: Command) -> None:
    talked("run", "-q", "-s", "sky", "--set", "limits.tokens=1", "How is the weather?")
    done(talked("run", "-q", "-s", "sky", "And the sea?"))
    (run,) = rows(talked, "--status", "failed")
    shown = done(talked("runs", "show", str(run["run_id"])))
    assert "How is the weather?" in shown
    assert "error (LimitExceeded): the run reached `limits.tokens`" in shown
    assert (
        json.loads(done(talked("runs", "show", str(run["run_id"]), "--json")))["input"]
        == "How is the weather?"
    )
    lines = done(talked("sessions", "show", "sky")).splitlines()
    (told,) = [
        index for index, line in enumerate(lines) if line.startswith("[the run failed: the run reached")
    ]
    assert "And the sea?" in "".join(lines[told:])
    assert "And the sea?" not in "".join(lines[:told])


def test_a_run_that_is_not_there_or_anothers_is_not_found(talked: Command) -> None:
    hers = rows(talked, "-u", "ada")[0]["run_id"]
    assert "no run" in failed(talked("runs", "show", str(hers)))
    assert "no run" in failed(talked("runs", "show", "nothing"))
