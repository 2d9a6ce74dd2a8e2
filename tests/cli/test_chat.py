"""The chat, on a terminal of its own, typed at as a user would."""

import json
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Command, Terminal

TOOLS = '''
def look(where: str) -> str:
    """Look somewhere."""
    return f"nothing in {where}"

def refund(amount: int) -> str:
    """Give money back."""
    return f"refunded {amount}"
'''

CONFIG = """
middleware = []

[agent]
name = "Main"
model = "main"
prompt = "You help."
tools = ["own_tools.look", { use = "own_tools.refund", approve = "ask" }]

[models.main]
use = "scripted/main"
params.chunk = 4
[[models.main.params.replies]]
when = "look"
tool_calls = [{ name = "look", args = { where = "the box" } }]
[[models.main.params.replies]]
result = "nothing"
text = "There is **{result}**."
[[models.main.params.replies]]
when = "refund"
tool_calls = [{ name = "refund", args = { amount = 5 } }]
[[models.main.params.replies]]
result = true
text = "So: {result}"
[[models.main.params.replies]]
when = "count"
text = "one two three four five six seven eight"
pause = 0.3
[[models.main.params.replies]]
when = "fail"
error = { status = 401, message = "no such key" }
[[models.main.params.replies]]
when = ""
text = "main heard: {user}"

[models.other]
use = "scripted/other"
params.replies = ["other has heard nothing yet", "other goes on"]

[profiles.loud]
agent.name = "Shouter"
"""

WATCH = """
import sys, threading, time


class Watch:
    def open(self):
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        while "litellm" not in sys.modules:
            time.sleep(0.01)
        print("LiteLLM is being loaded", file=sys.stderr)
"""

INTERRUPTED = "interrupted; what was said is kept"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own_tools.py").write_text(TOOLS)
    (tmp_path / "auwgent.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def chat(folder: Path, auwgent: Command) -> Iterator[Terminal]:
    with auwgent.on_terminal("run") as terminal:
        terminal.until_prompt()
        yield terminal


def ask(chat: Terminal, text: str, answer: str) -> str:
    """Say something and wait for the prompt behind the answer."""
    chat.type(f"{text}\r")
    shown = chat.until(answer)
    return shown + chat.until_prompt()


def test_an_answer_comes_with_its_steps_and_its_cost(chat: Terminal) -> None:
    shown = ask(chat, "please look", "tokens in")
    assert '→ look(where="the box")' in shown
    assert "← look: nothing in the box" in shown
    assert "There is nothing in the box." in shown
    assert "**" not in shown


def test_the_conversation_is_remembered_though_nothing_is_stored(chat: Terminal, folder: Path) -> None:
    ask(chat, "one", "main heard: one")
    ask(chat, "two", "main heard: two")
    assert "turns     4" in ask(chat, "/session", "no: this config has no session store")
    assert not (folder / ".auwgent").exists()


def test_ctrl_c_stops_the_answer_and_keeps_it(chat: Terminal) -> None:
    chat.type("count\r")
    chat.until("one")
    chat.type("\x03")
    chat.until(INTERRUPTED)
    chat.until_prompt()
    assert "turns     2" in ask(chat, "/session", "kept")
    chat.type("\x03")
    assert chat.ended() == 0


def test_ctrl_c_clears_what_was_typed_before_it_leaves(chat: Terminal) -> None:
    chat.type("abc\x03")
    ask(chat, "again", "main heard: again")
    chat.type("\x03")
    assert chat.ended() == 0


def test_ctrl_d_leaves(chat: Terminal) -> None:
    chat.type("\x04")
    assert chat.ended() == 0


def test_a_terminated_chat_leaves_with_its_code(chat: Terminal) -> None:
    chat.process.send_signal(signal.SIGTERM)
    assert chat.ended() == 143


def test_another_model_goes_on_with_the_session(chat: Terminal) -> None:
    ask(chat, "one", "main heard: one")
    ask(chat, "/model other", "The model is scripted/other.")
    ask(chat, "two", "other has heard nothing yet")
    shown = ask(chat, "/usage", "scripted/other")
    assert "scripted/main" in shown
    assert "turns     4" in ask(chat, "/session", "kept")


def test_a_model_that_is_none_changes_nothing(chat: Terminal) -> None:
    ask(chat, "/model nonsense", "there is no model 'nonsense'")
    ask(chat, "still there?", "main heard: still there?")


def test_a_profile_is_laid_over_the_config(chat: Terminal) -> None:
    ask(chat, "/profile loud", "The profile is loud.")
    assert "Shouter" in ask(chat, "/session", "kept")
    ask(chat, "/profile none", "The profile is none.")


def test_a_failure_is_told_and_the_chat_goes_on(chat: Terminal) -> None:
    assert "error: " in ask(chat, "fail", "no such key")
    ask(chat, "still there?", "main heard: still there?")


@pytest.mark.parametrize(
    ("typed", "outcome"),
    [
        ("y", "refunded 5"),
        ("n", "was denied"),
        ("", "was denied"),
        ("only with a receipt", "user said: only with a receipt"),
    ],
)
def test_a_tool_that_needs_it_is_asked_for(typed: str, outcome: str, chat: Terminal) -> None:
    chat.type("refund me\r")
    shown = chat.until("Allow it? [y/N]")
    assert "Main wants to call refund" in shown
    assert '"amount": 5' in shown
    chat.type(f"{typed}\r")
    chat.until(outcome)
    chat.until_prompt()


def test_a_tool_may_be_allowed_for_the_whole_chat(chat: Terminal) -> None:
    chat.type("refund me\r")
    chat.until("Allow it? [y/N]")
    chat.type("a\r")
    chat.until("refunded 5")
    chat.until_prompt()
    chat.type("refund me\r")
    assert "Allow it?" not in chat.until("refunded 5")
    chat.until_prompt()


def test_an_exchange_can_be_taken_back_and_tried_again(chat: Terminal) -> None:
    ask(chat, "one", "main heard: one")
    ask(chat, "two", "main heard: two")
    ask(chat, "/undo", "Taken back: two")
    assert "turns     2" in ask(chat, "/session", "kept")
    ask(chat, "/retry", "main heard: one")
    assert "turns     2" in ask(chat, "/session", "kept")
    ask(chat, "/new", "A new session.")
    ask(chat, "/undo", "There is nothing to take back in this chat.")


def test_the_steps_of_an_answer_can_be_seen_in_full(chat: Terminal) -> None:
    ask(chat, "please look", "tokens in")
    chat.type("\x0f")
    shown = chat.until("tool_result")
    assert '"where": "the box"' in shown + chat.until_prompt()


def test_tools_are_listed(chat: Terminal) -> None:
    shown = ask(chat, "/tools", "Give money back.")
    assert "Main: look" in shown


def test_an_unknown_command_is_not_said_to_the_agent(chat: Terminal) -> None:
    ask(chat, "/retyr", "Did you mean /retry?")
    ask(chat, "//retyr", "main heard: /retyr")


def test_tab_completes_commands_and_the_models_of_every_provider(chat: Terminal) -> None:
    chat.type("/mod")
    chat.until("which model answers")
    chat.type("\t anthropic/claude-sonn")
    chat.until("anthropic/claude-sonnet-")
    chat.type("\x03/model ot")
    chat.until("other")
    chat.type("\t\r")
    chat.until("The model is scripted/other.")


def test_several_lines_are_one_question(chat: Terminal) -> None:
    chat.type("one\\\rtwo\x1b\rthree\r")
    shown = chat.until("tokens in").replace("\r", "")
    assert "main heard: one\ntwo\nthree" in shown


def test_a_session_is_exported_for_nobody_else_to_read(chat: Terminal, folder: Path) -> None:
    ask(chat, "one", "main heard: one")
    ask(chat, "/export mine.json", "Written to mine.json.")
    ask(chat, "/export mine.json", "Not written")
    exported = folder / "mine.json"
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    assert [turn["content"] for turn in json.loads(exported.read_text())["turns"]] == [
        "one",
        "main heard: one",
    ]


def test_sessions_are_kept_and_gone_on_with(store: Path, auwgent: Command) -> None:
    of_ada = ("--context", "userId=ada")
    with auwgent.on_terminal("run", "-s", "mine", *of_ada) as chat:
        chat.until_prompt()
        ask(chat, "one", "main heard: one")
        ask(chat, "two", "main heard: two")
        ask(chat, "/undo", "Taken back: two")
        ask(chat, "three", "main heard: three")
        assert "mine" in ask(chat, "/sessions", "4 turns: one")
        chat.type("/session mi")
        chat.until("mine")
        chat.type("\t\r")
        chat.until("On with session mine.")
        chat.until_prompt()
        assert "turns     4" in ask(chat, "/session", "kept")
        chat.type("/quit\r")
        assert chat.ended() == 0
        assert "session: mine" in chat.unread
    with auwgent.on_terminal("run", "--last", *of_ada) as chat:
        chat.until_prompt()
        assert "turns     4" in ask(chat, "/session", "kept")
        ask(chat, "four", "main heard: four")
        ask(chat, "/undo", "Taken back: four")
        assert "turns     4" in ask(chat, "/session", "kept")
        chat.type("\x1b[A" * 5)
        chat.until("/quit")
    assert stat.S_IMODE((store / "history").stat().st_mode) == 0o600


def test_litellm_is_loaded_while_the_user_types(tmp_path: Path, auwgent: Command) -> None:
    (tmp_path / "watch.py").write_text(WATCH)
    config = 'middleware = ["watch.Watch"]\n[agent]\nmodel = "cohere/command-a"\n[api_keys]\ncohere = "x"\n'
    (tmp_path / "auwgent.toml").write_text(config)
    with auwgent.on_terminal("run") as chat:
        chat.until("LiteLLM is being loaded")  # and nothing was typed


def test_a_dumb_terminal_without_colours_will_do(folder: Path, auwgent: Command) -> None:
    with auwgent.on_terminal("run", env={"TERM": "dumb", "NO_COLOR": "1"}) as chat:
        chat.until("Ctrl-D leaves.\r\n> ")
        chat.type("please look\r")
        chat.until("There is nothing in the box.")
        chat.until("\n> ")
        chat.type("/quit\r")
        assert chat.ended() == 0


def test_a_narrow_terminal_will_do(folder: Path, auwgent: Command) -> None:
    with auwgent.on_terminal("run", columns=24) as chat:
        chat.until_prompt()
        assert "\r\n  the newest sessions" in ask(chat, "/help", "another line")


def test_what_goes_to_a_file_is_no_chat(folder: Path, auwgent: Command) -> None:
    with auwgent.on_terminal("run", "--json") as terminal:
        terminal.until("reading standard input to its end (end it with Ctrl-D)")
        terminal.type("Hi\n\x04")
        terminal.until('"status": "completed"')


def test_a_wrong_config_is_no_chat_either(tmp_path: Path, auwgent: Command) -> None:
    with auwgent.on_terminal("run") as terminal:
        terminal.until("auwgent.toml: there is no such file")
        assert terminal.ended() == 2


def test_a_single_question_asks_for_approval_on_the_terminal_too(folder: Path, auwgent: Command) -> None:
    with auwgent.on_terminal("run", "refund me") as terminal:
        terminal.until("Allow it? [y/N]")
        terminal.type("y\r")
        assert terminal.ended() == 0
        assert "So: refunded 5" in terminal.unread


def test_what_a_session_waits_for_is_asked_before_anything_can_be_typed(
    folder: Path, auwgent: Command
) -> None:
    (folder / "auwgent.toml").write_text(CONFIG.replace("middleware = []", ""))
    waits = auwgent("run", "-q", "-s", "s1", "refund me")
    assert waits.returncode == 3, waits.stderr
    with auwgent.on_terminal("run", "-s", "s1") as chat:
        assert '"amount": 5' in chat.until("or why not:")
        chat.type("y\r")
        chat.until("So: refunded 5")
        ask(chat, "four", "main heard: four")


def test_ctrl_c_at_the_question_ends_the_run(folder: Path, auwgent: Command) -> None:
    with auwgent.on_terminal("run", "refund me") as terminal:
        terminal.until_prompt()
        terminal.type("\x03")
        assert terminal.ended() == 130
        assert "refunded" not in terminal.unread


def test_without_a_terminal_the_answer_is_no(folder: Path, auwgent: Command) -> None:
    done = auwgent("run", "-q", "refund me")
    assert done.returncode == 0
    assert "denied" in done.stdout
