"""A stored conversation for people: short, with tools folded to a line each, or whole, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from auwgent.render.page import speakers
from auwgent.render.terminal import harmless, one_line, paint
from auwgent.session import Media, Session, ToolCall, Turn
from auwgent.store.base import RunInfo

FOLDED = 100  # characters of a line that stands for a call and its result
MARKS = {"ok": "✓", "error": "✗", "skipped": "–", "denied": "–", "unknown": "?"}


def short(session: Session, ends: Mapping[str, str] | None = None, *, colour: bool = False) -> Iterator[str]:
    """Yield the conversation line by line. What a terminal would obey is shown, not sent.

    `ends` says how runs ended, by their ids, where that is worth telling: it is told after their last turns.
    """
    results, untold, others = _results(session), dict(ends or {}), speakers(session)
    last = {turn.run_id: turn.id for turn in session.turns}
    for turn in session.turns:
        ending = untold.pop(turn.run_id or "", None) if last[turn.run_id] == turn.id else None
        if turn.role != "tool":
            yield from _shown(turn, results, others.get(turn.id, "you"), colour)
        if ending is not None:
            yield paint(one_line(ending), "yellow", on=colour)
            yield ""
    for ending in untold.values():
        yield paint(one_line(ending), "yellow", on=colour)


def _shown(turn: Turn, results: Mapping[str, Turn], who: str, colour: bool) -> Iterator[str]:
    speaker = who if turn.role == "user" else turn.agent or "assistant"
    yield paint(one_line(speaker), "bold", "cyan" if turn.role == "user" else "green", on=colour)
    for line in _content(turn).splitlines():
        yield f"  {harmless(line)}"
    for call in turn.tool_calls or ():
        yield paint(one_line(f"  {_folded(call, results.get(call.id))}"), "dim", on=colour)
    yield ""


def markdown(session: Session, ends: Mapping[str, str] | None = None) -> str:
    """Return the whole conversation as Markdown; `ends` are as in `short`."""
    results, untold, others = _results(session), dict(ends or {}), speakers(session)
    last = {turn.run_id: turn.id for turn in session.turns}
    blocks = [f"# Session {one_line(session.id)}"]
    for turn in session.turns:
        ending = untold.pop(turn.run_id or "", None) if last[turn.run_id] == turn.id else None
        if turn.role == "tool":
            blocks.append(f"*{one_line(ending)}*" if ending else "")
            continue
        user = one_line(others.get(turn.id, "You"))
        speaker = user if turn.role == "user" else one_line(turn.agent or "Assistant")
        blocks.append(f"## {speaker}, {turn.created_at:%Y-%m-%d %H:%M} UTC")
        blocks.append(_content(turn))
        for call in turn.tool_calls or ():
            arguments = call.raw_args or json.dumps(call.args, ensure_ascii=False, indent=2)
            blocks.append(f"Called `{call.name}` with\n\n{_fenced(arguments, 'json')}")
            result = results.get(call.id)
            if result is not None:
                blocks.append(f"Result ({result.outcome or 'ok'}):\n\n{_fenced(_content(result))}")
        blocks.append(f"*{one_line(ending)}*" if ending else "")
    blocks += [f"*{one_line(ending)}*" for ending in untold.values()]
    return "\n\n".join(block for block in blocks if block) + "\n"


def ends_of(runs: Iterable[RunInfo]) -> dict[str, str]:
    """Return how runs stand, in words, by their ids: but for those that were completed."""
    return {run.run_id: end for run in runs if (end := end_of(run)) is not None}


def end_of(run: RunInfo) -> str | None:
    """How a run stands, in words; None where it was completed, which goes without saying."""
    match run.status:
        case "completed":
            return None
        case "failed" | "dead":
            return f"[the run failed: {run.error['message']}]" if run.error else "[the run failed]"
        case "running":
            return "[the run is under way]"
        case "queued":
            return "[the run waits for its turn]"
        case "paused":
            return f"[the run waits for answers to {len(run.calls)} calls]"
        case _:
            return f"[the run was {run.status}]"


def _results(session: Session) -> Mapping[str, Turn]:
    return {turn.tool_call_id or "": turn for turn in session.turns if turn.role == "tool"}


def _content(turn: Turn) -> str:
    if isinstance(turn.content, str):
        return turn.content
    return "\n".join(
        f"[{part.type} {part.name or part.url or part.mime_type or ''}]".replace(" ]", "]")
        if isinstance(part, Media)
        else part.text
        for part in turn.content
    )


def _folded(call: ToolCall, result: Turn | None) -> str:
    arguments = call.raw_args or ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in call.args.items()
    )
    mark = MARKS.get(result.outcome or "ok", "") if result else "?"
    said = f" {_content(result)}" if result else ""
    line = " ".join(f"{mark} {call.name}({arguments}){said}".split())
    return line if len(line) <= FOLDED else f"{line[: FOLDED - 1]}…"


def _fenced(text: str, language: str = "") -> str:
    """Return a code block whose fence does not occur in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"
