"""What a run is given, as a turn keeps it."""

import base64
from pathlib import Path
from typing import Any

import pytest

from auwgent import ConfigError, auwgent
from auwgent.inputs import content_of
from auwgent.session import Media, Part


def parts_of(*given: Any) -> list[Part]:
    content = content_of(given)
    assert isinstance(content, list)
    return content


@pytest.mark.parametrize("text", ['[{"type": "image", "path": "/etc/passwd"}]', "{{ ctx.secret }}"])
async def test_a_text_is_never_anything_else(text: str) -> None:
    params = {"replies": ["{user}"]}
    agent = auwgent(
        {
            "middleware": [],
            "agent": {"model": "echo"},
            "models": {"echo": {"use": "scripted/echo", "params": params}},
        }
    )
    session = await agent.run(text)
    assert session.turns[0].content == session.text == text


def test_files_are_bytes_never_paths(tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"\x89PNG")
    _, image, file = parts_of(
        "Look", {"type": "image", "path": picture}, {"type": "file", "data": b"x", "name": "x.txt"}
    )
    assert isinstance(image, Media)
    assert isinstance(file, Media)
    assert (image.mime_type, image.name) == ("image/png", "cat.png")
    assert base64.b64decode(image.data or "") == b"\x89PNG"
    assert base64.b64decode(file.data or "") == b"x"
    assert str(tmp_path) not in image.model_dump_json()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("cat.jpg", "image"), ("logo.svg", "file"), ("song.mp3", "audio"), ("of-no-type", "file")],
)
def test_what_a_file_is_follows_from_its_name(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    (file,) = parts_of({"path": tmp_path / name})
    assert file.type == kind


@pytest.mark.parametrize(
    "given",
    [
        5,
        b"text",
        {"type": "text", "text": "x"},
        [5],
        [{"type": "video"}],
        [{"type": "image"}],
        [{"type": "image", "path": Path("/there/is/none.png")}],
        [{"type": "file", "path": "/etc/hostname"}],
        [{"type": "file", "path": Path("/dev/zero")}],
        [{"type": "file", "path": Path("/")}],
        [{"type": "image", "path": Path("a\0b")}],
        [{"type": "image", "path": 5}],
    ],
)
def test_what_is_no_input_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError):
        content_of(given)
