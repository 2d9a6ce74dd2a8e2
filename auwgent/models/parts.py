"""The content of one message on the wire: texts, and media in the form that the provider takes them."""

from __future__ import annotations

from typing import Any

from auwgent.models import media
from auwgent.models.base import ModelSpec
from auwgent.models.listed import listed
from auwgent.models.providers import provider
from auwgent.session import Media, Part, Text, Turn

NO_OUTPUT = "(no output)"
_SOUNDS = {"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav", "audio/x-wav": "wav"}

Wired = dict[str, Any]


def content(spec: ModelSpec, turn: Turn) -> str | list[Wired]:
    """Return what a user said. Text alone is a string, which every provider reads; only media make a list."""
    if isinstance(turn.content, str):
        return turn.content if turn.content.strip() else ""
    wired = [_part(spec, part) for part in turn.content]
    wired = [part for part in wired if part["type"] != "text" or part["text"].strip()]
    if all(part["type"] == "text" for part in wired):
        return "\n".join(part["text"] for part in wired)
    return wired


def result(spec: ModelSpec, turn: Turn) -> tuple[str | list[Wired], list[Wired]]:
    """A tool's result, and what has to be told behind it, since a result of this provider can hold text alone."""
    if isinstance(turn.content, str):
        return turn.content if turn.content.strip() else NO_OUTPUT, []
    wired = [_part(spec, part) for part in turn.content]
    if provider(spec).result_images and any(part["type"] == "image_url" for part in wired):
        inside = [part for part in wired if part["type"] in ("text", "image_url")]
        outside = [part for part in wired if part["type"] not in ("text", "image_url")]
    else:
        inside = [_as_text(part, spec) for part in turn.content]
        outside = [part for part in wired if part["type"] != "text"]
    if outside:
        outside.insert(0, _text(f"(What {turn.name or 'the tool'} gave beside its text:)"))
    if any(part["type"] != "text" for part in inside):
        return inside, outside
    return "\n".join(part["text"] for part in inside if part["text"]) or NO_OUTPUT, outside


def _text(words: str) -> Wired:
    return {"type": "text", "text": words}


def _as_text(part: Part, spec: ModelSpec) -> Wired:
    """Return a part of a result where text alone can stand: what is shown behind the result is named in it."""
    shown = _part(spec, part)
    return shown if shown["type"] == "text" else _text(media.in_words(part))


def _part(spec: ModelSpec, part: Part) -> Wired:
    if isinstance(part, Text):
        return _text(part.text)
    if part.refused or (part.url is not None and not _carries_url(spec, part)):
        return _text(media.in_words(part))
    read = media.read(part)
    if isinstance(read, Text):
        return _text(read.text)
    if provider(spec).text_alone or (read.type == "image" and listed(spec).get("supports_vision") is False):
        return _text(media.in_words(read))
    if read.type == "file" and read.data and read.mime_type != "application/pdf":
        return _text(f"{media.in_words(read)} (no model reads such a file; it was not sent)")
    if read.data == "":
        return _text(f"{media.in_words(read)} (it is empty)")
    match read.type:
        case "image":
            return {"type": "image_url", "image_url": {"url": read.url or _data_url(read, "image/png")}}
        case "audio":
            sound = _SOUNDS.get(read.mime_type or "", (read.mime_type or "wav").rpartition("/")[2])
            return {"type": "input_audio", "input_audio": {"data": read.data, "format": sound}}
        case "file":
            if read.url:
                return {"type": "file", "file": {"file_id": read.url}}
            named = {"filename": read.name} if read.name else {}
            return {"type": "file", "file": {"file_data": _data_url(read, "application/pdf"), **named}}


def _carries_url(spec: ModelSpec, part: Media) -> bool:
    """Whether the URL goes on the wire. For who takes none LiteLLM would fetch it here, which an imported session
    must never bring about.
    """
    takes = provider(spec).urls
    if takes == "https":
        return part.type != "audio" and str(part.url).startswith("https://")
    return takes == "images" and part.type == "image"


def _data_url(part: Media, otherwise: str) -> str:
    return f"data:{part.mime_type or otherwise};base64,{part.data}"
