"""A conversation as a page: everything is on it, nested as it was said, and nothing of it is more than text."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from auwgent.render.page import NESTED, conversation, page
from auwgent.session import Media, Part, Session, Text, ToolCall, Turn, Usage

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOSTILE = (
    "\"'><script>alert(1)</script><img src=x onerror=alert(1)><style>*{display:none}</style>"
    "--></title></pre></textarea></svg><svg onload=alert(1)> {{ 7*7 }} {% raw %} "
    "\x1b[2J\x00\u202e\ud800 javascript:alert(1)"
)
HARMLESS = """
html head meta title style body main article section header footer h1 h2 h3 h4 p div span small b strong em code pre
blockquote hr br ul ol li dl dt dd table thead tbody tr th td details summary time a img svg rect
"""
VOID = {"meta", "img", "hr", "br"}


class Reader(HTMLParser):
    """What a browser would make of it: tags with their attributes, and the text outside the style sheet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def said(agent: str, text: Any = "", seconds: float = 0, **more: Any) -> Turn:
    return Turn(
        role=more.pop("role", "assistant"),
        content=text,
        agent=agent,
        run_id=more.pop("run_id", "r1"),
        created_at=NOON + timedelta(seconds=seconds),
        **more,
    )


def result(agent: str, call: str, text: str, seconds: float, **more: Any) -> Turn:
    return said(agent, text, seconds, role="tool", tool_call_id=call, **more)


def with_helper() -> list[Turn]:
    """Two calls side by side: their results stand together, and what the helper said later behind them."""
    calls = [ToolCall(id="1", name="Researcher", args={"input": "Who?"}), ToolCall(id="2", name="add")]
    return [
        said("Main", "Who was it?", 0, role="user"),
        said("Main", "I ask.", 1, tool_calls=calls, model="a/large", usage=Usage(input_tokens=300, usd=0.02)),
        said("Researcher", "Who?", 2, role="user"),
        result("Main", "1", "Amundsen", 9, name="Researcher", outcome="ok"),
        result("Main", "2", "no number", 3, name="add", outcome="error"),
        said("Researcher", "", 4, tool_calls=[ToolCall(id="3", name="search")], model="b/small"),
        result("Researcher", "3", '[{"title": "The South Pole"}]', 5, name="search", outcome="ok"),
        said("Researcher", "Amundsen", 8, model="b/small", usage=Usage(input_tokens=100, output_tokens=1200)),
        said("Main", "It was **Amundsen**.", 10, model="a/large", usage=Usage(output_tokens=40, usd=0.01)),
    ]


def test_what_a_helper_said_is_under_the_call_that_it_answered() -> None:
    messages = conversation(with_helper(), {"Main": 0, "Researcher": 1})
    assert [message.turn.text for message in messages] == ["Who was it?", "I ask.", "It was **Amundsen**."]
    helper, tool = messages[1].calls
    assert [(message.speaker, message.turn.text) for message in helper.messages] == [
        ("Main", "Who?"),
        ("Researcher", ""),
        ("Researcher", "Amundsen"),
    ]
    assert (helper.outcome, tool.outcome, tool.messages) == ("ok", "error", [])
    (search,) = helper.messages[1].calls
    assert search.result is not None


def test_who_has_the_word_later_speaks_for_himself() -> None:
    turns = [*with_helper(), said("Researcher", "Hello again", 60, run_id="r2")]
    assert conversation(turns, {})[-1].turn.text == "Hello again"


def test_helpers_without_end_are_not_indented_without_end() -> None:
    turns = [
        said(f"A{number}", f"level {number}", number, tool_calls=[ToolCall(id=str(number), name=f"A{number + 1}")])
        for number in range(300)
    ]  # fmt: skip
    html = Reader(page(Session(id="deep", turns=turns)))
    assert all(f"level {number}\n" in html.text or f"level {number}<" in html.text for number in range(300))
    depth, message = 0, conversation(turns, {})[0]
    while message.calls and message.calls[0].messages:
        depth, message = depth + 1, message.calls[0].messages[0]
    assert depth == NESTED


def test_everything_is_on_the_page() -> None:
    session = Session(id="pole", user_id="u1", system_prompt="Be brief.", stack=["Main"], turns=with_helper())
    html = Reader(page(session))
    for words in (
        "pole",
        "2026-01-31, 12:00:00 to 12:00:10 UTC",
        "user u1",
        "Be brief.",
        "a/large",
        "b/small",
        "up to 1,300 tokens",
        "no number",
        '"title": "The South Pole"',
        "300 + 0 tokens · $0.0200",
        "100 + 1,200 tokens · no price",
    ):
        assert words in html.text
    assert re.search(r"Money\$0\.0300 \+ 1 unpriced", html.text)
    assert len(html.all("article")) == 6
    assert len(html.all("details")) == 4  # the prompt, the helper, two tools
    assert [attributes for attributes in html.all("details") if "open" in attributes] == [
        {"class": "call ok helper k1", "open": None}
    ]


def test_each_model_call_is_a_bar_that_leads_to_its_message() -> None:
    html = Reader(page(Session(turns=with_helper())))
    links = [attributes["href"] for attributes in html.all("a")]
    assert links == ["#call-1", "#call-2", "#call-3"]
    assert {f"#{attributes['id']}" for attributes in html.all("article") if "id" in attributes} == set(links)
    heights = [float(attributes["height"] or 0) for attributes in html.all("rect")]
    assert len(heights) == 12
    read, written, money = heights[1::4], heights[2::4], heights[3::4]
    assert max(r + w for r, w in zip(read, written, strict=True)) == pytest.approx(92, abs=0.02)
    assert money == [40.0, 0.0, 20.0]


@pytest.mark.parametrize(
    ("usd", "scale"), [(0.0, []), (None, ["no prices are known"]), (0.5, ["up to $0.5000"])]
)
def test_money_has_a_scale_only_where_there_is_some(usd: float | None, scale: list[str]) -> None:
    turn = said("Main", "Hi.", 0, model="a/small", usage=Usage(input_tokens=10, usd=usd))
    scales = re.findall(r'<p class="scale">(.*)</p>', page(Session(turns=[turn])))
    assert scales == ["up to 10 tokens", *scale]


def test_an_empty_session_has_a_page_too() -> None:
    html = Reader(page(Session(id="none")))
    assert "Nothing has been said yet" in html.text
    assert html.all("svg") == []


def test_what_a_model_writes_is_markdown_and_what_people_write_is_text() -> None:
    text = "**bold**\n\n- a\n- b\n\n| x | y |\n|---|---|\n| 1 | 2 |"
    html = Reader(page(Session(turns=[said("Main", text), said("Main", text, role="user")])))
    assert len(html.all("strong")) == 1
    assert len(html.all("td")) == 2
    assert "**bold**" in html.text


def test_structured_answers_and_long_ones_are_shown_as_they_are() -> None:
    turns = [said("Main", '{"a": [1, 2], "b": "**c**"}'), said("Main", "**long** " * 20_000)]
    html = Reader(page(Session(turns=turns)))
    assert '"b": "**c**"\n}' in html.text
    assert html.all("strong") == []


def everywhere(text: str) -> Session:
    """A session with that text in every place that takes one."""
    dot = base64.b64encode(b"GIF89a").decode()
    id_ = text.replace("\ud800", "")  # an id holds no half of a character
    common: dict[str, Any] = {"run_id": text, "id": id_, "agent": text, "created_at": NOON}
    parts: list[Part] = [
        Text(text=text),
        Media(type="image", data=dot, mime_type="image/gif", name=text),
        Media(type="image", data=dot, mime_type=f"image/svg+xml{text}", name=text),
        Media(type="image", url=f"https://example.org/{text}"),
        Media(type="file", url=f"https://example.org/{text}", mime_type=text),
        Media(type="audio", data=dot, mime_type=text, name=text),
    ]
    calls = [
        ToolCall(id=id_, name=text, args={text: text, "deep": {text: [text]}}),
        ToolCall(id="2", name=text, raw_args=text),
        ToolCall(id="3", name=text),
    ]
    markdown = (
        f"{text}\n\n[a](javascript:alert(1)) [b](data:text/html,x) ![c](https://example.org/c.png)\n\n"
        f"[d](https://example.org/{text} '{text}') <https://example.org/{text}>\n\n```{text}\n{text}\n```\n\n# {text}"
    )
    usage = Usage(input_tokens=1, usd=0.1)
    turns = [
        Turn(role="user", content=parts, **common),
        Turn(role="assistant", content=markdown, model=text, usage=usage, tool_calls=calls, **common),
        Turn(role="tool", content=text, tool_call_id=id_, name=text, outcome="error", **common),
        Turn(role="tool", content='{"x": "</pre>' + '"}', tool_call_id="2", outcome="denied", **common),
        Turn(role="tool", content=text, tool_call_id="nobody's", name=text, **common),
        Turn(role="assistant", content=[Text(text=text)], model=text, usage=usage, **common),
    ]
    return Session(id=id_, user_id=text, system_prompt=text, stack=["Main", text], turns=turns)


def test_hostile_text_in_every_place_stays_text() -> None:
    html = page(everywhere(HOSTILE))
    read = Reader(html)  # all that is opened is closed
    assert read.open == []
    assert {tag for tag, _ in read.tags} <= set(HARMLESS.split())
    for tag, attributes in read.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert set(attributes) & {"src", "srcset", "action", "data", "background", "poster"} <= {"src"}
        assert re.match(r"#call-\d+$|https://example\.org/", attributes.get("href") or "#call-0"), attributes
        assert "javascript" not in (attributes.get("href") or "").partition("https://")[0]
    assert [attributes["src"] for attributes in read.all("img")] == ["data:image/gif;base64,R0lGODlh"]
    assert len(read.all("style")) == 1
    assert "{{ 7*7 }}" in read.text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\ud800]", html)
    html.encode()


def test_a_browser_is_told_to_load_and_run_nothing() -> None:
    html = Reader(page(everywhere("x")))
    (policy,) = [meta["content"] for meta in html.all("meta") if "http-equiv" in meta]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert html.all("script") == html.all("link") == html.all("iframe") == []


def test_code_is_marked_by_its_language_and_stays_text() -> None:
    code = 'def f(x: int = 3) -> str:  # <b>\n    return "</code><script>"\n'
    html = page(Session(turns=[said("Main", f"Look:\n\n```python\n{code}```\n\n```nonsense\n<x> 3\n```")]))
    assert '<span class="k">def</span>' in html
    assert '<span class="mi">3</span>' in html
    read = Reader(html)
    assert code.strip() in read.text
    assert {tag for tag, _ in read.tags} <= set(HARMLESS.split())
    assert "&lt;x&gt; 3" in html
    long = page(Session(turns=[said("Main", f"```python\n{'x = 1  # y' * 3000}\n```")]))
    assert '<span class="mi">' not in long
