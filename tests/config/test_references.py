"""Names in a config that lead nowhere, and circles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from auwgent.config import load
from auwgent.errors import Problem

Wrong = Callable[..., list[Problem]]
File = Callable[[str], Path]
HELPER = '[helpers.{0}]\ndescription = "d"\nmodel = "a/b"\nhelpers = {1}\n'


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('model = "gpt-5"', "`agent.model`: there is no model 'gpt-5'", "write `provider/model`, or add a"),
        ('model = "/x"', "`agent.model`: there is no model '/x'", "write `provider/model`"),
        ('model = "openai/"', "`agent.model`: there is no model 'openai/'", "write `provider/model`"),
        (
            'model = "fsat"\n[models.fast]\nuse = "a/b"',
            "`agent.model`: there is no model 'fsat'",
            "did you mean `fast`?",
        ),
        ('model = "a/b"\n[models.m]\nuse = "x"', "`models.m.use` should be `provider/model`, not 'x'", ""),
        (
            'model = "m"\n[models.m]\nuse = "a/b"\nfallbacks = ["c/d", "spare"]',
            "`models.m.fallbacks[1]`: there is no model 'spare'",
            "write `provider/model`",
        ),
        ('model = "a/b"\n[embedding]\nmodel = "x"', "`embedding.model`: there is no model 'x'", "write"),
        (
            'model = "a/b"\nhelpers = ["X"]',
            "`agent.helpers`: there is no helper 'X'",
            "add a [helpers.X] table",
        ),
        (
            'model = "a/b"\nintents = ["X"]',
            "`agent.intents`: there is no intent 'X'",
            "add a [intents.X] table",
        ),
        (
            'model = "a/b"\ntools = ["mcp:x"]',
            "`agent.tools[0]`: there is no MCP server 'x'",
            "add an [mcp.x] table",
        ),
        (
            'model = "a/b"\ntools = ["mcp:tiem:now"]\n[mcp.time]\ncommand = "c"',
            "`agent.tools[0]`: there is no MCP server 'tiem'",
            "did you mean `time`?",
        ),
        (
            'model = "a/b"\nworkflows = [{ use = "a.b", tools = [{ use = "mcp:x" }] }]',
            "`agent.workflows[0].tools[0].use`: there is no MCP server 'x'",
            "add an [mcp.x] table",
        ),
        (
            'model = "a/b"\n' + HELPER.format("Main", "[]"),
            "'Main' is the name of the root agent already",
            "",
        ),
        (
            'model = "a/b"\n[api_keys]\ngeminiApiKey = "x"',
            "[api_keys]: 'geminiApiKey' is not the name of a provider",
            "did you mean `gemini`?",
        ),
        ('model = "a/b"\n[profiles.p.profiles.q]', "a profile cannot hold profiles", ""),
    ],
)
def test_a_name_that_leads_nowhere_is_told(wrong: Wrong, text: str, message: str, hint: str) -> None:
    (problem,) = wrong(f"[agent]\n{text}")
    assert problem.message == message
    assert problem.hint.startswith(hint)
    assert bool(problem.hint) == bool(hint)


@pytest.mark.parametrize("target", ['"Reasearcher"', '["Main", "Reasearcher"]'])
def test_a_middleware_can_be_limited_to_known_agents_only(wrong: Wrong, target: str) -> None:
    entry = f'middleware = [{{ use = "a.B", target = {target} }}]\n'
    (problem,) = wrong(entry + '[agent]\nmodel = "a/b"\n' + HELPER.format("Researcher", "[]"))
    assert (problem.line, problem.message) == (1, "`target`: there is no agent 'Reasearcher'")
    assert problem.hint == "did you mean `Researcher`?"
    assert problem.text[(problem.column or 0) - 1 :].startswith('"Reasearcher"')


def test_names_of_helpers_and_models_that_exist_are_fine(file: File) -> None:
    text = '[agent]\nmodel = "m"\nhelpers = ["H"]\n[models.m]\nuse = "a/b/c"\n' + HELPER.format("H", "[]")
    assert load(file(text), environ={}).models["m"].use == "a/b/c"


def test_helpers_that_call_each_other_are_a_circle(wrong: Wrong) -> None:
    agent = '[agent]\nmodel = "a/b"\nhelpers = ["A"]\n'
    tables = HELPER.format("A", '["B"]') + HELPER.format("B", '["C"]') + HELPER.format("C", '["A", "B"]')
    problems = wrong(agent + tables)
    assert len(problems) == 2
    circles = {frozenset(problem.message.partition("circle: ")[2].split(" → ")) for problem in problems}
    assert circles == {frozenset("ABC"), frozenset("BC")}


def test_two_ways_to_one_helper_are_no_circle(file: File) -> None:
    agent = '[agent]\nmodel = "a/b"\nhelpers = ["A", "B"]\n'
    tables = HELPER.format("A", '["C"]') + HELPER.format("B", '["C"]') + HELPER.format("C", "[]")
    assert len(load(file(agent + tables), environ={}).helpers) == 3


def test_fallbacks_may_not_lead_back(wrong: Wrong) -> None:
    (problem,) = wrong("""
        [agent]
        model = "a"
        [models.a]
        use = "x/y"
        fallbacks = ["b"]
        [models.b]
        use = "x/z"
        fallbacks = ["a"]
    """)
    assert "closes a circle: " in problem.message


# Profiles


def test_a_profile_is_checked_also_when_it_is_not_selected(wrong: Wrong) -> None:
    problems = wrong("""
        [agent]
        model = "main"
        [models.main]
        use = "a/b"
        [profiles.one]
        agent.promt = "x"
        agent.model = "mian"
        limits.tokens = "many"
        helpers.New.model = "main"
        middleware = [{ use = "a.B", target = "Nobody" }]
        [profiles.two]
        agnet.model = "x"
    """)
    assert [(problem.line, problem.message) for problem in problems] == [
        (6, "unknown key `promt` in [agent]"),
        (7, "`agent.model`: there is no model 'mian'"),
        (8, "`limits.tokens` should be a whole number, not a string"),
        (9, "[helpers.New] needs `description`"),
        (10, "`target`: there is no agent 'Nobody'"),
        (12, "unknown key `agnet`"),
    ]


def test_what_is_wrong_in_the_file_is_not_told_again_for_its_profiles(wrong: Wrong) -> None:
    assert len(wrong('[agent]\nmodel = "a/b"\nmodle = 1\n[profiles.p]\nagent.name = "X"\n[profiles.q]')) == 1


def test_an_unknown_profile_lists_the_known_ones(wrong: Wrong) -> None:
    agent = '[agent]\nmodel = "a/b"\n'
    hints = [
        wrong(agent + "[profiles.strict]\n[profiles.loose]", profile=name)[0].hint
        for name in ("strct", "zzz")
    ]
    assert hints == ["did you mean `strict`?", "there are: strict, loose"]
    (problem,) = wrong(agent, profile="strict")
    assert (problem.message, problem.hint) == ("there is no profile 'strict'", "it has none")
