"""`auwgent check`: what could stop a run is found without running it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command

GOOD = '[agent]\nmodel = "scripted/echo"\n'
TOOLS = '''
from pathlib import Path

Path("imported").touch()

class Audit:
    def __init__(self, path="x"):
        Path("made").touch()

    def open(self):
        Path("opened").touch()

def weather(city: str) -> str:
    """The weather."""
    return city
'''


STORE = "auwgent.middleware.SQLModelSessions"
OWN_CHECKS = """
class Well:
    def onRunStart(self, session, ctx): ...

    async def check(self):
        return "as well as can be"

class Ill(Well):
    async def check(self):
        raise OSError("no route to host")

class Other(Well):
    async def check(self, question):
        raise AssertionError("this is no check of ours")
"""
PROGRAM = Path(__file__).parent.parent / "support" / "mcp_server.py"
DEMO = f'[mcp.demo]\ncommand = "{sys.executable}"\nargs = ["{PROGRAM}"]\n'
FAILING = "params = { replies = [{ error = { status = 401 } }] }\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "my_checked.py").write_text(TOOLS)
    return tmp_path / "auwgent.toml"


def test_a_good_config_is_listed_and_has_no_problems(auwgent: Any, config: Path) -> None:
    config.write_text('middleware = ["my_checked.Audit"]\n' + GOOD + 'tools = ["my_checked.weather"]')
    done = auwgent("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "· model       scripted/echo     auwgent.toml:3",
        "✓ middleware  my_checked.Audit  auwgent.toml:1",
        "✓ tool        weather           auwgent.toml:4  of Main, my_checked.weather",
        "",
        "auwgent.toml: no problems found; no model was asked, --online does",
    ]


def test_nothing_is_opened(auwgent: Any, config: Path, tmp_path: Path) -> None:
    config.write_text('middleware = ["my_checked.Audit"]\n' + GOOD)
    assert auwgent("check").returncode == 0
    assert (tmp_path / "made").exists()
    assert not (tmp_path / "opened").exists()


@pytest.mark.process
def test_static_imports_nothing_that_the_config_names(config: Path) -> None:
    config.write_text(
        'middleware = ["auwgent.middleware.SQLModelSessions", "my_checked.Audit", "my_nothing.X"]\n'
        + GOOD
        + 'tools = ["my_checked.weather", "mcp:gone"]\n[mcp.gone]\ncommand = "no-such-program"'
    )
    program = """
import sys
from auwgent.cli import main
assert main(["check", "--static"]) == 0
print(*sorted(sys.modules))
"""
    options = Command(config.parent).options({})
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, **options)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"my_checked", "auwgent.middleware.sessions", "sqlalchemy", "litellm", "mcp"}
    assert "· tool        mcp:gone " in done.stdout
    assert "✗" not in done.stdout


def test_everything_found_is_told_with_its_place(auwgent: Any, config: Path) -> None:
    config.write_text(
        'middleware = ["my_checked.Audti", { use = "my_checked.Audit", size = 3 }, "os.system"]\n'
        + GOOD
        + 'tools = ["my_nothing.x"]\n'
    )
    done = auwgent("check")
    assert done.returncode == 2
    heads = [line for line in done.stdout.splitlines() if line.startswith("auwgent.toml:")]
    assert [head.partition(": ")[0] for head in heads[:-1]] == [
        "auwgent.toml:1:15",
        "auwgent.toml:1:35",
        "auwgent.toml:1:75",
        "auwgent.toml:4:10",
    ]
    assert heads[-1] == "auwgent.toml: 4 problems found"
    for words in (
        "module 'my_checked' has no 'Audti'\n",
        "   = did you mean `Audit`?\n",
        "unexpected keyword argument 'size'",
        "'os' belongs to Python's standard library",
        "no such module: 'my_nothing'",
    ):
        assert words in done.stdout


def test_a_module_that_fails_is_shown_with_its_own_traceback_only(
    auwgent: Any, config: Path, tmp_path: Path
) -> None:
    (tmp_path / "my_broken.py").write_text("\n1 / 0\n")
    config.write_text('middleware = ["my_broken.X"]\n' + GOOD)
    done = auwgent("check")
    assert done.returncode == 2
    assert "your module 'my_broken' failed while importing" in done.stdout
    assert f'File "{tmp_path / "my_broken.py"}", line 2, in <module>' in done.stdout
    assert done.stdout.count("Traceback") == 1
    assert done.stdout.count("  File ") == 1


def test_a_key_that_is_missing_is_found(auwgent: Any, config: Path) -> None:
    config.write_text(
        '[agent]\nmodel = "main"\n[models.main]\nuse = "scripted/echo"\nfallbacks = ["openai/gpt-5-mini"]'
    )
    without = auwgent("check", env={"OPENAI_API_KEY": ""})
    assert without.returncode == 2
    assert "auwgent.toml:5:14: openai/gpt-5-mini needs an API key" in without.stdout
    with_key = auwgent("check", env={"OPENAI_API_KEY": "a-very-secret-key"})
    assert with_key.returncode == 0
    assert re.search("^✓ key +openai +OPENAI_API_KEY  set$", with_key.stdout, re.MULTILINE)
    assert "a-very-secret-key" not in with_key.stdout + with_key.stderr


@pytest.mark.parametrize("static", [[], ["--static"]])
def test_a_provider_that_does_not_exist_is_found(auwgent: Any, config: Path, static: list[str]) -> None:
    config.write_text('[agent]\nmodel = "opnai/gpt-5-mini"\n')
    done = auwgent("check", *static)
    assert done.returncode == 2
    assert re.search("^✗ model +opnai/gpt-5-mini +auwgent.toml:2 +see below$", done.stdout, re.MULTILINE)
    assert "auwgent.toml:2:9: there is no provider 'opnai'" in done.stdout
    assert done.stdout.count("did you mean `openai`?") == 1


def test_where_a_key_comes_from_is_told(auwgent: Any, config: Path) -> None:
    config.write_text(
        '[agent]\nmodel = "main"\n[api_keys]\nopenai = "${K}"\n'
        '[models.main]\nuse = "openai/a"\nfallbacks = ["own"]\n[models.own]\nuse = "openai/b"\napi_key = "x"'
    )
    rows = [" ".join(line.split()) for line in auwgent("check", env={"K": "1"}).stdout.splitlines()]
    assert rows[:2] == ["✓ key models.own auwgent.toml:10 set", "✓ key openai auwgent.toml:4 set"]
    assert rows[2:4] == ["· model openai/a auwgent.toml:2 as main", "· model openai/b auwgent.toml:7 as own"]


def test_weights_that_are_missing_are_found(auwgent: Any, config: Path, tmp_path: Path) -> None:
    config.write_text('[agent]\nmodel = "local/smollm2"\n')
    done = auwgent("check", env={"AUWGENT_CACHE": str(tmp_path / "empty")})
    assert done.returncode == 2
    assert "auwgent.toml:2:9: " in done.stdout
    assert "auwgent model pull" in done.stdout


def test_as_json_for_programs(auwgent: Any, config: Path) -> None:
    config.write_text(GOOD + "modle = 1")
    done = auwgent("check", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["config"]) == (2, False, "auwgent.toml")
    (problem,) = report["problems"]
    assert (problem["line"], problem["column"], problem["key"]) == (3, 1, "agent.modle")
    assert problem["hint"] == "did you mean `model`?"
    config.write_text(GOOD)
    done = auwgent("check", "--json")
    assert (done.returncode, json.loads(done.stdout)["problems"]) == (0, [])


@pytest.mark.parametrize("options", [["-c", "no.toml"], ["--set", "agent.modle=x"], ["-p", "nobody"]])
def test_options_are_checked_with_it(auwgent: Any, config: Path, options: list[str]) -> None:
    config.write_text(GOOD)
    assert auwgent("check", *options).returncode == 2


# Databases and other middleware


def findings(auwgent: Any, *options: str, code: int = 0) -> dict[tuple[str, str], Any]:
    """What `auwgent check --json` found, by kind and name."""
    done = auwgent("check", "--json", *options)
    assert (done.returncode, done.stderr) == (code, "")
    return {(found["kind"], found["name"]): found for found in json.loads(done.stdout)["findings"]}


def test_the_database_is_looked_into_and_not_made(auwgent: Any, config: Path, tmp_path: Path) -> None:
    config.write_text(GOOD)
    found = findings(auwgent)["database", STORE]
    assert (found["status"], found["origin"]) == ("ok", "default")
    assert found["detail"].endswith("sessions.db: not there yet, the first run makes it")
    assert not (tmp_path / ".auwgent").exists()
    assert auwgent("run", "Hello").returncode == 0
    before = (tmp_path / ".auwgent" / "sessions.db").read_bytes()
    assert re.search(r"version \d+, up to date$", findings(auwgent)["database", STORE]["detail"])
    assert (tmp_path / ".auwgent" / "sessions.db").read_bytes() == before


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///auwgent.toml", "this file is not a SQLite database"),
        ("sqlite:///auwgent.toml/deeper.db", "auwgent.toml is not a folder"),
        ("postgresql://me:secret-words@localhost:1/x", "postgresql+psycopg://me:***@localhost:1/x: "),
    ],
)
def test_a_database_that_cannot_be_used_is_found(auwgent: Any, config: Path, url: str, words: str) -> None:
    config.write_text(f'middleware = [{{ use = "{STORE}", url = "{url}" }}]\n' + GOOD)
    done = auwgent("check")
    assert done.returncode == 2
    assert "auwgent.toml:1:15: " in done.stdout
    assert words in done.stdout
    assert f"✗ database    {STORE}  auwgent.toml:1  see below" in done.stdout
    assert "secret-words" not in done.stdout + done.stderr


def test_a_middleware_may_say_itself_how_it_is(auwgent: Any, config: Path, tmp_path: Path) -> None:
    (tmp_path / "my_own.py").write_text(OWN_CHECKS)
    config.write_text('middleware = ["my_own.Well", "my_own.Ill", "my_own.Other"]\n' + GOOD)
    found = findings(auwgent, code=2)
    assert found["middleware", "my_own.Well"]["detail"] == "as well as can be"
    assert [found["middleware", f"my_own.{name}"]["status"] for name in ("Well", "Ill", "Other")] == [
        "ok",
        "problem",
        "ok",
    ]
    assert "my_own.Ill: its check failed: OSError: no route to host" in auwgent("check").stdout


# MCP servers


def test_mcp_servers_are_asked_for_their_tools(auwgent: Any, config: Path, tmp_path: Path) -> None:
    config.write_text(GOOD + 'tools = ["mcp:demo", "mcp:demo:add", "mcp:demo:nope"]\n' + DEMO)
    found = findings(auwgent, code=2)
    demo = found["mcp", "demo"]
    assert (demo["status"], demo["origin"]) == ("ok", "auwgent.toml:4")
    assert "add" in demo["tools"]
    assert demo["detail"].startswith(f"{len(demo['tools'])} tools: add, ")
    assert {
        name: found["tool", name]["status"] for name in ("mcp:demo", "mcp:demo:add", "mcp:demo:nope")
    } == {
        "mcp:demo": "ok",
        "mcp:demo:add": "ok",
        "mcp:demo:nope": "problem",
    }
    assert "auwgent.toml:3:38: MCP server 'demo' has no tool 'nope'" in auwgent("check").stdout
    assert not (tmp_path / ".auwgent").exists()  # nothing is remembered of what they said


def test_mcp_servers_that_cannot_be_reached_are_found_side_by_side(auwgent: Any, config: Path) -> None:
    slow = DEMO.replace("mcp.demo", "mcp.slow") + 'env = { START_AFTER = "30" }\ntimeout = 1.5\n'
    config.write_text(
        GOOD + slow + '[mcp.gone]\ncommand = "no-such-program"\n'
        '[mcp.far]\nurl = "http://localhost:1/mcp?key=secret-words"\n'
    )
    done = auwgent("check")
    assert done.returncode == 2
    for words in (
        "auwgent.toml:3:6: MCP server 'slow' did not answer within 1.5 seconds",
        "MCP server 'gone' cannot be started: 'no-such-program'",
        "MCP server 'far' cannot be reached at http://localhost:1/mcp:",
    ):
        assert words in done.stdout
    assert "secret-words" not in done.stdout


def test_ctrl_c_leaves_at_once_and_ends_the_servers(auwgent: Any, config: Path, tmp_path: Path) -> None:
    process = tmp_path / "process"
    config.write_text(GOOD + DEMO + f'env = {{ START_AFTER = "60", PROCESS_FILE = "{process}" }}\n')
    with auwgent.on_terminal("check") as terminal:
        terminal.until("waiting for MCP server demo …")
        while not process.exists() or not process.read_text():
            time.sleep(0.02)
        terminal.type("\x03")
        assert terminal.ended() == 130
        assert "Traceback" not in terminal.unread
    with pytest.raises(ProcessLookupError):
        os.kill(int(process.read_text()), signal.SIGKILL)


# Models


@pytest.mark.clock
def test_online_each_model_in_use_is_asked_once(auwgent: Any, config: Path) -> None:
    config.write_text(
        '[agent]\nmodel = "main"\n[models.main]\nuse = "scripted/a"\nfallbacks = ["other"]\n'
        'params = { replies = [{ text = "OK", usage = { input_tokens = 9, output_tokens = 1, usd = 0.00002 } }] }\n'
        '[models.other]\nuse = "scripted/b"\nparams = { replies = [{ error = { status = 401, message = "no" } }] }\n'
        '[models.idle]\nuse = "openai/x"\n[embedding]\nmodel = "scripted/words"\n'
    )
    found = findings(auwgent, "--online", code=2)
    asked = found["model", "scripted/a"]
    assert re.fullmatch(r"as main, answered in 0\.\d\d s, 9 \+ 1 tokens, \$0\.000020", asked["detail"])
    assert (asked["status"], asked["usage"]["usd"]) == ("ok", 0.00002)
    assert asked["seconds"] < 1
    assert found["model", "scripted/b"]["status"] == "problem"
    assert found["model", "scripted/words"]["detail"].startswith("answered in ")
    assert ("model", "openai/x") not in found
    assert "auwgent.toml:5:14: scripted/b: no" in auwgent("check", "--online").stdout


def test_offline_no_model_is_asked(auwgent: Any, config: Path) -> None:
    config.write_text('[agent]\nmodel = "main"\n[models.main]\nuse = "scripted/a"\n' + FAILING)
    assert findings(auwgent)["model", "scripted/a"]["status"] == "unchecked"
    assert auwgent("check", "--online").returncode == 2


def test_static_and_online_exclude_each_other(auwgent: Any, config: Path) -> None:
    config.write_text(GOOD)
    done = auwgent("check", "--static", "--online")
    assert done.returncode == 2
    assert "give one of them" in done.stderr


def test_what_can_be_found_is_found_beside_what_cannot_be_imported(auwgent: Any, config: Path) -> None:
    config.write_text('[agent]\nmodel = "openai/x"\ntools = ["my_nothing.x"]')
    done = auwgent("check", env={"OPENAI_API_KEY": ""})
    assert "openai/x needs an API key" in done.stdout
    assert "no such module: 'my_nothing'" in done.stdout


def test_a_limit_in_money_needs_prices(auwgent: Any, config: Path) -> None:
    config.write_text(
        '[agent]\nmodel = "main"\n[models.main]\nuse = "openai/gpt-5-mini"\nfallbacks = ["hosted_vllm/own", "free"]\n'
        '[models.free]\nuse = "hosted_vllm/free"\nprice = { input = 0, output = 0 }\n'
        '[api_keys]\nopenai = "x"\n[limits]\nusd = 1.0'
    )
    done = auwgent("check")
    assert done.returncode == 2
    words = "auwgent.toml:5:14: `limits.usd` cannot be kept: no price is known for hosted_vllm/own"
    assert words in done.stdout
    assert "1 problem found" in done.stdout
    assert words in auwgent("run", "Hello").stderr


def test_what_a_prompt_needs_and_nothing_gives_is_noted(auwgent: Any, config: Path) -> None:
    prompt = "{{ ctx.name }} of {{ ctx.city }}, {{ ctx.mood | default('glad') }}"
    config.write_text(f"middleware = []\n{GOOD}prompt = \"{prompt}\"\n[context]\nname = 'Ada'\n")
    done = auwgent("check")
    assert done.returncode == 0
    assert [line.split() for line in done.stdout.splitlines()[1:3]] == [
        ["✓", "context", "name", "auwgent.toml:6", "of", "Main"],
        ["·", "context", "city", "nowhere", "of", "Main"],
    ]
    assert "no problems found, but prompts need ctx.city, from --context or a middleware" in done.stdout
    assert "but prompts need" not in auwgent("check", "--set", "context.city=Rome").stdout


def test_a_prompt_that_cannot_be_rendered_is_a_problem(auwgent: Any, config: Path) -> None:
    config.write_text(f"{GOOD}prompt = '{{{{ ctx.name + 1 }}}}'\n[context]\nname = 'Ada'\n")
    done = auwgent("check")
    assert done.returncode == 2
    assert "auwgent.toml:3:10: the prompt, line 1: TypeError" in done.stdout


def test_what_modules_print_is_no_part_of_the_report(auwgent: Any, config: Path) -> None:
    noisy = OWN_CHECKS.replace('return "as well', 'print("in check")\n        return "as well')
    (config.parent / "my_checks.py").write_text(f'print("at import")\n{noisy}')
    config.write_text(f'middleware = ["my_checks.Well"]\n{GOOD}')
    done = auwgent("check", "--json")
    assert json.loads(done.stdout)["ok"] is True
    assert done.stderr == "at import\nin check\n"


def test_an_order_that_cannot_do_what_it_looks_like_is_warned_of(auwgent: Any, config: Path) -> None:
    redact = '"auwgent.middleware.Redact"'
    for listed, told in (
        (f'"{STORE}", "auwgent.middleware.Cache", {redact}', "redact is listed after cache"),
        (
            f'"{STORE}", {{ use = "auwgent.middleware.Moderate" }}, {redact}',
            "redact is listed after moderate",
        ),
        (f'"{STORE}", {{ use = "auwgent.middleware.Trace" }}, {redact}', "redact is listed after trace"),
        (f'{redact}, "{STORE}"', "redact is listed before sessions"),
        (f'"{STORE}", {redact}, "auwgent.middleware.Cache", "auwgent.middleware.Moderate"', None),
    ):
        config.write_text(f"middleware = [{listed}]\n{GOOD}")
        found = auwgent("check")
        assert found.returncode == 0, found.stderr
        assert ("warning: auwgent.toml:1:" in found.stdout.replace(f"{config.parent}/", "")) is (
            told is not None
        )
        assert told is None or told in found.stdout


def test_static_looks_at_prompts_and_skills(auwgent: Any, config: Path) -> None:
    bad = config.parent / "skills" / "bad"
    bad.mkdir(parents=True)
    (bad / "SKILL.md").write_text("no head")
    config.write_text(
        GOOD + 'skills = ["skills/*", "gone/*"]\nhelpers = ["Joker"]\n'
        '[helpers.Joker]\ndescription = "Jokes"\nmodel = "scripted/echo"\nprompt_file = "gone.md"'
    )
    done = auwgent("check", "--static")
    assert done.returncode == 2
    for words in ("SKILL.md: it should begin with a head", "'gone/*' names no folder", "there is no file"):
        assert words in done.stdout


def test_a_wrong_element_of_a_list_does_not_hide_the_others(auwgent: Any, config: Path) -> None:
    config.write_text(
        'middleware = [3, "my_nothing.M", { us = "x" }]\n'
        + GOOD
        + 'tools = ["my_nothing.a", 4, "my_nothing.b", 3, { use = "my_nothing.c", aprove = "ask" }]\n'
        + 'prompt = ["a", 3, { file = "gone.md" }]'
    )
    done = auwgent("check")
    places = [line.split(": ")[0] for line in done.stdout.splitlines() if line.startswith("auwgent.toml:")]
    lines = config.read_text().splitlines()
    wrong = (
        ["3, ", '"my_nothing.M"', "{ us"],
        ['"my_nothing.a"', "4", '"my_nothing.b"', "3", "{ use", "aprove"],
    )
    assert places[:3] == [f"auwgent.toml:1:{lines[0].index(one) + 1}" for one in wrong[0]]
    number = next(number for number, line in enumerate(lines, 1) if line.startswith("tools"))
    assert places[3:9] == [f"auwgent.toml:{number}:{lines[number - 1].rindex(one) + 1}" for one in wrong[1]]
    assert places[9:11] == [f"auwgent.toml:{number + 1}:{column}" for column in (16, 19)]
