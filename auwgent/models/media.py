"""Finds the type of a file by its first bytes, not its name, and reads it as text."""

from __future__ import annotations

import base64
import re

from auwgent.session import Media, Part, Text

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
)
_RIFF = {b"WAVE": "audio/wav", b"WEBP": "image/webp"}
_BRANDS = (  # of ISO media: what stands behind "ftyp"
    (re.compile(rb"avif|avis"), "image/avif"),
    (re.compile(rb"hei[cfxms]|mif1|msf1"), "image/heic"),
    (re.compile(rb"M4A|M4B"), "audio/mp4"),
)
_TEXT_TYPES = re.compile(r"text/|application/(\w+[.+-])*(json|xml|yaml|x-yaml|toml|javascript|csv|sql)\b")
_NOT_IN_TEXTS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_HEAD = 64  # characters of base64 that hold all that is looked at


def type_of(content: bytes) -> str | None:
    """Return the MIME type that the first bytes say; None where they say nothing."""
    if content[:4] == b"RIFF":
        return _RIFF.get(content[8:12])
    if content[4:8] == b"ftyp":
        return next((kind for brand, kind in _BRANDS if brand.match(content[8:12])), "video/mp4")
    if content[:2] == b"BM" and _NOT_IN_TEXTS.search(content[:32].decode("latin-1")) is None:
        return None  # a text that begins so
    return next((kind for magic, kind in _MAGIC if content.startswith(magic)), None)


def text_of(content: bytes, declared: str | None = None) -> str | None:
    """Return the text of a file; None where it is none. What is `declared` a text is one, whatever its encoding."""
    if type_of(content) is not None:
        return None
    for encoding in ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            break
        return None if _NOT_IN_TEXTS.search(text) else text
    is_text = _TEXT_TYPES.match(declared or "") and b"\x00" not in content
    return content.decode("cp1252", "replace") if is_text else None


def read(part: Media) -> Part:
    """Return a part with bytes as what it really is: its type and kind by its content, a text as text."""
    if part.data is None:
        return part
    kind = type_of(base64.b64decode(part.data[:_HEAD]))
    if kind is None and part.type == "file":
        text = text_of(base64.b64decode(part.data), part.mime_type)
        if text is not None:
            return as_text(part.name, text)
    if kind is None or kind == part.mime_type:
        return part
    group = kind.partition("/")[0]
    type_ = group if group in ("image", "audio") else "file"
    return part.model_copy(update={"mime_type": kind, "type": type_})


def as_text(name: str | None, text: str) -> Text:
    """Return the text of a file, under its name."""
    return Text(text=f"{name}:\n\n{text}" if name else text)


def in_words(part: Part) -> str:
    """Return a part where only text can stand."""
    if isinstance(part, Text):
        return part.text
    name = part.url or part.name or part.mime_type or "without a name"
    refused = f", which the provider refused: {part.refused}" if part.refused else ""
    return f"[{part.type}: {name}{refused}]"
