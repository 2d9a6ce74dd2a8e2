"""`auwgent runs cancel|follow|retry`, typed while another process has the run."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command

CONFIG = """
[agent]
name = "Main"
model = "main"
tools = ["shop.pay"]

[api_keys]
openai = "${A_KEY_THAT_IS_NOT_SET}"

[models.main]
use = "scripted/main"
params.repeat = true

[[models.main.params.replies]]
when = "pay"
text = "One moment."
tool_calls = [{ name = "pay" }]

[[models.main.params.replies]]
result = "paid"
text = "It is paid."

[[models.main.params.replies]]
when = "break"
error = { fault = "auth", message = "wrong key", times = 1 }
text = "Mended."
"""
SHOP = '''
import pathlib
import time


def pay() -> str:
    """Pays."""
    for _ in range(2400):
        if pathlib.Path("go").exists():
            return "paid"
        time.sleep(0.05)
    return "too late"
'''


@pytest.fixture
def shop(tmp_path: Path) -> Command:
    (tmp_path / "auwgent.toml").write_text(CONFIG)
    (tmp_path / "shop.py").write_text(SHOP)
    return Command(tmp_path)


def runs(shop: Command) -> list[dict[str, Any]]:
    listed = shop("runs", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    return [json.loads(line) for line in listed.stdout.splitlines()]


def until(shop: Command, status: str) -> str:
    """The id of the newest run, once it stands so."""
    for _ in range(100):
        if (found := runs(shop)) and found[0]["status"] == status:
            return str(found[0]["run_id"])
        time.sleep(0.1)
    raise AssertionError(f"no run is {status}: {runs(shop)}")


@pytest.mark.process
def test_a_run_is_cancelled_by_the_beginning_of_its_id(shop: Command) -> None:
    process = shop.start("run", "-s", "s", "Please pay")
    run_id = until(shop, "running")
    cancelled = shop("runs", "cancel", run_id[:8])
    assert (cancelled.returncode, run_id in cancelled.stdout, "cancelled" in cancelled.stdout) == (
        0,
        True,
        True,
    )
    (shop.folder / "go").touch()
    assert process.wait(60) == 1
    assert runs(shop)[0]["status"] == "cancelled"
    exported = json.loads(shop("sessions", "export", "s").stdout)
    assert [turn.get("outcome") for turn in exported["turns"] if turn["role"] == "tool"] == ["unknown"]
    assert shop("runs", "cancel", run_id).returncode == 0
    over = shop("run", "-s", "s", "Please pay")
    assert over.returncode == 0
    late = shop("runs", "cancel", runs(shop)[0]["run_id"])
    assert (late.returncode, "is over: it is completed" in late.stderr) == (1, True)


@pytest.mark.process
def test_a_run_of_another_process_is_followed(shop: Command) -> None:
    process = shop.start("run", "-q", "-s", "s", "Please pay")
    run_id = until(shop, "running")
    following = shop.start("runs", "follow", run_id[:8], "--json")
    time.sleep(1.5)
    (shop.folder / "go").touch()
    assert process.wait(60) == 0
    assert following.wait(60) == 0
    told = shop("runs", "follow", run_id)
    assert (told.returncode, told.stdout) == (0, "One moment.\nIt is paid.\n")
    lines = [json.loads(line) for line in shop("runs", "follow", run_id, "--json").stdout.splitlines()]
    names = [line["name"] for line in lines[:-1]]
    assert names == [
        *("model_call", "response_text", "tool_call", "tool_result"),
        *("model_call", "response_text"),
    ]
    assert (lines[-1]["status"], lines[-1]["text"]) == ("completed", "It is paid.")


@pytest.mark.process
def test_ctrl_c_ends_the_looking_on_and_not_the_run(shop: Command) -> None:
    process = shop.start("run", "-q", "-s", "s", "Please pay")
    run_id = until(shop, "running")
    with shop.on_terminal("runs", "follow", run_id) as following:
        following.until("One moment.", 60)  # it has the run, and looks on
        following.type("\x03")
        assert following.ended(60) == 130
    assert runs(shop)[0]["status"] == "running"
    (shop.folder / "go").touch()
    assert process.wait(60) == 0
    assert runs(shop)[0]["status"] == "completed"


@pytest.mark.process
def test_the_last_run_of_a_session_is_tried_again(shop: Command) -> None:
    (shop.folder / "go").touch()
    assert shop("run", "-s", "s", "--set", "limits.llm_calls=1", "Please pay").returncode == 1
    failed_id = runs(shop)[0]["run_id"]
    assert runs(shop)[0]["status"] == "failed"
    again = shop("runs", "retry", failed_id[:8])
    assert (again.returncode, again.stdout) == (0, "It is paid.\n")
    exported = json.loads(shop("sessions", "export", "s").stdout)
    assert [turn["role"] for turn in exported["turns"]] == ["user", "assistant", "tool", "assistant"]
    assert shop("runs", "retry", failed_id).returncode == 2  # no longer the last one
    assert shop("run", "-s", "t", "Please break").returncode == 1
    mended = shop("runs", "retry", runs(shop)[0]["run_id"], "--json")
    last = json.loads(mended.stdout.splitlines()[-1])
    assert last["session_id"] == "t"
    refused = shop("runs", "retry", runs(shop)[-1]["run_id"])
    assert (refused.returncode, "its last one is" in refused.stderr) == (2, True)


@pytest.mark.process
def test_a_run_that_was_refused_before_it_said_anything_is_tried_again_with_its_input(shop: Command) -> None:
    limited = f"""middleware = [
    "auwgent.middleware.SQLModelSessions",
    {{ use = "auwgent.middleware.RateLimit", runs = 1, per = "1h" }},
]
{CONFIG}"""
    (shop.folder / "auwgent.toml").write_text(limited)
    (shop.folder / "go").touch()
    assert shop("run", "-s", "s", "Please pay").returncode == 0
    assert shop("run", "-s", "s", "And pay this").returncode == 1
    refused = runs(shop)[0]["run_id"]
    assert "input: And pay this" in shop("runs", "show", refused).stdout
    assert "And pay this" not in shop("sessions", "show", "s").stdout
    for file in (shop.folder / ".auwgent").glob("limits.db*"):
        file.unlink()
    again = shop("runs", "retry", refused)
    assert (again.returncode, again.stdout) == (0, "One moment.\nIt is paid.\n")
    exported = json.loads(shop("sessions", "export", "s").stdout)
    said = [turn["content"] for turn in exported["turns"] if turn["role"] == "user"]
    assert said == ["Please pay", "And pay this"]


@pytest.mark.process
def test_what_was_sent_is_shown_as_far_as_it_is_stored(shop: Command) -> None:
    (shop.folder / "go").touch()
    assert shop("run", "-s", "s", "--set", "agent.prompt=You are a shop.", "Please pay").returncode == 0
    shown = shop("runs", "show", runs(shop)[0]["run_id"], "--debug")
    assert shown.returncode == 0
    first, second = shown.stderr.split("── request ")[1:]
    assert "You are a shop." in first
    assert "Please pay" in first
    assert "→ pay({})" in second
    assert "→ pay({})" not in first
    assert "not stored" in second


@pytest.mark.process
def test_beginnings_of_ids_name_sessions_and_what_is_not_clear_is_said(shop: Command) -> None:
    (shop.folder / "go").touch()
    for name in ("page", "palm", "pa"):
        assert shop("run", "-q", "-s", name, "Please pay").returncode == 0
    assert "It is paid." in shop("sessions", "show", "pag").stdout
    unclear = shop("sessions", "show", "p")
    assert (unclear.returncode, unclear.stderr) == (
        2,
        "error: several sessions begin with 'p': pa, palm, page; give more of the id\n",
    )
    assert shop("sessions", "show", "pa").returncode == 0
    assert json.loads(shop("sessions", "fork", "pal", "copy", "--json").stdout)["forked_from"] == "palm"
    assert shop("sessions", "delete", "pal", "cop").returncode == 0
    left = [one["id"] for one in json.loads(shop("sessions", "list", "--json").stdout)]
    assert left == ["pa", "page"]
    assert "there is no run 'zz'" in shop("runs", "cancel", "zz").stderr
