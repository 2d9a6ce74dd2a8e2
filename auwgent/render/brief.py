"""An intent as one short line for people: what was called, with what, and what came of it."""

from __future__ import annotations

import json
from typing import Any

from auwgent.intents import Intent
from auwgent.render.terminal import one_line

ENOUGH = 60  # characters of one value


def line(intent: Intent, root: str | None = None) -> str | None:
    """Return the line, or None for the answer itself, which is not a step. Agents other than `root` are named."""
    value, name = intent.value, intent.name
    match name.rpartition("_"):
        case _ if name in ("response_text", "response_schema", "model_call", "error"):
            return None
        case (("tool" | "workflow" | "helper"), _, "call"):
            told = f"→ {value.get('type')}({_arguments(value.get('args'))})"
        case (("tool" | "workflow" | "helper"), _, "result"):
            told = f"← {value.get('name')}: {short(value.get('result'))}"
            if value.get("overridden"):
                told += " (overridden)"
        case (("tool" | "workflow" | "helper"), _, "skipped"):
            told = f"– {value.get('type')} was skipped"
        case "tool", _, "error":
            told = f"✗ {value.get('tool')}: {short(value.get('message'), 2 * ENOUGH)}"
        case "model", _, "retry":
            told = f"↻ {_retry(value)}"
        case _:
            told = f"• {name}({_arguments(value)})"
    who = "" if root in (None, intent.agent) else f"{intent.agent} "
    return one_line(who + told)


def cut(intent: Intent) -> str | None:
    """Say of a `model_call` why its answer is not a whole one; None where it is."""
    model = intent.value.get("model")
    match intent.value.get("finish_reason"):
        case "length":
            return f"{model} was cut off at the limit of its answer; `max_tokens` in its params raises it"
        case "filtered":
            return f"{model} was cut off by a content filter, or would not go on"
    return None


def short(value: Any, most: int = ENOUGH) -> str:
    """Return the value on one line, cut to at most that many characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _retry(value: dict[str, Any]) -> str:
    failed, model, reason = value.get("failed"), value.get("model"), short(value.get("reason"), 2 * ENOUGH)
    again = f"trying again in {float(value.get('wait') or 0):.1f} s" if failed == model else f"asking {model}"
    return f"{failed} failed, {again}: {reason}"


def _arguments(args: Any) -> str:
    if not isinstance(args, dict):
        return short(args)
    return ", ".join(f"{key}={_value(value)}" for key, value in args.items())


def _value(value: Any) -> str:
    return short(json.dumps(value, ensure_ascii=False, default=str))
