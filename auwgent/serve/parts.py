"""The contents of OpenAI's messages as ours: texts, images, files and sounds, by their bytes or an address.

Nothing here is read or fetched: a file is what the request itself holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from auwgent.serve.faults import bad_request

_DATA = re.compile(r"data:(?P<type>[^;,]*)(?:;[^;,]*)*?;base64,(?P<data>.*)", re.DOTALL)
_SOUNDS = {"wav": "audio/wav", "mp3": "audio/mpeg"}

Content = str | list[dict[str, Any]]


def content(given: Any, place: str) -> Content:
    """Return the content of a message: a text, or typed parts. `Refusal` names the part that cannot be."""
    if given is None:
        return ""
    if isinstance(given, str):
        return given
    if not isinstance(given, list):
        raise bad_request(f"`{place}` should be a text or a list of parts", param=place)
    parts = [_part(one, f"{place}[{number}]") for number, one in enumerate(given)]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _part(given: Any, place: str) -> dict[str, Any]:
    if isinstance(given, str):
        return {"type": "text", "text": given}
    kind = given.get("type") if isinstance(given, Mapping) else None
    make = _KINDS.get(str(kind))
    if make is None:
        raise bad_request(f"`{place}` has the type {kind!r}; there are {', '.join(_KINDS)}", param=place)
    try:
        return make(given, place)
    except (KeyError, TypeError, AttributeError):
        raise bad_request(
            f"`{place}` is not a part of type {kind!r} as OpenAI's API has it", param=place
        ) from None


def _text(given: Mapping[str, Any], place: str) -> dict[str, Any]:
    text = given["refusal"] if given["type"] == "refusal" else given["text"]
    if not isinstance(text, str):
        raise TypeError
    return {"type": "text", "text": text}


def _image(given: Mapping[str, Any], place: str) -> dict[str, Any]:
    url = given["image_url"]
    return _media("image", url["url"] if isinstance(url, Mapping) else url, place)


def _sound(given: Mapping[str, Any], place: str) -> dict[str, Any]:
    sound = given["input_audio"]
    mime_type = _SOUNDS.get(sound["format"])
    return {"type": "audio", "data": sound["data"], **({"mime_type": mime_type} if mime_type else {})}


def _file(given: Mapping[str, Any], place: str) -> dict[str, Any]:
    file = given["file"] if given["type"] == "file" else given
    name = {"name": str(file["filename"])} if file.get("filename") else {}
    source = file.get("file_data") or file.get("file_url")
    if source is None:
        raise bad_request(
            f"`{place}` names a file, and this server keeps none: send `file_data`", param=place
        )
    return _media("file", source, place) | name


def _media(kind: str, source: Any, place: str) -> dict[str, Any]:
    if match := _DATA.fullmatch(source):
        return {
            "type": kind,
            "data": match["data"],
            **({"mime_type": match["type"]} if match["type"] else {}),
        }
    if source.startswith(("https://", "http://")):
        return {"type": kind, "url": source}
    if kind == "file" and ":" not in source:
        return {"type": kind, "data": source}  # bytes alone, as some send them
    raise bad_request(f"`{place}` should be a data: or an https:// address", param=place)


_KINDS: Mapping[str, Callable[[Mapping[str, Any], str], dict[str, Any]]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _text,
    "image_url": _image,
    "input_image": _image,
    "input_audio": _sound,
    "file": _file,
    "input_file": _file,
}
