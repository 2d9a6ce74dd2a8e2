"""Redact's finds and misses in a thousand lines of code, logs and prose; ⟦…⟧ marks what is secret or personal."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from auwgent.errors import ToolError
from auwgent.middleware.redact.finder import Finder
from auwgent.middleware.redact.flow import JsonFlow, TextFlow, without
from auwgent.middleware.redact.kinds import DEFAULT_KINDS, PATTERNS
from auwgent.middleware.redact.names import Names
from auwgent.outputs import partial_json

LINES = (Path(__file__).parent.parent / "data" / "redact.txt").read_text(encoding="utf-8").splitlines()
FINDER = Finder({kind: PATTERNS[kind] for kind in DEFAULT_KINDS})
MARK = re.compile("⟦(.*?)⟧")


def found(text: str) -> list[str]:
    return [text[one.first : one.last] for one in FINDER.spans(text)]


def test_a_thousand_lines() -> None:
    missed, wrong, secrets = [], [], 0
    for line in LINES:
        marked = MARK.findall(line)
        secrets += len(marked)
        here = found(MARK.sub(r"\1", line))
        missed += [(line, one) for one in marked if one not in here]
        wrong += [(line, one) for one in here if one not in marked]
    print(f"{len(LINES)} lines, {secrets} secrets: {len(missed)} missed, {len(wrong)} false")
    assert (len(LINES), secrets > 350) == (1000, True)
    assert missed == []
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "https://app.example.com/call/1234567890",
            "mobile/20240101123",
            "/phone/12345678/edit",
            "call(1234567)",
        ),
        *(
            "cell[1234567]",
            "portable-2.12.1234567",
            "doi:10.1016/j.cell.2019.11.025",
            "sig = 1a2b3c4d5e6f7a8b9c0d",
        ),
        *("from a import b@property", "0.4111111111111111", "41111111-1111-1111-1111-111111111111"),
        *(
            "password: z.string().min(8)",
            "password: !vault |",
            "pip install a@git+https://github.com/a/b@v1.2",
        ),
    ],
)
def test_code_addresses_and_numbers_of_works_stay(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("phone (1234567), ext. 1", "1234567"),
        ("Tel.089/12345678", "089/12345678"),
        *(
            (f"Reach me at {number}, please", number)
            for number in ("9876543210", "13812345678", "08031234567")
        ),
        ("My number is 9876543210.", "9876543210"),
        *((f"Write to {number}.", number) for number in ("612 34 56 78", "91 123 45 67", "(55) 1234 5678")),
        ('{"phones": ["5551234"]}', "5551234"),
        ("https://a.blob.example.net/x?sv=1&sig=a1B2c3D4e5f6g7H8%3D&se=2", "a1B2c3D4e5f6g7H8%3D&se=2"),
        ("Endpoint=x;SharedAccessKey=a1B2c3D4e5f6g7H8=", "a1B2c3D4e5f6g7H8="),
        *(
            (f"key {key}, then", key)
            for key in ("LTAI5tAbCdEfGhIjKlMnOpQr", "AKID" + "a1B2" * 8, "SK" + "a1b2" * 8)
        ),
        *(
            (f"键{key}。", key)
            for key in ("123456789:AA" + "a1B" * 11, "key-" + "a1b2" * 8, "secret_" + "a1B" * 14 + "c")
        ),
        *((f"to {key}", key) for key in ("hooks.slack.com/services/T01ABCDEF/B01ABCDEF/" + "a1B2" * 6,)),
    ],
)
def test_keys_of_clouds_and_services_and_telephones_are_found(text: str, secret: str) -> None:
    assert found(text) == [secret]


@pytest.mark.parametrize("size", [1, 7])
def test_the_same_lines_in_pieces(size: int) -> None:
    text = "\n".join(MARK.sub(r"\1", line) for line in LINES[:40])
    flow, whole = (
        TextFlow(FINDER, lambda kind, secret: f"[{kind}]"),
        TextFlow(FINDER, lambda kind, secret: f"[{kind}]"),
    )
    for end in range(size, len(text), size):
        flow.feed(text[:end], is_whole=False)
    flow.feed(text, is_whole=True)
    whole.feed(text, is_whole=True)
    assert flow.shown == whole.shown


@pytest.mark.parametrize(
    "text", ['{"a": "ada@example.com"}', '{"ada": ["ada", {"x": "ada@example.com"}], "b": "ada@example.com"}']
)
def test_a_value_under_way_that_equals_an_earlier_string_is_not_shown_as_that(text: str) -> None:
    flow = JsonFlow(FINDER, lambda kind, secret: f"[{kind.upper()}]")
    for end in range(1, len(text) + 1):
        flow.feed(text[:end], is_whole=False)
        shown = json.dumps(flow.value(partial_json(text[:end])))
        assert "ada@" not in shown
        assert '"a": "a' not in shown
        assert '"x": "a' not in shown
        assert '"b": "a' not in shown


@pytest.mark.parametrize(
    "text", ["a" * 50_000, "a@" * 25_000, "4 " * 25_000, "password=" * 5_000, "+1 " * 15_000, "é" * 50_000]
)
def test_time_grows_with_the_text_alone(text: str) -> None:
    def taken(part: str) -> float:
        began = time.process_time()
        FINDER.spans(part)
        return time.process_time() - began

    taken(text)
    assert taken(text) < 20 * taken(text[: len(text) // 4]) + 0.05


@pytest.mark.parametrize(
    "field", ["card", "cardNumber", "card_number", "pan", "cc_number", "Kreditkarte", "卡号"]
)
def test_a_number_is_a_card_where_its_field_says_so(field: str) -> None:
    redacted = without(FINDER, lambda kind, secret: f"[{kind.upper()}]", {field: 4111111111111111})
    assert redacted == {field: "[CARD]"}
    flow = JsonFlow(FINDER, lambda kind, secret: f"[{kind.upper()}]")
    assert "4111" not in flow.feed(json.dumps({field: 4111111111111111}), is_whole=True)


@pytest.mark.parametrize(
    "field", ["order", "orderId", "account", "ref", "x", "card_id", "company", "created_ns"]
)
def test_and_stays_a_number_where_it_does_not(field: str) -> None:
    value = {field: 4111111111111111, "list": [4111111111111111]}
    assert without(FINDER, lambda kind, secret: f"[{kind.upper()}]", value) is value
    flow = JsonFlow(FINDER, lambda kind, secret: f"[{kind.upper()}]")
    assert flow.feed(json.dumps(value), is_whole=True) == json.dumps(value)


def named() -> Names:
    names = Names()
    names("email", "ada@example.com")
    return names


@pytest.mark.parametrize(
    "bent",
    [
        *(
            "[EMAIL_1]",
            "EMAIL_1",
            "[EMAIL 1]",
            "[EMAIL-1]",
            r"\[EMAIL_1\]",
            r"\[EMAIL\_1\]",
            "[email_1]",
            "[Email_1]",
        ),
        *(
            "email_1",
            "Email 1",
            "email 1",
            "<EMAIL_1>",
            "`[EMAIL_1]`",
            "{{EMAIL_1}}",
            "(EMAIL_1)",
            " [EMAIL_1]\n",
        ),
        *(
            "［EMAIL_1］",
            "【EMAIL_1】",
            "[ EMAIL_1 ]",
            "%5BEMAIL_1%5D",
            "&#91;EMAIL_1&#93;",
            "[EMAIL_01]",
            "[EMAIL１]",
        ),
        *("ＥＭＡＩＬ＿１", "［ＥＭＡＩＬ＿１］", "**[EMAIL_1]**"),
    ],
)
def test_a_placeholder_is_restored_however_it_is_bent(bent: str) -> None:
    assert named().restored({"to": [bent]})["to"][0].strip(" \n*") == "ada@example.com"


@pytest.mark.parametrize(
    ("text", "restored"),
    [
        ("Write to [email 1], please.", "Write to ada@example.com, please."),
        (r"Write to \[EMAIL_1\].", "Write to ada@example.com."),
        ("Write to EMAIL_1.", "Write to ada@example.com."),
        ("My email 1 and an email 2 are words.", "My email 1 and an email 2 are words."),
        ("the email_address_1 of X_EMAIL_1", "the email_address_1 of X_EMAIL_1"),
    ],
)
def test_and_so_it_is_within_a_text(text: str, restored: str) -> None:
    assert named().restored(text) == restored


@pytest.mark.parametrize("unknown", ["[EMAIL_2]", "[email 7]", "Write to [EMAIL_2]"])
def test_one_that_stands_for_nothing_is_told(unknown: str) -> None:
    with pytest.raises(ToolError, match="is not known any more; ask the user"):
        named().restored(unknown)


@pytest.mark.parametrize(
    "held", ["[EMAIL_1]", "EMAIL_1", "[email 1]", r"\[EMAIL_1\]", "see email-1", "EMAIL_1 and [EMAIL_3]"]
)
def test_one_that_a_text_holds_already_is_not_given(held: str) -> None:
    names = Names()
    names.skip(held)
    assert names("email", "ada@example.com") == ("[EMAIL_4]" if "3" in held else "[EMAIL_2]")
