"""How a conversation can be shortened and stay one: what belongs together, what must stay, how long it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from auwgent.session import Media, Turn

BYTES_A_TOKEN = 4  # of UTF-8, roughly, with all tokenizers; a letter of other scripts has more bytes
TURN_TOKENS = 4  # what a message costs beside its content
MEDIA_TOKENS = {"image": 1000, "file": 3000, "audio": 1500}  # guesses; providers count each in their own way

LEFT_OUT = "[Earlier messages were left out here.]"
SUMMARY = "[Summary of the conversation so far]"
NOTICE = "compaction"  # the id of the turn that stands for what was left out
KEY = "compaction"  # under which a turn's provider_data says how far a conversation was shortened
EVERYTHING = "everything"  # as `short`: no result is sent whole


class Shortened(BaseModel):
    """How far a conversation was shortened. Ids are of turns; empty: not at all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cut: str = ""  # the first turn that is sent again after those left out
    short: str = ""  # the first turn after which results are sent whole
    summary: str = ""  # of what was left out


class Size(NamedTuple):
    """How much is sent. `media` is the part of the tokens that files, images and audio have."""

    tokens: int
    turns: int
    media: int = 0

    @property
    def text(self) -> int:
        """The tokens of all that is text."""
        return self.tokens - self.media


Fits = Callable[[Size], bool]


class Conversation:
    """The messages of one call, in groups that are never split: a message with calls and their results.

    Turns whose ids are `pinned` stay, and so do the user's words from `question` on with what the model thought
    since. Results in older groups can be cut to `chars` characters.
    """

    def __init__(
        self, messages: Sequence[Turn], *, pinned: Collection[str], question: str, chars: int
    ) -> None:
        self.messages = messages
        self._chars = chars
        self._groups: list[list[Turn]] = []
        for turn in messages:
            if turn.role == "tool" and self._groups:
                self._groups[-1].append(turn)
            else:
                self._groups.append([turn])
        firsts = [group[0].id for group in self._groups]
        self._index = {first: index for index, first in enumerate(firsts)}
        self._active = self._index.get(question, len(firsts))
        self._stays = [self._must_stay(index, pinned) for index in range(len(firsts))]
        self._whole = [_size(group) for group in self._groups]
        self._short = [_size(self._cut_results(group)) for group in self._groups]

    def shortened(self, mark: Shortened) -> list[Turn]:
        """Return the messages as they are sent. A summary is, also where what it sums up is not here any more."""
        cut, short = self._places(mark)
        sent: list[Turn] = []
        is_told = False
        for index, group in enumerate(self._groups):
            is_left_out = index < cut and not self._stays[index]
            if not is_told and (is_left_out or (mark.summary and not self._stays[index])):
                sent.append(self._notice(mark))
                is_told = True
            if not is_left_out:
                sent += self._cut_results(group) if index < short else group
        return sent

    def size(self, mark: Shortened) -> Size:
        """Return how long the messages are as they are sent."""
        return _size(self.shortened(mark))

    def truncated(self, mark: Shortened, fits: Fits, *, everything: bool = False) -> Shortened:
        """Cut older results, the oldest first, until it fits; `everything`: those the model has not read yet, too."""
        cut, short = self._places(mark)
        size = self.size(mark)
        end = len(self._groups) if everything else len(self._groups) - 1
        while short < end and not fits(size):
            if short >= cut or self._stays[short]:
                size = _change(size, self._whole[short], self._short[short])
            short += 1
        return self._mark(cut, short, mark.summary)

    def cut(self, mark: Shortened, fits: Fits) -> Shortened:
        """Leave out more of the oldest groups until it fits, and then up to where the user speaks again."""
        cut, short = self._places(mark)
        size, end = self.size(mark), len(self._groups) - 1
        is_told = bool(mark.summary) or not all(self._stays[:cut])
        while cut < end and not fits(size):
            if not self._stays[cut]:
                gone = self._short[cut] if cut < short else self._whole[cut]
                size = _change(size, gone, Size(0, 0) if is_told else _size([self._notice(mark)]))
                is_told = True
            cut += 1
        while 0 < cut < min(end, self._active) and self._groups[cut][0].role != "user":
            cut += 1
        return self._mark(cut, max(cut, short), mark.summary)

    def between(self, old: Shortened, new: Shortened) -> list[Turn]:
        """Return what the new mark leaves out in addition, with what now must stay but later need not."""
        begin, end = self._places(old)[0], self._places(new)[0]
        return [turn for group in self._groups[begin:end] for turn in self._cut_results(group)]

    def sent_before(self, index: int) -> Conversation:
        """Return the conversation as it was when the message there was the next one to come."""
        earlier = Conversation(self.messages[:index], pinned=(), question="", chars=self._chars)
        earlier._stays = self._stays[: len(earlier._groups)]
        return earlier

    def knows(self, mark: Shortened) -> bool:
        """Return whether the mark's places are in this conversation."""
        return all(place in ("", EVERYTHING) or place in self._index for place in (mark.cut, mark.short))

    def _must_stay(self, index: int, pinned: Collection[str]) -> bool:
        group = self._groups[index]
        if index == self._active or group[0].id in pinned:
            return True
        return index > self._active and any((turn.provider_data or {}).keys() - {KEY} for turn in group)

    def _places(self, mark: Shortened) -> tuple[int, int]:
        """Return the mark as numbers of groups; an id that is gone is none."""
        short = len(self._groups) if mark.short == EVERYTHING else self._index.get(mark.short, 0)
        return self._index.get(mark.cut, 0), short

    def _mark(self, cut: int, short: int, summary: str) -> Shortened:
        whole = EVERYTHING if short >= len(self._groups) else self._groups[short][0].id
        return Shortened(
            cut=self._groups[cut][0].id if cut else "", short=whole if short else "", summary=summary
        )

    def _notice(self, mark: Shortened) -> Turn:
        words = f"{SUMMARY}\n\n{mark.summary}" if mark.summary else LEFT_OUT
        return Turn(id=NOTICE, role="user", content=words, agent=self.messages[-1].agent)

    def _cut_results(self, group: Sequence[Turn]) -> list[Turn]:
        return [self._cut_result(turn) if turn.role == "tool" else turn for turn in group]

    def _cut_result(self, turn: Turn) -> Turn:
        text = turn.text
        if isinstance(turn.content, str) and len(text) <= self._chars:
            return turn
        if len(text) > self._chars:
            head, tail = self._chars * 2 // 3, self._chars // 3
            left_out = len(text) - head - tail
            text = f"{text[:head]}\n[… {left_out} characters left out …]\n{text[-tail:]}"
        return turn.model_copy(update={"content": text})


def estimate(*told: Any) -> int:
    """Return tokens of texts and of data that is sent as JSON."""
    texts = (one if isinstance(one, str) else json.dumps(one, default=str) for one in told if one)
    return sum(_tokens(text) for text in texts)


def transcript(turns: Sequence[Turn]) -> list[str]:
    """Return the turns as lines for a reader."""
    lines = []
    for turn in turns:
        speaker = f"result of {turn.name}" if turn.role == "tool" else turn.role
        calls = [
            f"[calls {call.name} with {json.dumps(call.args, default=str)}]" for call in turn.tool_calls or ()
        ]
        media = [f"[{part.type}{f' {part.name}' if part.name else ''}]" for part in _media(turn)]
        lines.append(f"{speaker}: {' '.join([turn.text, *media, *calls]).strip()}")
    return lines


def _size(turns: Sequence[Turn]) -> Size:
    media = sum(map(_media_tokens, turns))
    return Size(sum(map(_text_tokens, turns)) + media, len(turns), media)


def _change(size: Size, gone: Size, instead: Size) -> Size:
    return Size(*(had - less + more for had, less, more in zip(size, gone, instead, strict=True)))


def _text_tokens(turn: Turn) -> int:
    tokens = TURN_TOKENS + _tokens(turn.text)
    for call in turn.tool_calls or ():
        tokens += TURN_TOKENS + estimate(call.name, call.args)
    thoughts = {key: value for key, value in (turn.provider_data or {}).items() if key != KEY}
    return tokens + estimate(thoughts)


def _media_tokens(turn: Turn) -> int:
    return sum(MEDIA_TOKENS[part.type] for part in _media(turn))


def _media(turn: Turn) -> list[Media]:
    content = turn.content if isinstance(turn.content, list) else ()
    return [part for part in content if isinstance(part, Media)]


def _tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN)
