"""Models and providers of a config: what does not exist is told where it stands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from auwgent.errors import Problem

Wrong = Callable[[str], list[Problem]]
AGENT = '[agent]\nmodel = "scripted/echo"\n'
OWN_FORMAT = "a server that speaks OpenAI's wire format is openai/m with a base_url"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('[agent]\nmodel = "opnai/m"', 2, 9),
        ('[agent]\nmodel = "main"\n[models.main]\nuse = "opnai/m"', 4, 7),
        ('[agent]\nmodel = "main"\n[models.main]\nuse = "openai/m"\nfallbacks = ["xai/m", "opnai/m"]', 5, 23),
        (AGENT + '[models.idle]\nuse = "opnai/m"', 4, 7),
        (AGENT + '[helpers.H]\ndescription = "d"\nmodel = "opnai/m"', 5, 9),
        (AGENT + '[embedding]\nmodel = "opnai/m"', 4, 9),
        (AGENT + '[api_keys]\nopnai = "k"', 4, 1),
    ],
)
def test_a_provider_that_does_not_exist_is_told_where_it_stands(
    wrong: Wrong, text: str, line: int, column: int
) -> None:
    [problem] = wrong(text)
    assert (problem.line, problem.column) == (line, column)
    assert (problem.message, problem.hint) == ("there is no provider 'opnai'", "did you mean `openai`?")


def test_who_has_a_server_of_his_own_is_told_how_to_name_it(wrong: Wrong) -> None:
    table = '[models.own]\nuse = "qqqq/m"\nbase_url = "http://localhost:8000"\n'
    [problem] = wrong(AGENT + table)
    assert (problem.message, problem.hint) == ("there is no provider 'qqqq'", OWN_FORMAT)
    assert wrong(AGENT + table + 'via = "direct"\n[api_keys]\nqqqq = "k"') == []


@pytest.mark.parametrize("provider", ["openai", "zai", "nano-gpt", "veniceai", "text-completion-openai"])
def test_whatever_litellm_knows_is_a_provider(wrong: Wrong, provider: str) -> None:
    assert wrong(f'[agent]\nmodel = "{provider}/m"\n[api_keys]\n{provider} = "k"') == []


def test_a_price_is_not_asked_of_a_provider_that_does_not_exist(wrong: Wrong) -> None:
    assert len(wrong('[agent]\nmodel = "opnai/m"\n[limits]\nusd = 1.0')) == 1


@pytest.mark.parametrize(
    ("use", "address", "message"),
    [
        ("openai/m", "https://me:hunter2@llm.example", "may not hold a user or a password"),
        ("openai/m", "https://llm.example/v1?tenant=blue", "may not hold a query"),
        ("cohere_chat/m", "https://llm.example/v1?tenant=blue", "may not hold a query"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_where_it_stands(
    wrong: Wrong, use: str, address: str, message: str
) -> None:
    table = f'[models.m]\nuse = "{use}"\nbase_url = "{address}"\n'
    [problem] = wrong(AGENT + table + 'via = "litellm"\n')
    assert (problem.line, problem.column) == (5, 12)
    assert problem.message.startswith(f"the base_url of m {message}")
    assert "hunter2" not in str(problem)
    is_able = "With via = 'direct' it may" in problem.message
    assert is_able == (use == "openai/m")
    if is_able:
        assert wrong(AGENT + table + 'via = "direct"\n') == []
