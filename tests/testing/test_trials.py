"""`auwgent test`: the [[test]] tables of a config, from tapes and for real, as people and programs see them."""

# ruff: noqa: E501 - an inline table stands on one line

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tomllib
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml

from auwgent import ConfigError, auwgent
from auwgent.cli import main
from auwgent.config import load
from auwgent.config.json_schema import schema
from auwgent.testing.suite import collected
from auwgent.testing.trial import How, Result, run_all

SHOP = '''
from pathlib import Path

def find_order(number: int) -> dict:
    """Find an order."""
    return {"number": number, "total": 12.5}

def refund(number: int) -> str:
    """Pay back."""
    with Path("refunds.txt").open("a") as file:
        file.write(f"{number}\\n")
    return f"order {number} is paid back"

def polite(session):
    if "please" not in session.text:
        return "it is not polite"

def strict(session):
    assert False, "nothing is good enough"

class Seen:
    name = "seen"
    def onRunStart(self, session, ctx):
        with Path("seen.txt").open("a") as file:
            file.write(f"{ctx.rehearsal} {len(session.turns)} {ctx.user_name}\\n")
'''
NUMBERS = count()
CONFIG = """
middleware = [
  "auwgent.middleware.SQLModelSessions",
  { use = "auwgent.middleware.Budget", day = { usd = 0.000001 } },
  { use = "auwgent.middleware.Audit", path = "audit.jsonl" },
  "shop.Seen",
]
[agent]
model = "main"
prompt = "You help {{ ctx.user_name }}."
tools = ["shop.find_order", { use = "shop.refund", approve = "ask" }]
[context]
user_name = "nobody"
[models.main]
use = "scripted/main"
price = { input = 10.0, output = 10.0 }
[models.main.params]
repeat = true
replies = [
  { when = "json", text = '{"total": 12, "lines": [{"n": 1, "x": 2}]}' },
  { when = "Refund", tool_calls = [{ name = "find_order", args = { number = 7 } }, { name = "refund", args = { number = 7 } }] },
  { result = "paid back", text = "Yes please: 12.50 EUR for order 7." },
  { result = true, text = "I may not." },
  { when = "fail", error = { status = 401, message = "wrong key" } },
  "You are welcome.",
]
[models.other]
use = "scripted/other"
params = { replies = ["I do not do that."], repeat = true }
"""
REFUND = """
[[test]]
name = "a refund is asked about"
input = "Refund order 7"
context = { user_name = "Ada" }
answers = { refund = true }
expect = { status = "completed", calls = ["find_order", "refund"], not_calls = ["delete"], text = "order 7", matches = "\\\\bEUR\\\\b", max_usd = 0.01, max_llm_calls = 2, check = "shop.polite" }
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / f"shop_{next(NUMBERS)}.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    with_tests(tmp_path)
    return tmp_path


def named(shop: Path, text: str) -> str:
    """The text with the name of this shop's module: a process has one of each name."""
    (module,) = shop.glob("shop_*.py")
    return text.replace('"shop.', f'"{module.stem}.')


def with_tests(shop: Path, *tables: str) -> Path:
    file = shop / "auwgent.toml"
    file.write_text(named(shop, CONFIG + "\n".join(tables)))
    return file


async def results(file: Path, **how: Any) -> list[Result]:
    config = load(file)
    return await run_all(file, config, collected(config), How(**{"live": True, **how}), lambda _: None)


async def test_all_that_a_test_may_expect_holds(shop: Path) -> None:
    (found,) = await results(with_tests(shop, REFUND))
    assert found.problems == []
    assert found.outcome is not None
    assert found.outcome.calls == ["find_order", "refund"]


async def test_a_rehearsal_keeps_nothing_and_says_so_to_middleware_of_ones_own(shop: Path) -> None:
    await results(with_tests(shop, REFUND))
    assert (shop / "seen.txt").read_text() == "True 0 Ada\n"
    assert not (shop / "audit.jsonl").exists()
    assert not (shop / ".auwgent").exists()


@pytest.mark.parametrize(
    ("expect", "text", "problem"),
    [
        ('status = "failed"', "Hello", "status: expected failed, got completed"),
        ('text = "x"', "fail", "status: expected completed, got failed: ProviderError: "),
        ('text = "goodbye"', "Hello", 'text: expected "goodbye" in it, got "You are welcome." (turn 2)'),
        (
            'matches = "^we"',
            "Hello",
            "matches: expected '^we' to be found, got \"You are welcome.\" (turn 2)",
        ),
        (
            'calls = ["refund", "find_order"]',
            "Refund",
            "calls: expected refund, find_order in this order, got find_order, refund",
        ),
        ('calls = ["cancel"]', "Refund", "(no 'cancel')"),
        (
            'not_calls = ["refund"]',
            "Refund",
            "not_calls: 'refund' was called, in turn 2; got find_order, refund",
        ),
        ("max_llm_calls = 1", "Refund", "max_llm_calls: expected at most 1, got 2"),
        ("max_usd = 0.0000001", "Refund", "max_usd: expected at most $1e-07, got $"),
        ('check = "shop.polite"', "Hello", "check: it is not polite"),
        ('check = "shop.strict"', "Hello", "check: nothing is good enough"),
        ("output = { total = 13 }", "json", "output.total: expected 13, got 12 (turn 2)"),
        ("output = { lines = [{ n = 2 }] }", "json", "output.lines[0].n: expected 2, got 1 (turn 2)"),
        ("output = { missing = true }", "json", "output.missing: expected true, got nothing (turn 2)"),
    ],
)
async def test_a_failure_says_what_was_expected_and_what_came(
    shop: Path, expect: str, text: str, problem: str
) -> None:
    table = f'[[test]]\nname = "t"\ninput = "{text}"\nanswers = {{ refund = true }}\nexpect = {{ {expect} }}'
    (found,) = await results(with_tests(shop, table))
    assert not found.passed
    assert problem in found.problems[0]


async def test_parts_of_an_output_are_enough(shop: Path) -> None:
    table = '[[test]]\nname = "t"\ninput = "json"\nexpect = { output = { lines = [{ n = 1 }] } }'
    (found,) = await results(with_tests(shop, table))
    assert found.passed


async def test_a_call_that_is_answered_no_is_told_to_the_model(shop: Path) -> None:
    table = '[[test]]\nname = "t"\ninput = "Refund"\nanswers = { refund = "not today" }\nexpect = { text = "I may not" }'
    (found,) = await results(with_tests(shop, table))
    assert found.problems == []
    assert not (shop / "refunds.txt").exists()


async def test_a_test_goes_on_with_an_exported_session_and_further_inputs(shop: Path) -> None:
    async with auwgent(shop / "auwgent.toml") as agent:
        session = await agent.run("Hello")
    (shop / "begun.json").write_text(json.dumps(session.model_dump(mode="json")))
    (shop / "seen.txt").unlink()
    table = '[[test]]\nname = "t"\ninput = "One"\nthen = ["Two"]\nsession = "begun.json"\nrepeat = 2\nexpect = { max_llm_calls = 2 }'
    found = await results(with_tests(shop, table))
    assert [one.problems for one in found] == [[], []]
    assert (shop / "seen.txt").read_text() == "True 2 nobody\nTrue 4 nobody\n" * 2
    assert all(one.outcome is not None and len(one.outcome.session.turns) == 6 for one in found)


async def test_without_a_tape_a_test_is_run_with_live_alone(shop: Path) -> None:
    (found,) = await results(with_tests(shop, REFUND), live=False)
    assert found.outcome is None
    assert "--live" in found.problems[0]


async def test_tapes_are_recorded_for_each_model_and_played_without_running_a_tool(shop: Path) -> None:
    table = REFUND.replace(
        "answers", 'models = ["main", "other"]\nrepeat = 2\ntape = "tapes/refund.jsonl"\nanswers'
    )
    file = with_tests(shop, table)
    recorded = await results(file, live=False, record=True)
    assert [one.passed for one in recorded] == [True, True, False, False]
    assert (shop / "refunds.txt").read_text() == "7\n7\n"
    before = (shop / "tapes" / "refund.jsonl").read_text()
    played = await results(file, live=False)
    assert [one.problems for one in played] == [one.problems for one in recorded]
    assert (shop / "refunds.txt").read_text() == "7\n7\n"
    await results(file, live=False, record=True)
    assert (shop / "tapes" / "refund.jsonl").read_text() == before
    assert [path.name for path in (shop / "tapes").iterdir()] == ["refund.jsonl"]

    file.write_text(file.read_text().replace('prompt = "You help', 'prompt = "You always help'))
    (first, *_) = await results(file, live=False)
    assert "differs first in the system prompt" in first.problems[0]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('name = "t"\ninput = "x"', "needs `expect`"),
        ('name = "t"\ninput = "x"\nexpect = {}', "says nothing: give one of status, calls"),
        ('name = "t"\nexpect = { text = "x" }', "needs `input`"),
        ('name = "t"\ninput = "x"\nexpect = { txt = "x" }', "did you mean `text`?"),
        ('name = "t"\ninput = "x"\nexpect = { matches = "(" }', "should be a regular expression"),
        ('name = "t"\ninput = "x"\nrepeat = 0\nexpect = { text = "x" }', "repeat"),
        ('name = "t"\ninput = "x"\nmodels = ["mian"]\nexpect = { text = "x" }', "there is no model 'mian'"),
        (
            'name = "t"\ninput = "x"\nsession = "gone.json"\nexpect = { text = "x" }',
            "gone.json cannot be read",
        ),
        ('name = "t"\ninput = "x"\nexpect = { check = "shop.polit" }', "polit"),
        (
            'name = "t"\ninput = "x"\nexpect = { text = "x" }\n[[test]]\nname = "t"\ninput = "x"\nexpect = { text = "x" }',
            "two tests named 't'",
        ),
    ],
)
@pytest.mark.parametrize("where", ["auwgent.toml", "tests/more.toml"])
def test_what_is_wrong_with_a_test_is_told_with_its_place(
    shop: Path, table: str, problem: str, where: str
) -> None:
    file = shop / where
    file.parent.mkdir(exist_ok=True)
    file.write_text(named(shop, (CONFIG if where == "auwgent.toml" else "") + f"[[test]]\n{table}\n"))
    with pytest.raises(ConfigError) as failure:
        collected(load(shop / "auwgent.toml"))
    assert problem in str(failure.value)
    assert f"{where}:" in str(failure.value)


def test_tests_stand_in_the_schema() -> None:
    import jsonschema

    jsonschema.validate(tomllib.loads(CONFIG + REFUND), schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(CONFIG + REFUND.replace("expect =", "expects =")), schema())


class TestTheCommand:
    @pytest.fixture
    def run(self, shop: Path) -> Any:
        def run(*args: str) -> subprocess.CompletedProcess[str]:
            line = [sys.executable, "-m", "auwgent", "test", *args]
            return subprocess.run(line, cwd=shop, capture_output=True, text=True, timeout=300)

        return run

    @pytest.mark.process
    def test_a_table_a_report_and_an_exit_code(self, shop: Path, run: Any) -> None:
        failing = '[[test]]\nname = "it says \\u0001 <b>"\ninput = "Hello"\nmodels = ["main", "other"]\nexpect = { text = "goodbye" }'
        with_tests(shop, REFUND, failing)
        done = run("--live", "--junit", "report.xml")
        assert done.returncode == 1
        assert "✓ a refund is asked about  main" in done.stderr
        assert 'text: expected "goodbye" in it' in done.stderr
        head, *rows, _ = done.stdout.splitlines()
        assert head.split() == ["main", "other"]
        assert [row.split("  ")[-1].strip()[:1] for row in rows] == ["-", "✗"]
        report = JUnitXml.fromfile(str(shop / "report.xml"))
        assert (report.tests, report.failures) == (3, 2)
        cases = [case for suite in report for case in suite]
        assert [case.classname for case in cases] == ["main", "main", "other"]
        assert [bool(case.result) for case in cases] == [False, True, True]
        assert run("--live", "-k", "REFUND").returncode == 0

    @pytest.mark.process
    def test_json_and_wrong_usage(self, shop: Path, run: Any) -> None:
        assert run().returncode == 2
        with_tests(shop, REFUND)
        (shop / "tests").mkdir()
        (shop / "tests" / "hello.toml").write_text(
            '[[test]]\nname = "hello"\ninput = "Hello"\nexpect = { text = "welcome" }'
        )
        done = run("--live", "--json", "tests/hello.toml", "-m", "other")
        found = json.loads(done.stdout)
        assert (done.returncode, found["ok"]) == (1, False)
        assert [(one["test"], one["model"], one["passed"]) for one in found["results"]] == [
            ("hello", "other", False)
        ]
        assert run("--live", "-k", "nothing of the kind").returncode == 2
        assert run("nowhere.toml").returncode == 2

    @pytest.mark.process
    def test_check_looks_at_tests_and_runs_none(self, shop: Path) -> None:
        with_tests(
            shop, REFUND, '[[test]]\nname = "t"\ninput = "x"\nsession = "gone.json"\nexpect = { text = "x" }'
        )
        line = [sys.executable, "-m", "auwgent", "check", "--json"]
        done = subprocess.run(line, cwd=shop, capture_output=True, text=True, timeout=300)
        assert done.returncode == 2
        assert "gone.json cannot be read" in done.stdout
        with_tests(shop, REFUND)
        done = subprocess.run(line, cwd=shop, capture_output=True, text=True, timeout=300)
        kinds = {
            one["name"]: one["status"] for one in json.loads(done.stdout)["findings"] if one["kind"] == "test"
        }
        assert (done.returncode, kinds) == (0, {"a refund is asked about": "ok"})
        assert not (shop / "seen.txt").exists()


@pytest.mark.process
def test_tests_run_beside_ones_own_with_pytest(shop: Path) -> None:
    table = '[[test]]\nname = "hello"\ninput = "Hello"\ntape = "hello.jsonl"\nmodels = ["main", "other"]\nexpect = { text = "welcome" }'
    with_tests(shop, table)
    (shop / "test_agent.py").write_text(
        "from auwgent.testing import auwgent_tests\n\ntest_agent = auwgent_tests('auwgent.toml')\n\ndef test_own():\n    pass\n"
    )

    def run(*args: str) -> str:
        line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *args]
        return subprocess.run(line, cwd=shop, capture_output=True, text=True, timeout=300).stdout

    assert "2 failed, 1 passed" in run()
    assert "1 failed, 2 passed" in run("--auwgent-record")
    told = run()
    assert "1 failed, 2 passed" in told
    assert 'hello (other): text: expected "welcome" in it, got "I do not do that."' in told


async def test_a_run_that_pauses_is_recorded_and_played_as_paused(shop: Path) -> None:
    table = '[[test]]\nname = "t"\ninput = "Refund"\ntape = "t.jsonl"\nexpect = { status = "paused", calls = ["find_order"] }'
    file = with_tests(shop, table)
    (found,) = await results(file, live=False, record=True)
    assert found.problems == []
    assert found.outcome is not None
    assert [one["type"] for one in found.outcome.session.pending] == ["refund"]
    (found,) = await results(file, live=False)
    assert found.problems == []
    assert not (shop / "refunds.txt").exists()
    with_tests(shop, table.replace("paused", "completed"))
    (found,) = await results(file, live=False)
    assert found.problems[0].startswith("status: expected completed, got paused")


def test_what_is_played_needs_no_key(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = '[[test]]\nname = "t"\ninput = "Hello"\ntape = "t.jsonl"\nexpect = { text = "welcome" }'
    file = with_tests(shop, table)
    file.write_text(
        file.read_text().replace('use = "scripted/main"', 'use = "scripted/main"\napi_key = "${SHOP_KEY}"')
    )
    monkeypatch.setenv("SHOP_KEY", "a-key")
    (found,) = asyncio.run(results(file, live=False, record=True))
    assert found.problems == []
    monkeypatch.delenv("SHOP_KEY")
    done = main(["test"])
    assert (done, capsys.readouterr().out.splitlines()[0].split()) == (0, ["main"])
    assert main(["test", "--live", "--record"]) == 2
    assert "needs the environment variable SHOP_KEY" in capsys.readouterr().err
