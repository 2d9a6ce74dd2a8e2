"""Messages as notes, and what a process tells of its runs by them."""

from __future__ import annotations

import json
from typing import Any

from auwgent.intents import Intent
from auwgent.relay.form import Joiner, notes_of
from auwgent.relay.speaker import Speaker
from auwgent.session import now


class Board:
    """Takes what is posted, without a database."""

    def __init__(self) -> None:
        self.post: Any = None
        self.hear: Any = None

    def asks(self, post: Any, again: Any = None) -> None:
        self.post = post

    def listens(self, channel: str, hear: Any) -> None:
        self.hear = hear

    def wake(self) -> None:
        """It is asked by the test."""

    def posted(self) -> list[dict[str, Any]]:
        """The messages that are to be posted now."""
        joiner = Joiner()
        found = [message for _, note in self.post() if (message := joiner.add(note)) is not None]
        return [one for message in found for one in message["told"]]

    def ask(self, number: int = 0, process: str = "", leaves: bool = False) -> None:
        """Say that somebody reads the run, or has left it."""
        wants = [] if leaves else [["", "r", process, number]]
        message = {"to": "me", "wants": wants, "leaves": [["", "r"]] if leaves else []}
        for note in notes_of("reader", 1, message):
            self.hear(note)


def piece(seq: int, delta: str, raw: str, segment: int = 0) -> Intent:
    value = {"partial": True, "segment": segment, "mode": "text", "delta": delta, "raw": raw}
    return Intent("response_text", value | {"snapshot": {"text": raw}}, "Main", "r", seq, now(), partial=True)


def whole(seq: int, text: str) -> Intent:
    return Intent("response_text", {"text": text}, "Main", "r", seq, now())


def test_a_message_is_cut_into_notes_that_the_server_takes_and_put_together() -> None:
    joiner = Joiner()
    for text in ("", "x" * 30_000, "Grüße 😀" * 5_000, "\ud800", "\0", "a b\nc " * 3_000):
        notes = list(notes_of("sender", 7, {"text": text}))
        assert all(len(note.encode()) < 8_000 for note in notes)
        assert len(set(notes)) == len(notes)  # the server would drop a note that it has already
        assert [joiner.add(note) for note in notes[:-1]] == [None] * (len(notes) - 1)
        assert joiner.add(notes[-1]) == {"text": text}


def test_a_message_with_a_lost_note_is_left_out_and_the_next_is_read() -> None:
    for lost in range(4):
        joiner = Joiner()
        notes = list(notes_of("sender", 1, {"text": "x" * 30_000}))
        assert len(notes) == 4
        heard = [joiner.add(note) for number, note in enumerate(notes) if number != lost]
        heard += [joiner.add(note) for note in notes_of("sender", 2, {"text": "next"})]
        assert [one for one in heard if one is not None] == [{"text": "next"}]


def test_messages_of_several_senders_may_come_between_one_another() -> None:
    joiner = Joiner()
    first, second = (list(notes_of(name, 1, {"of": name, "text": "x" * 9_000})) for name in ("a", "b"))
    mixed = [note for pair in zip(first, second, strict=True) for note in pair]
    assert [one["of"] for note in mixed if (one := joiner.add(note))] == ["a", "b"]


def test_who_comes_late_is_told_how_things_stand_and_then_what_is_new() -> None:
    board = Board()
    telling = Speaker(board).begins("", "r", 1)  # type: ignore[arg-type]
    telling.starts(1, ["t1"])
    telling.hear(piece(1, "One ", "One "))
    telling.hear(piece(2, "two ", "One two "))
    assert board.posted() == []
    board.ask()
    [told] = board.posted()
    assert (told["behind"], told["earlier"], [row[0] for row in told["steps"]]) == (None, ["t1"], [2])
    assert told["steps"][0][4:6] == ["One two ", 0]
    telling.hear(piece(3, "three ", "One two three "))
    telling.hear(piece(4, "four", "One two three four"))
    [told] = board.posted()
    assert (told["behind"], [row[0] for row in told["steps"]]) == (2, [4])
    assert told["steps"][0][4:6] == ["three four", 8]
    telling.hear(piece(5, "!", "One two three four!"))
    telling.hear(whole(6, "One two three four!"))
    telling.over()
    [told] = board.posted()
    assert [row[0] for row in told["steps"]] == [5, 6]  # the last piece, and what it became
    assert told["over"] is True


def test_who_has_left_is_told_nothing() -> None:
    board = Board()
    telling = Speaker(board).begins("", "r", 1)  # type: ignore[arg-type]
    telling.starts(1, [])
    board.ask()
    wanted = [telling.is_wanted]
    assert len(board.posted()) == 1
    board.ask(leaves=True)
    wanted.append(telling.is_wanted)
    assert wanted == [True, False]
    telling.hear(whole(1, "x"))
    assert board.posted() == []


def test_what_was_missed_is_told_again_from_there() -> None:
    board = Board()
    telling = Speaker(board).begins("", "r", 1)  # type: ignore[arg-type]
    telling.starts(1, [])
    board.ask()
    telling.hear(whole(1, "first"))
    telling.hear(whole(2, "second"))
    [told] = board.posted()
    board.ask(-1, told["process"])
    [again] = board.posted()
    assert (again["behind"], [row[0] for row in again["steps"]]) == (None, [2])
    board.ask(
        2, told["process"]
    )  # the next beat: nothing is new, and the reader sees that nothing is missing
    [beat] = board.posted()
    assert (beat["behind"], beat["steps"]) == (2, [])
    assert json.dumps(beat)
