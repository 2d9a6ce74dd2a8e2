"""Shows what a paused run waits for, and the commands that answer."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from auwgent.render.terminal import one_line


def question(call: Mapping[str, Any]) -> str:
    """Return who wants to call what, with every argument in full: nobody can approve what is cut off."""
    args = json.dumps(call["args"], ensure_ascii=False, indent=2, default=str)
    wish = "waits for the result of" if call["kind"] == "tool" else "wants to call"
    shown = "\n".join(map(one_line, args.split("\n")))
    who = one_line(f"{call['agent']} {wish} {call['type']} ({call['id']})")
    return f"{who}\n{shown}"


def paused(run_id: str, calls: Sequence[Mapping[str, Any]], options: Sequence[str] = ()) -> str:
    """Return what a run waits for, and how that is answered; `options` are those that name config and user."""
    if not calls:
        return one_line(f"run {run_id} has all its answers, and goes on with `auwgent run --resume`")
    until = min(datetime.fromisoformat(call["expires"]) for call in calls).astimezone()
    lines = [one_line(f"run {run_id} is paused: it waits for answers until {until:%Y-%m-%d %H:%M}")]
    for call in calls:
        answer = ["--result", "JSON"] if call["kind"] == "tool" else ["yes|no"]
        command = ["auwgent", "runs", "answer", *options, run_id, call["id"]]
        lines += [question(call), one_line(f"  {shlex.join(command)} {' '.join(answer)}")]
    return "\n".join(lines)
