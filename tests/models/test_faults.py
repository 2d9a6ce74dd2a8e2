"""Whatever LiteLLM raises becomes one fault and one sentence, and no secret is in it."""

import inspect
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import aiohttp
import pytest

from auwgent.errors import PASSING, Fault, ProviderError
from auwgent.models.base import ModelSpec
from auwgent.models.faults import BY_CLASS, WORDS, broken_off, explained
from auwgent.models.litellm import preload

SPEC = ModelSpec(name="openai/gpt-4o-mini", api_key="sk-canary-1234567890")


@pytest.fixture(scope="module")
def kinds() -> list[type[BaseException]]:
    """All exceptions of LiteLLM, of the OpenAI client it builds on, and of our own HTTP client."""
    modules = [preload().result().exceptions, sys.modules["openai._exceptions"]]
    found = {one for module in modules for one in list(vars(module).values()) if inspect.isclass(one)}
    found |= {
        one for one in vars(aiohttp).values() if inspect.isclass(one) and issubclass(one, aiohttp.ClientError)
    }
    return [one for one in found if issubclass(one, Exception) and not issubclass(one, Warning)]


def made(kind: str | type[BaseException], message: str = "boom", **attributes: Any) -> Any:
    """An exception of that class or name, without the arguments its constructor wants."""
    if isinstance(kind, str):
        kind = type(kind, (Exception,), {})
    error = kind.__new__(kind, message)
    error.__dict__.update({"message": message, **attributes})
    return error


def over_http(status: int, message: str = "boom", **headers: str) -> Any:
    """What the HTTP client raised, under what LiteLLM made of it."""
    error = made("APIError", message, status_code=500)
    error.__cause__ = made("HTTPStatusError", response=SimpleNamespace(status_code=status, headers=headers))
    return error


@pytest.mark.process
def test_every_exception_class_has_a_fault(kinds: list[type[BaseException]]) -> None:
    assert len(kinds) > 40
    unknown = [kind for kind in kinds if not any(base.__name__ in BY_CLASS for base in kind.__mro__)]
    assert unknown == []
    for kind in kinds:
        error = explained(made(kind), SPEC)
        assert isinstance(error, ProviderError)
        assert (error.provider, error.model) == ("openai", "openai/gpt-4o-mini")


@pytest.mark.process
def test_nothing_is_listed_that_is_no_class_any_more(kinds: list[type[BaseException]]) -> None:
    names = {base.__name__ for kind in kinds for base in kind.__mro__}
    assert BY_CLASS.keys() <= names


def test_the_page_has_the_status_of_each_fault() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "providers.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| [^|]+ \|$", page, re.MULTILINE)
    assert {name for name, _ in rows} - {"fault"} == set(get_args(Fault))
    for name, statuses in rows:
        for status in re.findall(r"[45]\d\d", statuses):
            words = {"context": "prompt is too long", "filtered": "content policy"}.get(name, "boom")
            assert explained(over_http(int(status), words), SPEC).fault == name


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (400, "bad_request"),
        (501, "bad_request"),
        (401, "auth"),
        (402, "auth"),
        (403, "auth"),
        (404, "not_found"),
        (408, "timeout"),
        (409, "unavailable"),
        (413, "bad_request"),
        (422, "bad_request"),
        (425, "unavailable"),
        (429, "rate_limit"),
        (500, "unavailable"),
        (502, "unavailable"),
        (503, "unavailable"),
        (504, "timeout"),
        (529, "unavailable"),
    ],
)
def test_the_status_that_came_over_http_decides(status: int, fault: Fault) -> None:
    error = explained(over_http(status), SPEC)
    assert (error.status, error.fault) == (status, fault)
    assert error.retryable == (fault in PASSING)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("This model's maximum context length is 128000 tokens", "context"),
        ("prompt is too long: 210000 tokens > 200000 maximum", "context"),
        ("The input token count (1200000) exceeds the maximum number of tokens allowed", "context"),
        ("API key not valid. Please pass a valid API key.", "auth"),
        ("The model `gpt-9` does not exist", "not_found"),
        ("The response was filtered due to the content management policy", "filtered"),
        ("Unknown field: foo", "bad_request"),
    ],
)
def test_a_400_is_told_apart_by_its_words(words: str, fault: Fault) -> None:
    assert explained(over_http(400, words), SPEC).fault == fault


@pytest.mark.parametrize(
    "words",
    [
        "The api_key client option must be set either by passing api_key to the client",
        "Missing Anthropic API Key - A call is being made to anthropic but no key is set",
    ],
)
def test_a_missing_key_that_arrives_as_500_is_no_outage(words: str) -> None:
    error = explained(made("InternalServerError", words, status_code=500), SPEC)
    assert (error.fault, error.status, error.retryable) == ("auth", None, False)


def test_a_connection_that_fails_has_no_status() -> None:
    error = made("InternalServerError", "Connection error.", status_code=500)
    error.__cause__ = ConnectionRefusedError(111, "refused")
    assert (explained(error, SPEC).fault, explained(error, SPEC).status) == ("unavailable", None)


def test_an_answer_that_is_no_json_is_no_bad_request() -> None:
    error = made("BadRequestError", "Expecting value: line 1 column 1 (char 0)", status_code=422)
    assert (explained(error, SPEC).fault, explained(error, SPEC).status) == ("protocol", None)


def test_a_library_that_is_missing_is_no_outage() -> None:
    words = "Google Cloud SDK not found. Install it with: pip install 'litellm[google]'"
    error = explained(made("APIConnectionError", words), ModelSpec(name="vertex_ai/claude-sonnet-4-5"))
    assert (error.fault, error.retryable) == ("bad_request", False)
    assert str(error).endswith("a library that is not installed. Details: pip install 'auwgent[vertex]'")
    error = explained(made("APIConnectionError", "No module named 'boto3'"), ModelSpec(name="bedrock/claude"))
    assert (error.fault, error.retryable) == ("bad_request", False)
    assert "No module named 'boto3'" in str(error)


def test_a_used_up_quota_is_not_asked_again() -> None:
    error = explained(over_http(429, "You exceeded your current quota, please check your plan"), SPEC)
    assert (error.fault, error.retryable) == ("rate_limit", False)
    assert "quota" in str(error)


def test_what_breaks_after_the_first_piece_is_a_broken_stream() -> None:
    error = made("MidStreamFallbackError", status_code=500)
    error.original_exception = over_http(500)
    assert explained(error, SPEC, begun=True).fault == "broken_stream"
    assert explained(error, SPEC, begun=False).fault == "unavailable"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("Sat, 28 Nov 2026 12:00:00 GMT", 0.0)],
)
def test_retry_after_is_read_in_every_form(value: str, seconds: float | None) -> None:
    assert explained(over_http(429, **{"retry-after": value}), SPEC).retry_after == seconds


def test_the_providers_own_words_are_found_in_their_wrapping() -> None:
    body = """b'{"type":"error","error":{"type":"invalid","message":"No such tool"}}'"""
    error = explained(over_http(400, f"litellm.BadRequestError: AnthropicException - {body}"), SPEC)
    assert str(error).endswith("(HTTP 400) The provider says: No such tool")


def test_long_words_are_cut() -> None:
    assert len(str(explained(over_http(400, "word " * 1000), SPEC))) < WORDS + 200


def test_no_traceback_gets_into_the_words() -> None:
    error = made(
        "APIConnectionError",
        'oops\nTraceback (most recent call last):\n  File "/home/me/x.py"',
    )
    assert "/home/me" not in str(explained(error, SPEC))


def test_the_user_learns_where_the_key_is_looked_for() -> None:
    spec = ModelSpec(name="openai/gpt-4o-mini", label="main")
    told = str(explained(over_http(401), spec))
    assert "[models.main]" in told
    assert "[api_keys]" in told
    assert "OPENAI_API_KEY" in told


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-canary-1234567890",
        "header X-Team: canary-header",
        "GET https://llm.example/v1?key=canary-query failed",
        "cannot reach https://canary-user:canary-password@llm.example",
        "Incorrect API key provided: sk-proj-********canary",
        "Authorization: Bearer canary.canary.canary",
        "https://generativelanguage.googleapis.com/v1beta/models?key=canary123",
        "API key AIzaSyCanaryCanaryCanaryCanaryCanary is not valid",
    ],
)
def test_no_secret_survives(text: str) -> None:
    spec = ModelSpec(
        name="openai/gpt-4o-mini",
        api_key="sk-canary-1234567890",
        base_url="https://canary-user:canary-password@llm.example/v1?key=canary-query",
        headers={"X-Team": "canary-header"},
    )
    error = explained(over_http(401, text), spec)
    assert "canary" not in f"{error} {error!r} {spec!r}".lower()


def test_short_header_values_do_not_tear_words_apart() -> None:
    error = explained(over_http(400, "the sky is blue"), ModelSpec(name="a/b", headers={"X-Team": "blue"}))
    assert str(error).endswith("the sky is blue")


def test_an_answer_without_an_end_may_be_asked_for_again_if_it_had_begun() -> None:
    assert broken_off(SPEC, begun=True).retryable
    assert broken_off(SPEC, begun=False).fault == "protocol"
