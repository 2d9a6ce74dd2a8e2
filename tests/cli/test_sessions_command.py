"""`auwgent sessions`, `usage` and `db`, as they are typed."""

from __future__ import annotations

import io
import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from auwgent.cli import main
from auwgent.session import new_id
from auwgent.store.schema import newest
from tests.test_elsewhere import ANTHROPIC, CHAT, RESPONSES

Done = subprocess.CompletedProcess[str]

CONFIG = """
[agent]
name = "Main"
model = "main"
tools = ["house.weather"]

[models.main]
use = "scripted/main"
price = { input = 1.0, output = 2.0 }

[[models.main.params.replies]]
when = "weather"
tool_calls = [{ name = "weather", args = { city = "Oslo" } }]

[[models.main.params.replies]]
result = "rain"
text = "It rains."

[[models.main.params.replies]]
when = ""
text = "You said: {user}"
"""
HOUSE = 'def weather(city: str) -> str:\n    """The weather."""\n    return "rain\\n" * 50\n'


class Command:
    """The command line, in this process: a process of its own for each would take most of the time."""

    def __init__(self, folder: Path, streams: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.folder, self._streams, self._patch = folder, streams, patch

    def __call__(self, *args: str, stdin: str = "") -> Done:
        self._patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        self._streams.readouterr()
        code = main(list(args))
        return subprocess.CompletedProcess(args, code, *self._streams.readouterr())


@pytest.fixture
def auwgent(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """`auwgent` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AUWGENT_CONFIG", raising=False)
    return Command(tmp_path, capsys, monkeypatch)


@pytest.fixture
def talked(auwgent: Command) -> Command:
    """A folder with two sessions of nobody's and one of Ada's."""
    house = f"house_{new_id()}"  # a process knows one module of a name
    (auwgent.folder / "auwgent.toml").write_text(CONFIG.replace("house", house))
    (auwgent.folder / f"{house}.py").write_text(HOUSE)
    done(auwgent("run", "-q", "-s", "cat", "Three names for a cat"))
    done(auwgent("run", "-q", "-s", "sky", "How is the weather?"))
    done(auwgent("run", "-q", "-s", "hers", "-u", "ada", "Hello"))
    return auwgent


def with_tool(folder: Path, name: str) -> Path:
    """Another config beside the first, with this tool."""
    config = folder / "other.toml"
    config.write_text(f'[agent]\nmodel = "scripted/echo"\ntools = ["{name}"]\n')
    return config


def done(ended: Done) -> str:
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def failed(ended: Done, code: int = 1) -> str:
    assert (ended.returncode, ended.stdout) == (code, "")
    return ended.stderr


def ids(command: Command, *options: str) -> list[str]:
    rows: list[dict[str, Any]] = json.loads(done(command("sessions", "list", "--json", *options)))
    return [row["id"] for row in rows]


def test_list_shows_the_users_sessions_the_newest_first(talked: Command) -> None:
    lines = done(talked("sessions", "list")).splitlines()
    assert [line.split()[0] for line in lines] == ["sky", "cat"]
    assert lines[1].endswith("2  Three names for a cat")
    assert ids(talked, "-u", "ada") == ["hers"]
    assert ids(talked, "-n", "1") == ["sky"]
    assert ids(talked, "--since", "1h") == ["sky", "cat"]
    assert ids(talked, "--since", "2999-01-01") == []
    assert "neither an age" in failed(talked("sessions", "list", "--since", "soon"), 2)


def test_show_folds_tools_to_a_line(talked: Command) -> None:
    text = done(talked("sessions", "show"))
    call = next(line for line in text.splitlines() if "weather(" in line)
    assert call.startswith('  ✓ weather(city="Oslo") rain rain')
    assert len(call) == 102
    assert "It rains." in text
    assert json.loads(done(talked("sessions", "show", "cat", "--json")))["turns"][0]["role"] == "user"


def test_show_writes_a_page_for_its_owner_alone(talked: Command, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    assert done(talked("sessions", "show", "--html", str(file))) == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    html = file.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert done(talked("sessions", "show", "--json")).split('"')[3] in html
    assert "page.html" in failed(talked("sessions", "show", "--html", str(file)), 1)  # it is left as it is
    assert "give one of them" in failed(talked("sessions", "show", "--json", "--html", "x"), 2)


def test_a_session_that_is_not_the_users_is_not_found(talked: Command) -> None:
    assert failed(talked("sessions", "show", "hers")) == "error: there is no session 'hers'\n"
    assert "no session 'cat' of user 'ada'" in failed(talked("sessions", "delete", "-u", "ada", "cat"))


def test_search_finds_words_in_any_case(talked: Command) -> None:
    assert done(talked("sessions", "search", "NAMES", "cat")).count("cat  ") == 2
    assert json.loads(done(talked("sessions", "search", "--json", "Hello"))) == []


def test_what_is_exported_can_be_imported(talked: Command) -> None:
    done(talked("sessions", "export", "sky", "-o", "sky.json"))
    path = talked.folder / "sky.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert failed(talked("sessions", "export", "sky", "-o", "sky.json")).startswith(
        "Error: Could not open file"
    )
    assert "'sky' already" in failed(talked("sessions", "import", "sky.json"))
    assert done(talked("sessions", "import", "sky.json", "--as", "copy", "-u", "ada")) == "copy\n"
    ours, theirs = (
        json.loads(path.read_text()),
        json.loads(done(talked("sessions", "export", "-u", "ada", "copy"))),
    )
    assert theirs == {**ours, "id": "copy", "user_id": "ada"}
    assert "It rains" in done(talked("sessions", "export", "--format", "markdown"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[" * 100_000,
        "{}x",
        '{"turns": [{"role": "tool"}]}',
        '{"turns": [{"role": "user", "content": [{"type": "image", "url": "file:///etc/passwd"}]}]}',
        '{"turns": [{"role": "user", "content": [{"type": "file", "path": "/etc/passwd"}]}]}',
        '{"turns": [{"role": "assistant", "tool_calls": [{"id": "", "name": "pay", "args": {}}]}]}',
        '{"turns": [{"role": "assistant", "tool_calls": [{"id": "1", "name": "", "args": {}}]}]}',
        '{"turns": [{"role": "assistant", "usage": {"input_tokens": 100000000000000000000}}]}',
        '{"turns": [{"role": "assistant", "usage": {"output_tokens": 1000000000000001}}]}',
        '{"turns": [{"role": "assistant", "usage": {"input_tokens": 1e30}}]}',
        '{"turns": [{"role": "assistant", "usage": {"cached_tokens": -1}}]}',
        '{"turns": [{"role": "assistant", "usage": {"usd": 1e999}}]}',
        '{"version": 2}',
        '{"id": "a", "turns": [{"id": "1", "role": "user"}, {"id": "1", "role": "user"}]}',
        '{"id": "a\\u0000"}',
        "null",
    ],
)
def test_an_import_that_is_no_session_is_refused(talked: Command, text: str) -> None:
    ended = talked("sessions", "import", "-", stdin=text)
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
    assert "unexpected" not in ended.stderr
    assert ids(talked) == ["sky", "cat"]


def test_a_count_that_cannot_be_is_told_by_turn_and_field(talked: Command) -> None:
    turn = '{"role": "assistant", "usage": {"input_tokens": %d, "output_tokens": 1}}'
    said = failed(talked("sessions", "import", "-", stdin=f'{{"turns": [{turn % 1}, {turn % 10**20}]}}'), 2)
    assert said.startswith(
        "error: the input does not hold a session: `turns[1].usage.input_tokens` should be less than"
    )
    assert said.count("\n") == 1


def test_fork_rename_delete_and_prune(talked: Command) -> None:
    done(talked("sessions", "fork", "cat", "dog"))
    done(talked("sessions", "rename", "dog", "cow"))
    assert len(done(talked("sessions", "fork", "cow")).strip()) == 32
    assert failed(talked("sessions", "rename", "cow", "cat")) == "error: there is a session 'cat' already\n"
    done(talked("sessions", "delete", "cow", "cat"))
    assert "--older-than" in failed(talked("sessions", "prune"), 2)
    assert done(talked("sessions", "prune", "--older-than", "1d")) == "0\n"
    assert done(talked("sessions", "prune", "--keep", "1")) == "1\n"
    assert len(ids(talked)) == 1
    assert ids(talked, "-u", "ada") == ["hers"]


def test_what_changes_sessions_tells_it_as_json(talked: Command) -> None:
    def told(*args: str, stdin: str = "") -> Any:
        return json.loads(done(talked("sessions", *args, "--json", stdin=stdin)))

    exported = done(talked("sessions", "export", "cat", "--json"))
    assert json.loads(exported)["id"] == "cat"
    assert told("fork", "cat", "copy") == {
        "id": "copy",
        "user_id": "",
        "forked_from": "cat",
        "forked_at": None,
    }
    assert told("rename", "copy", "tom") == {"id": "tom", "user_id": "", "was": "copy"}
    assert told("import", "-", "--as", "again", stdin=exported) == {"id": "again", "user_id": ""}
    assert told("delete", "tom", "again") == {"deleted": ["tom", "again"]}
    assert told("prune", "--keep", "1") == {"pruned": 1}


@pytest.mark.parametrize(
    "args",
    [
        ["fork", "cat", ""],
        ["rename", "cat", ""],
        ["delete", "cat", ""],
        ["show", ""],
        ["import", "-", "--as", " "],
    ],
)
def test_an_empty_id_is_wrong_usage(talked: Command, args: list[str]) -> None:
    ended = talked("sessions", *args, stdin="{}")
    assert ended.returncode == 2
    assert "an id may not be empty" in ended.stderr
    assert "cat" in done(talked("sessions", "list"))


@pytest.mark.parametrize("command", [["sessions", "list"], ["sessions", "show"], ["usage"]])
def test_json_stands_alone_and_imports_no_module_of_the_users(talked: Command, command: list[str]) -> None:
    noisy = f"noisy_{new_id()}"
    (talked.folder / f"{noisy}.py").write_text(f"print('NOISE')\n{HOUSE}")
    ended = talked(*command, "--json", "-c", str(with_tool(talked.folder, f"{noisy}.weather")))
    assert json.loads(done(ended))
    assert ended.stderr == ""


def test_usage_adds_up(talked: Command) -> None:
    text = done(talked("usage", "--by", "session"))
    lines = text.splitlines()
    assert lines[0].split() == ["session", "calls", "in", "cached", "out", "USD"]
    assert {line.split()[0] for line in lines[1:]} == {"cat", "sky", "hers", "total"}
    *parts, total = [line.split()[1:] for line in lines[1:]]
    for column in (0, 1, 3):
        added = sum(int(row[column].removeprefix("~")) for row in parts)
        assert total[column] == f"{'~' if column else ''}{added}"  # the scripted model's tokens are estimated
    rows = json.loads(done(talked("usage", "--json", "-u", "ada")))
    assert [(row["key"], row["calls"]) for row in rows] == [("scripted/main", 1)]
    assert rows[0]["usd"] == pytest.approx(1e-6 * rows[0]["input_tokens"] + 2e-6 * rows[0]["output_tokens"])


def test_db_tells_the_version_of_the_schema(auwgent: Command) -> None:
    (auwgent.folder / "auwgent.toml").write_text('[agent]\nmodel = "scripted/echo"\n')
    assert done(auwgent("db", "check")).startswith("there is no database yet")
    assert not (auwgent.folder / ".auwgent").exists()
    assert done(auwgent("db", "upgrade")) == f"version none became version {newest()}\n"
    assert done(auwgent("db", "check")) == f"version {newest()}, up to date\n"


@pytest.mark.parametrize("command", [["sessions", "list"], ["usage"], ["db", "check"]])
def test_a_config_without_a_store_is_told_so(auwgent: Command, command: list[str]) -> None:
    (auwgent.folder / "auwgent.toml").write_text('middleware = []\n[agent]\nmodel = "scripted/echo"\n')
    assert "SQLModelSessions" in failed(auwgent(*command), 2)


def test_what_a_terminal_would_obey_is_shown_and_not_sent(auwgent: Command, tmp_path: Path) -> None:
    (auwgent.folder / "auwgent.toml").write_text('[agent]\nmodel = "scripted/echo"\n')
    done(auwgent("run", "-q", "-s", "s1", "\x1b[31mred"))
    for command in (["list"], ["show", "s1"], ["search", "red"]):
        assert "\x1b" not in done(auwgent("sessions", *command))


@pytest.mark.parametrize(
    ("value", "told"),
    [(CHAT, ""), (RESPONSES, "1 items of type 'reasoning'"), (ANTHROPIC, "1 blocks of type 'thinking'")],
    ids=["chat", "responses", "anthropic"],
)
def test_conversations_of_other_programs_come_in_and_go_on(talked: Command, value: Any, told: str) -> None:
    ended = talked("sessions", "import", "-", "--as", "theirs", stdin=json.dumps(value))
    assert done(ended) == "theirs\n"
    assert told in ended.stderr
    assert ended.stderr.count("\n") == bool(told)
    shown = done(talked("sessions", "show", "theirs"))
    assert all(words in shown for words in ("Look", "look(at=1) a cat", "A cat."))
    assert "You said: And then?" in done(talked("run", "-q", "-s", "theirs", "And then?"))


def test_messages_that_cannot_be_read_are_told_in_words(talked: Command) -> None:
    broken = [{"role": "user", "content": "Hi"}, {"role": "wizard", "content": "Ho"}]
    said = failed(talked("sessions", "import", "-", stdin=json.dumps(broken)), 2)
    assert said == (
        "error: the input holds chat messages that cannot be read: a message has the role 'wizard'\n"
    )
    hostile = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}
    ]
    ended = talked("sessions", "import", "-", "--as", "hostile", stdin=json.dumps(hostile))
    assert (done(ended), ended.stderr) == (
        "hostile\n",
        "left out of chat messages: 1 parts of type 'image_url'\n",
    )
    assert "passwd" not in done(talked("sessions", "export", "hostile"))


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_a_conversation_goes_out_in_the_form_of_others_and_comes_back(talked: Command, form: str) -> None:
    done(talked("sessions", "export", "sky", "--format", form, "-o", "sky.json"))
    assert stat.S_IMODE((talked.folder / "sky.json").stat().st_mode) == 0o600
    written = json.loads((talked.folder / "sky.json").read_text())
    messages = written["messages"] if form == "anthropic" else written
    assert [one["role"] for one in messages] == [
        "user",
        "assistant",
        "user" if form == "anthropic" else "tool",
        "assistant",
    ]
    assert json.loads(done(talked("sessions", "export", "sky", "--format", form))) == written
    assert done(talked("sessions", "import", "sky.json", "--as", "back")) == "back\n"
    turns = [json.loads(done(talked("sessions", "show", one, "--json")))["turns"] for one in ("sky", "back")]
    assert [[turn["role"], turn["content"]] for turn in turns[0]] == [
        [turn["role"], turn["content"]] for turn in turns[1]
    ]
    assert "give one of them" in failed(talked("sessions", "export", "sky", "--format", form, "--json"), 2)
