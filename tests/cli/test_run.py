"""`auwgent run` as a process: what is asked, what is printed where, and how it ends."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command

TOOLS = '''
import time

def look(where: str) -> str:
    """Look somewhere."""
    return f"nothing in {where}\\x1b[2J"

def shout() -> str:
    """Shout."""
    print("LOUD")
    return "loud"

def nap(seconds: float) -> str:
    """Sleep."""
    time.sleep(seconds)
    return "slept"
'''

CONFIG = """
middleware = []

[agent]
name = "Main"
model = "main"
prompt = "You help {{ ctx.name }}."
tools = ["own_tools.look", "own_tools.nap", "own_tools.shout"]

[context]
name = "nobody"

[models.main]
use = "scripted/main"
params.chunk = 4
[[models.main.params.replies]]
when = "look"
text = "Let me see."
tool_calls = [{ name = "look", args = { where = "the box" } }]
[[models.main.params.replies]]
when = "nap"
tool_calls = [{ name = "nap", args = { seconds = 60 } }]
[[models.main.params.replies]]
when = "shout"
tool_calls = [{ name = "shout" }]
[[models.main.params.replies]]
result = "loud"
text = "It was {result}."
[[models.main.params.replies]]
result = "nothing"
text = "There is {result}."
[[models.main.params.replies]]
when = "count"
text = "one two three four five six seven eight"
pause = 0.2
[[models.main.params.replies]]
when = "escape"
text = "\\u001b[31mred\\u0007"
[[models.main.params.replies]]
when = "fail"
error = { status = 401, message = "no such key" }
[[models.main.params.replies]]
system = "help Ada"
text = "Hello Ada"
[[models.main.params.replies]]
when = ""
text = "You said: {user}"

[models.other]
use = "scripted/echo"

[profiles.other]
agent.model = "other"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own_tools.py").write_text(TOOLS)
    (tmp_path / "auwgent.toml").write_text(CONFIG)
    return tmp_path


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def session_id(done: subprocess.CompletedProcess[str]) -> str:
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("session: ")]
    return line.removeprefix("session: ")


@pytest.mark.usefixtures("folder")
class TestTheAnswer:
    def test_stands_alone_on_standard_output(self, auwgent: Command) -> None:
        done = auwgent("run", "Hi")
        assert (done.returncode, done.stdout) == (0, "You said: Hi\n")
        assert done.stderr == f"session: {session_id(done)}\n"

    def test_comes_with_its_steps_beside_it(self, auwgent: Command) -> None:
        done = auwgent("run", "look around")
        assert done.stdout == "Let me see.\nThere is nothing in the box␛[2J.\n"
        assert done.stderr.splitlines()[:-1] == ['→ look(where="the box")', "← look: nothing in the box␛[2J"]

    def test_is_all_there_is_when_quiet(self, auwgent: Command) -> None:
        done = auwgent("run", "-q", "look around")
        assert (done.stdout.splitlines()[0], done.stderr) == ("Let me see.", "")

    def test_is_not_mixed_with_what_tools_print(self, auwgent: Command) -> None:
        done = auwgent("run", "-q", "shout")
        assert (done.stdout, done.stderr) == ("It was loud.\n", "LOUD\n")
        assert [line["event"] for line in lines(auwgent("run", "--json", "shout").stdout)][-1] == "run"

    def test_is_made_where_nobody_hears_it(self, auwgent: Command) -> None:
        command = shlex.join(auwgent.line("run", "-s", "mine", "--json", "Hi"))
        for closed in (">&-", "2>&-"):
            shell = ["sh", "-c", f"{command} {closed}"]
            done = subprocess.run(shell, check=False, capture_output=True, **auwgent.options({}))
            assert (done.returncode, done.stderr) == (0, "")

    def test_is_the_same_when_it_does_not_stream(self, auwgent: Command) -> None:
        done = auwgent("run", "--no-stream", "--json", "-s", "x", "Hi")
        assert [line["event"] for line in lines(done.stdout)] == ["intent", "intent", "run"]

    def test_is_the_sum_of_its_pieces(self, auwgent: Command) -> None:
        told = lines(auwgent("run", "--json", "Hello there").stdout)
        pieces = [line["value"] for line in told if line["event"] == "partial"]
        assert "".join(piece["delta"] for piece in pieces) == "You said: Hello there"
        assert pieces[-1]["snapshot"] == {"text": "You said: Hello there"}
        assert [piece["raw"] for piece in pieces[:2]] == ["You ", "You said"]

    def test_cannot_command_the_terminal(self, auwgent: Command) -> None:
        done = auwgent("run", "escape")
        assert done.stdout == "␛[31mred␇\n"

    def test_comes_while_it_is_being_made(self, auwgent: Command) -> None:
        with auwgent.start("run", "count", stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
            first = os.read(process.stdout.fileno(), 100)
            assert process.poll() is None
            assert first == b"one "
            assert first.decode() + process.stdout.read() == "one two three four five six seven eight\n"


@pytest.mark.usefixtures("folder")
class TestTheQuestion:
    def test_may_be_piped_in(self, auwgent: Command) -> None:
        assert auwgent("run", stdin="Hi\n").stdout == "You said: Hi\n"

    def test_is_followed_by_what_is_piped_in(self, auwgent: Command) -> None:
        assert auwgent("run", "Sum up:", stdin="a\nb\n").stdout == "You said: Sum up:\n\na\nb\n"

    def test_stands_alone_when_standard_input_is_left(self, auwgent: Command) -> None:
        assert auwgent("run", "--no-stdin", "Hi", stdin="other").stdout == "You said: Hi\n"

    def test_may_be_followed_by_a_file(self, auwgent: Command, folder: Path) -> None:
        (folder / "input.txt").write_text("from a file")
        with (folder / "input.txt").open() as file:
            done = subprocess.run(
                auwgent.line("run", "-q", "Hi"), stdin=file, capture_output=True, **auwgent.options({})
            )
        assert done.stdout == "You said: Hi\n\nfrom a file\n"

    def test_is_all_there_is_where_standard_input_is_closed(self, auwgent: Command) -> None:
        line = [sys.executable, "-c", "import os, sys; os.close(0); os.execv(sys.executable, sys.argv[1:])"]
        done = subprocess.run(
            [*line, *auwgent.line("run", "-q", "Hi")], capture_output=True, timeout=60, **auwgent.options({})
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "You said: Hi\n", "")

    def test_waits_for_a_slow_pipe_and_says_so(self, auwgent: Command) -> None:
        process = auwgent.start(
            "run", "-s", "x", "Hi", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with process:
            assert (
                process.stderr.readline()
                == "reading standard input to its end (--no-stdin leaves it unread)\n"
            )
            process.stdin.write("at last")
            process.stdin.close()
            assert process.stdout.read() == "You said: Hi\n\nat last\n"

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            ([], "standard input is empty"),
            (["  "], "the prompt is empty"),
            (["--no-stdin"], "leave out --no-stdin"),
            (["-s", "a", "--last", "Hi"], "give one of them"),
            (["-s", "", "Hi"], "an id may not be empty"),
            (["--resume", "Hi"], "--resume says nothing new"),
            (["--resume"], "to know which session"),
            (["--context", "name", "Hi"], "'name' should be KEY=VALUE"),
            (["--attach", "nowhere.png", "Hi"], "'nowhere.png' does not exist"),
        ],
    )
    def test_that_cannot_be_asked_is_a_usage_error(
        self, args: list[str], message: str, auwgent: Command
    ) -> None:
        done = auwgent("run", *args)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr

    def test_must_be_text(self, auwgent: Command) -> None:
        done = subprocess.run(
            auwgent.line("run"),
            input=b"\xff\xfe",
            capture_output=True,
            **{**auwgent.options({}), "encoding": None},
        )
        assert done.returncode == 2
        assert b"standard input is not UTF-8 text" in done.stderr

    def test_may_have_files_with_it(self, auwgent: Command, folder: Path) -> None:
        (folder / "notes.md").write_text("# Notes")
        (folder / "dot.png").write_bytes(b"\x89PNG")
        done = auwgent("run", "--json", "-s", "x", "--attach", "notes.md", "--attach", "dot.png", "Hi")
        assert done.returncode == 0
        assert lines(done.stdout)[-1]["text"] == "You said: Hi\nnotes.md:\n\n# Notes"


@pytest.mark.usefixtures("store")
class TestTheSession:
    def test_is_new_and_named_unless_one_is_given(self, auwgent: Command) -> None:
        one, other = auwgent("run", "Hi"), auwgent("run", "Hi")
        assert session_id(one) != session_id(other)
        assert "session:" not in auwgent("run", "-s", "mine", "Hi").stderr

    def test_goes_on_under_its_id(self, auwgent: Command) -> None:
        first = auwgent("run", "Hi")
        auwgent("run", "-s", session_id(first), "again")
        last = lines(auwgent("run", "--json", "--last", "and again").stdout)[-1]
        assert last["session_id"] == session_id(first)

    def test_belongs_to_its_user(self, auwgent: Command) -> None:
        auwgent("run", "-u", "ada", "-s", "hers", "Hi")
        auwgent("run", "-s", "nobodys", "Hi")
        last = lines(auwgent("run", "-u", "ada", "--json", "--last", "Hi").stdout)[-1]
        assert last["session_id"] == "hers"

    def test_that_is_not_there_cannot_go_on(self, auwgent: Command) -> None:
        done = auwgent("run", "-u", "ada", "--last", "Hi")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "error: --last: there is no session of user 'ada' yet\n"

    def test_of_a_user_named_by_the_context_is_found(self, auwgent: Command) -> None:
        auwgent("run", "-u", "ada", "-s", "hers", "Hi")
        last = lines(auwgent("run", "--context", "userId=ada", "--json", "--last", "Hi").stdout)[-1]
        assert last["session_id"] == "hers"

    def test_that_was_killed_goes_on_without_a_word(self, auwgent: Command) -> None:
        with auwgent.start(
            "run", "-s", "mine", "count", stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        ) as process:
            os.read(process.stdout.fileno(), 100)
            process.kill()
        done = auwgent("run", "-q", "-s", "mine", "--resume")
        assert done.stdout == "one two three four five six seven eight\n"
        turns = json.loads(auwgent("sessions", "show", "mine", "--json").stdout)["turns"]
        assert [turn["role"] for turn in turns] == ["user", "assistant"]

    def test_that_was_completed_has_nothing_to_resume(self, auwgent: Command) -> None:
        auwgent("run", "-u", "ada", "-s", "mine", "Hi")
        done = auwgent("run", "--context", "userId=ada", "--last", "--resume")
        assert (done.returncode, done.stdout) == (2, "")
        assert "there is nothing to resume, the last run of session 'mine' was completed" in done.stderr
        assert len(json.loads(auwgent("sessions", "show", "-u", "ada", "--json").stdout)["turns"]) == 2

    def test_that_was_never_begun_cannot_be_resumed(self, auwgent: Command) -> None:
        done = auwgent("run", "-s", "tripp", "--resume")
        assert (done.returncode, done.stdout) == (1, "")
        assert "session 'tripp' has no turns yet" in done.stderr
        assert auwgent("sessions", "list").stdout == ""

    def test_that_is_not_kept_cannot_go_on(self, auwgent: Command) -> None:
        done = auwgent("run", "--set", "middleware=[]", "--last", "Hi")
        assert done.returncode == 2
        assert "--last needs a middleware that keeps sessions" in done.stderr


@pytest.mark.usefixtures("folder")
class TestTheConfig:
    def test_may_be_anywhere(self, auwgent: Command, folder: Path) -> None:
        (folder / "auwgent.toml").rename(folder / "mine.toml")
        assert auwgent("run", "-q", "-c", "mine.toml", "Hi").returncode == 0
        assert auwgent("run", "-q", "Hi", env={"AUWGENT_CONFIG": "mine.toml"}).returncode == 0

    def test_that_is_missing_is_told(self, auwgent: Command) -> None:
        done = auwgent("run", "-c", "nowhere.toml", "Hi")
        assert (done.returncode, done.stdout) == (2, "")
        assert "nowhere.toml" in done.stderr
        assert "Traceback" not in done.stderr

    def test_takes_context_as_text(self, auwgent: Command) -> None:
        assert auwgent("run", "--context", "name=Ada", "Hi").stdout == "Hello Ada\n"

    def test_takes_a_profile_a_model_and_settings(self, auwgent: Command) -> None:
        def model(*args: str) -> str:
            done = auwgent("run", "--json", *args, "Hi")
            return str(lines(done.stdout)[-1]["status"] + lines(done.stdout)[-1]["text"])

        assert model("-p", "other") == "completedYou said: Hi"
        assert model("-m", "scripted/echo") == "completedYou said: Hi"
        assert model("--set", "context.name=Ada") == "completedHello Ada"

    def test_that_is_wrong_is_a_json_line_too(self, auwgent: Command) -> None:
        done = auwgent("run", "--json", "--set", "agent.modle=x", "Hi")
        (last,) = lines(done.stdout)
        assert done.returncode == 2
        assert (last["status"], last["session_id"]) == ("failed", None)
        assert last["error"]["kind"] == "ConfigError"
        assert "modle" in done.stderr

    def test_without_a_key_is_told_before_a_session_begins(self, auwgent: Command) -> None:
        done = auwgent("run", "-m", "openai/gpt-5-mini", "Hi", env={"OPENAI_API_KEY": ""})
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "--model: openai/gpt-5-mini needs an API key and none is set: "
            "give it as openai under [api_keys] or OPENAI_API_KEY or `auwgent keys set openai`\n"
        )


@pytest.mark.usefixtures("folder")
class TestFailure:
    def test_is_one_line_and_exit_code_one(self, auwgent: Command) -> None:
        done = auwgent("run", "-q", "fail")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1

    def test_is_the_last_json_line(self, auwgent: Command) -> None:
        done = auwgent("run", "--json", "-s", "mine", "fail")
        last = lines(done.stdout)[-1]
        assert done.returncode == 1
        assert (last["event"], last["status"], last["session_id"]) == ("run", "failed", "mine")
        assert last["error"]["kind"] == "ProviderError"
        assert "no such key" in last["error"]["message"]

    @pytest.mark.usefixtures("store")
    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
    )
    def test_by_a_signal_keeps_what_was_said(self, number: int, code: int, auwgent: Command) -> None:
        process = auwgent.start(
            "run", "--json", "-s", "mine", "count", stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        with process:
            process.stdout.readline()
            process.send_signal(number)
            last = lines(process.stdout.read())[-1]
        assert process.returncode == code
        assert (last["event"], last["status"]) == ("run", "cancelled")
        assert last["text"].startswith("one")
        replayed = auwgent("run", "--json", "--last", "again")
        assert lines(replayed.stdout)[-1]["session_id"] == "mine"

    def test_by_ctrl_c_ends_the_line_and_says_so(self, auwgent: Command) -> None:
        process = auwgent.start(
            "run", "count", stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        with process:
            said = os.read(process.stdout.fileno(), 100).decode()
            process.send_signal(signal.SIGINT)
            said += process.stdout.read()
            told = process.stderr.read()
        assert process.returncode == 130
        assert said.startswith("one ")
        assert said.endswith("\n")
        assert told.startswith("interrupted\nsession: ")

    @pytest.mark.clock
    def test_by_ctrl_c_does_not_wait_for_a_tool(self, auwgent: Command) -> None:
        process = auwgent.start("run", "nap", stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        with process:
            assert process.stderr.readline() == "→ nap(seconds=60)\n"
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait() == 130
            assert time.monotonic() - begun < 10

    def test_of_the_reader_is_none(self, auwgent: Command) -> None:
        process = auwgent.start(
            "run", "count", stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        with process:
            os.read(process.stdout.fileno(), 100)
            process.stdout.close()
            told = process.stderr.read()
        assert process.returncode == 0
        assert "error" not in told


def test_standard_input_that_is_a_socket_is_read(auwgent: Command, folder: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = auwgent.start("run", "-q", "Hi", stdin=theirs, stdout=subprocess.PIPE)
        theirs.close()
        ours.sendall(b"from afar")
        ours.shutdown(socket.SHUT_WR)
        with process:
            assert process.stdout.read() == "You said: Hi\n\nfrom afar\n"


def test_with_a_model_no_config_is_needed(auwgent: Command) -> None:
    data = auwgent.folder / "data"
    here = auwgent.folder / "here"
    here.mkdir()
    elsewhere = Command(here)
    done = elsewhere("run", "-q", "-m", "scripted/echo", "-s", "a", "Hi", env={"XDG_DATA_HOME": str(data)})
    assert (done.returncode, done.stdout) == (0, "You said: Hi\n"), done.stderr
    assert (data / "auwgent" / "sessions.db").stat().st_mode & 0o777 == 0o600
    assert list(here.iterdir()) == []
    refused = elsewhere("run", "-c", "auwgent.toml", "-m", "scripted/echo", "Hi")
    assert (refused.returncode, "there is no such file" in refused.stderr) == (2, True)


def test_a_tool_and_a_schema_for_one_run(auwgent: Command) -> None:
    (auwgent.folder / "mine.py").write_text(
        'def shout(word: str) -> str:\n    """Shout a word."""\n    return word.upper()\n'
    )
    (auwgent.folder / "cat.json").write_text(
        '{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}'
    )
    call = '[[replies]]\ntool_calls = [{ name = "shout", args = { word = "luna" } }]\n'
    (auwgent.folder / "s.toml").write_text(call + '[[replies]]\ntext = \'{"name": "{result}"}\'\n')
    words = ["-m", "scripted/s.toml", "--tool", "mine.shout", "--schema", "cat.json", "Hi"]
    env = {"XDG_DATA_HOME": str(auwgent.folder / "data")}
    done = auwgent("run", "-q", *words, env=env)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"name": "LUNA"}), done.stderr
    # Beside a config the tool comes to its own, whose settings stay.
    (auwgent.folder / "auwgent.toml").write_text(
        'middleware = []\n[agent]\nmodel = "main"\n'
        'tools = [{ use = "mine.shout", name = "own", approve = "deny" }]\n'
        '[models.main]\nuse = "scripted/s.toml"\n'
    )
    done = auwgent("run", "-q", "--tool", "mine.shout", "--schema", "cat.json", "Hi")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"name": "LUNA"}), done.stderr
    refused = auwgent("run", "--tool", "mine.shuot", "Hi")
    assert (refused.returncode, "did you mean `shout`?" in refused.stderr) == (2, True)
