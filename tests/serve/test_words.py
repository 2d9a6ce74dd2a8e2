"""Which intents of a run are its answer, and how often a piece of it is said."""

from __future__ import annotations

from auwgent.intents import Intent
from auwgent.serve.told import told_of
from auwgent.serve.words import Words
from auwgent.session import now


def piece(text: str, segment: int = 0, name: str = "response_text", agent: str = "Main") -> Intent:
    return Intent(
        name, {"partial": True, "segment": segment, "delta": text}, agent, "r", 1, now(), partial=True
    )


def whole(text: str, agent: str = "Main") -> Intent:
    return Intent("response_text", {"text": text}, agent, "r", 1, now())


def said(*intents: Intent) -> str:
    words = Words(lambda name: name == "Main")
    return "".join(one.delta for intent in intents for one in words.of(intent))


def test_a_streamed_answer_is_said_once() -> None:
    assert said(piece("Hel"), piece("lo"), whole("Hello")) == "Hello"
    assert said(whole("Hello")) == "Hello"
    assert said(piece("Hel"), whole("Hello")) == "Hello"


def test_what_is_said_again_after_a_break_is_not_given_again() -> None:
    assert said(piece("Hel"), piece("H", 1), piece("ello", 1), whole("Hello")) == "Hello"
    assert said(piece("Hello th"), piece("Bye", 1), whole("Bye")) == "Hello th\n\nBye"
    assert said(piece("Hello"), piece("Hel", 1), whole("Hel")) == "Hello\n\nHel"


def test_what_a_hook_makes_of_an_answer_follows_it() -> None:
    assert said(piece("secret"), whole("***")) == "secret\n\n***"


def test_words_of_other_agents_are_not_the_answer() -> None:
    assert said(piece("aside", agent="Helper"), whole("aside", agent="Helper"), whole("Hello")) == "Hello"


def test_blocks_and_thoughts_are_told_apart() -> None:
    told = told_of(
        [
            piece("hm", 0, "reasoning"),
            piece("One", 1),
            whole("One"),
            piece("Tw", 2),
            whole("Two"),
            piece("Th", 3),
        ],
        lambda name: True,
    )
    assert (told.thoughts, told.blocks) == (["hm"], ["One", "Two", "Th"])


def test_a_long_answer_costs_its_length() -> None:
    words = Words(lambda name: True)
    text = "word " * 100_000
    deltas = [one.delta for _ in range(100_000) for one in words.of(piece("word "))]
    assert "".join(deltas) == text
    assert [one.delta for one in words.of(whole(text)) if one.delta] == []
