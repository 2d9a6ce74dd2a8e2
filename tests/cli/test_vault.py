"""The vault of Redact goes with the sessions that commands copy, rename and delete."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

from tests.support.command import Command

MAIL = "ada@example.com"
CONFIG = """
middleware = ["auwgent.middleware.SQLModelSessions", { use = "auwgent.middleware.Redact", vault = true }]

[agent]
model = "scripted/echo"
"""


def test_commands_take_it_along(auwgent: Command) -> None:
    (auwgent.folder / "auwgent.toml").write_text(CONFIG)
    assert auwgent("run", "-s", "a", f"I am {MAIL}").returncode == 0
    assert auwgent("sessions", "fork", "a", "b").returncode == 0
    assert auwgent("sessions", "rename", "a", "c").returncode == 0
    assert placeholders(auwgent.folder) == [("b", "[EMAIL_1]"), ("c", "[EMAIL_1]")]
    assert auwgent("sessions", "delete", "b").returncode == 0
    assert auwgent("sessions", "prune", "--keep", "0").returncode == 0
    assert placeholders(auwgent.folder) == []
    file = auwgent.folder / ".auwgent/secrets.db"
    assert [path.name for path in file.parent.glob("secrets.db*") if b"ada@" in path.read_bytes()] == []


def placeholders(folder: Path) -> list[tuple[str, str]]:
    with closing(connect(folder / ".auwgent/secrets.db")) as file:
        rows = file.execute(
            "SELECT session_id, placeholder FROM auwgent_secrets ORDER BY session_id"
        ).fetchall()
    return [(json.loads(session), placeholder) for session, placeholder in rows]
