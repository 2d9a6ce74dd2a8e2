"""Texts and JSON under way: nothing secret gets out, however they are cut."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auwgent.middleware.redact.finder import Finder
from auwgent.middleware.redact.flow import JsonFlow, TextFlow, without
from auwgent.middleware.redact.kinds import DEFAULT_KINDS, PATTERNS
from auwgent.outputs import partial_json

SECRETS = [
    "ada@example.com",
    "4111 1111 1111 1111",
    "sk-proj-abcdefghijklmnopqrstuvwx",
    "DE89 3704 0044 0532 0130 00",
    "123-45-6789",
    "+49 170 1234567",
    "badge #77-A",
    "hunter22",
]
OTHERS = [
    "hello",
    " ",
    "\n",
    "-",
    ".",
    "77",
    "a@b",
    "sk-",
    "é😀",
    '"',
    "\\",
    ": ",
    "4111",
    "password=",
    "[EMAIL_1]",
]
WORDS = st.sampled_from(
    [f" {secret} " for secret in SECRETS[:-1]] + [*SECRETS[:-1], *OTHERS, "pwd=hunter22 "]
)
TEXTS = st.lists(WORDS, max_size=12).map("".join)
DATA = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "password", "ada@example.com"]), inner, max_size=3)
    ),
    max_leaves=6,
)
CUTS = st.lists(st.integers(1, 9), min_size=1, max_size=5)

FINDER = Finder(
    {**{kind: PATTERNS[kind] for kind in DEFAULT_KINDS}, "badge": r"badge #(?P<secret>\d+-[A-Z]+)"}
)


def name(kind: str, secret: str) -> str:
    return f"[{kind.upper()}_{len(secret)}]"


def fed(flow: TextFlow | JsonFlow, text: str, cuts: list[int]) -> list[str]:
    """What came out for each piece, and at the end."""
    out, place = [], 0
    for size in itertools.cycle(cuts):
        if place >= len(text):
            break
        place += size
        out.append(flow.feed(text[:place], is_whole=False))
    return [*out, flow.feed(text, is_whole=True)]


def whole(text: str) -> str:
    return TextFlow(FINDER, name).feed(text, is_whole=True)


@settings(deadline=None, max_examples=200)
@given(TEXTS, CUTS)
def test_a_text_comes_out_the_same_however_it_is_cut(text: str, cuts: list[int]) -> None:
    flow = TextFlow(FINDER, name)
    out = fed(flow, text, cuts)
    assert "".join(out) == flow.shown == whole(text)


@settings(deadline=None, max_examples=100)
@given(TEXTS)
def test_what_stands_alone_never_comes_out(text: str) -> None:
    for secret in SECRETS[:-1]:
        assert secret not in TextFlow(FINDER, name).feed(f"{text} {secret} {text}", is_whole=True).split("  ")


@settings(deadline=None, max_examples=100)
@given(st.lists(WORDS, max_size=12).map(" ".join))
def test_a_text_that_was_done_once_stays_as_it_is(text: str) -> None:
    assert whole(whole(text)) == whole(text)


@settings(deadline=None, max_examples=200)
@given(DATA, CUTS, st.booleans())
def test_data_comes_out_the_same_however_it_is_cut_and_escaped(
    data: Any, cuts: list[int], plain: bool
) -> None:
    text = json.dumps(data, ensure_ascii=not plain)
    flow = JsonFlow(FINDER, name)
    out = "".join(fed(flow, text, cuts))
    expected = without(FINDER, name, data)
    assert json.loads(out) == json.loads(flow.shown) == json.loads(json.dumps(expected))
    assert flow.value(data) == expected


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.sampled_from(["a", "b", "password"]), TEXTS, min_size=1), CUTS)
def test_what_was_parsed_so_far_shows_no_more_than_the_text_so_far(
    data: dict[str, str], cuts: list[int]
) -> None:
    text, flow, place = json.dumps(data), JsonFlow(FINDER, name), 0
    final = without(FINDER, name, data)
    for size in itertools.cycle(cuts):
        place += size
        flow.feed(text[:place], is_whole=False)
        for key, value in (flow.value(partial_json(text[:place])) or {}).items():
            assert final[key].startswith(value)
        if place >= len(text):
            break


@pytest.mark.parametrize(
    "text", ["{", '{"a', '{"a": "ada@example.c', '{"a": "x\\', "no JSON: ada@example.com", '{"a": "\\q"}']
)
def test_what_breaks_off_or_is_no_json_comes_out_too(text: str) -> None:
    out = "".join(fed(JsonFlow(FINDER, name), text, [1]))
    assert len(out) >= len(text) - len("ada@example.com") + 4
    assert "ada@example.com" not in out


def test_a_placeholder_is_no_secret() -> None:
    for text in ("password = [PASSWORD_12]", "mail [EMAIL_1]"):
        assert whole(text) == text


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIab+/=\n-----END RSA PRIVATE KEY-----", "private_key"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-def", "jwt"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "api_key"),
        ("AKIAIOSFODNN7EXAMPLE", "api_key"),
        ("ada.lovelace+x@mail.example.co.uk", "email"),
        ("5555-5555-5555-4444", "card"),
        ("GB29 NWBK 6016 1331 9268 19", "iban"),
        ("(415) 555-2671", "phone"),
        ("+33 1 23 45 67 89", "phone"),
    ],
)
def test_what_is_found(text: str, kind: str) -> None:
    assert whole(f"It is {text}.") == f"It is {name(kind, text)}."


def test_a_password_is_found_by_what_stands_before_it() -> None:
    assert whole("api_key: 'abcdef123'") == "api_key: '[PASSWORD_9]'"
    assert whole("postgresql://bob:hunter2@localhost/x") == "postgresql://bob:[URL_PASSWORD_7]@localhost/x"


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23 12:00:00",
        "order 1234567890123",
        "4111 1111 1111 1112",
        "GB29 NWBK 6016 1331 9268 10",
        "v1.2.3",
        "a@b",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert whole(text) == text


def test_what_is_to_be_kept_stays() -> None:
    finder = Finder({"email": PATTERNS["email"]}, keep=["Support@Example.com"])
    text = "support@example.com, ada@example.com"
    assert TextFlow(finder, name).feed(text, is_whole=True) == "support@example.com, [EMAIL_15]"
