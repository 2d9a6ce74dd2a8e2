"""All that is wrong with a config is told at once, also what only shows when its code is imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from auwgent.errors import Problem

Wrong = Callable[[str], list[Problem]]
AGENT = '[agent]\nmodel = "scripted/echo"\n'
CODE = """
class Needy:
    def __init__(self, url): ...
    def onRunStart(self, session, ctx): ...

def look(): "Look."
"""


@pytest.fixture(autouse=True)
def code(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "code_beside_it.py").write_text(CODE)
    yield
    sys.modules.pop("code_beside_it", None)  # Python holds one module of a name; the next test has another


def test_every_kind_of_mistake_is_in_one_report(wrong: Wrong) -> None:
    problems = wrong("""
        middleware = ["code_beside_it.Nothing", { use = "code_beside_it.Needy", wrong = 1 }]
        [agent]
        modle = "openai/gpt-5-mini"
        prompt = "{{ x"
        tools = ["code_beside_it.nothing", { use = "code_beside_it.look", aprove = "ask" }]
        helpers = ["H", "I"]
        [helpers.H]
        model = "opnai/gpt-5-mini"
        output = "nowhere_at_all.Report"
        [models.m]
        use = "openai/m"
        fallbacks = ["m"]
        retries = -1
        [models.n]
        use = "openai/n"
        base_url = "https://llm.example#x"
        [intents.Loud.fields]
        reason = "strng"
        [limits]
        seconds = "many"
        usd = 1.0
        [mcp.x]
        args = ["a"]
        [api_keys]
        opnai = "${NOWHERE}"
    """)
    assert [(problem.line, problem.message.partition(":")[0]) for problem in problems] == [
        (1, "module 'code_beside_it' has no 'Nothing'"),
        (1, "'code_beside_it.Needy' does not take these options"),
        (2, "[agent] needs `model`"),
        (3, "unknown key `modle` in [agent]"),
        (4, "line 1"),
        (5, "module 'code_beside_it' has no 'nothing'"),
        (5, "unknown key `aprove` in `agent.tools[1]`"),
        (6, "`agent.helpers`"),
        (7, "[helpers.H] needs `description`"),
        (8, "there is no provider 'opnai'"),
        (9, "no such module"),
        (12, "`models.m.fallbacks[0]` closes a circle"),
        (13, "`models.m.retries` should be greater than or equal to 0"),
        (16, "the base_url of n may not hold a #"),
        (18, "`intents.Loud.fields.reason`"),
        (20, "`limits.seconds` should be a number, not a string"),
        (22, "`mcp.x` needs exactly one of `command` and `url`"),
        (25, "`api_keys.opnai` needs the environment variable NOWHERE"),
    ]


HELPER = '[helpers.H]\ndescription = "d"\nmodel = "scripted/echo"\n'


@pytest.mark.parametrize(
    "text",
    [
        '[agent]\nmodel = "mian"\n[models.main]\nuse = "openai/m"\n[limits]\nusd = 1.0',
        '[agent]\nmodel = "main"\n[models]\nmain = 3\n[limits]\nusd = 1.0',
        '[agent]\nmodel = "main"\n[models.main]\n[limits]\nusd = 1.0',
        f"{AGENT}tools = [3]\nhelpers = ['H']\n{HELPER}inherit_tools = ['look']",
        f"middleware = [{{ use = 'code_beside_it.Needy', url = 'x', target = 'H' }}]\n{AGENT}[helpers]\nH = 3",
        f"middleware = [{{ use = 'code_beside_it.Needy', url = '${{NOWHERE}}' }}]\n{AGENT}",
        f"{AGENT}tools = ['elsewhere.tool']\n[imports]\npth = ['elsewhere']",
        f"{AGENT}tools = ['mcp:x']\n[mcp.x]\ncommand = 3",
        f"{AGENT}intents = ['Loud']\n[intents.Loud]\nterminal = 'yes'\nfields = {{ a = 'string' }}",
        (
            f"{AGENT}[models.own]\nuse = 'acme/m'\nvia = 'direct'\nbase_url = '${{NOWHERE}}'\n"
            "[helpers.H]\ndescription = 'd'\nmodel = 'own'\n[agent.x]"
        ),
        f"{AGENT}prompt = 'a'\nprompt_file = 'b.md'\nhelpers = ['H']\n{HELPER}inherit_tools = ['look']",
        "[limits]\ntokens = 5\n[api_keys]\nopenai = 'k'",
        "agent = 3",
    ],
)
def test_one_mistake_is_told_once(wrong: Wrong, text: str) -> None:
    assert len(wrong(text)) == 1
