"""`auwgent index`: files reach the index, and what they say reaches the prompt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Command

CONFIG = """
middleware = [{ use = "auwgent.middleware.Retrieve", top = 1 }]

[agent]
model = "main"
prompt = "{{ ctx.knowledge }}"

[models.main]
use = "scripted/main"
params.replies = [{ system = "Cats sleep", text = "Most of the day." }, { when = "", text = "I do not know." }]

[embedding]
model = "scripted/words"
"""


@pytest.fixture
def folder(auwgent: Command) -> Path:
    """A config and some documents."""
    folder = auwgent.folder
    (folder / "auwgent.toml").write_text(CONFIG)
    (folder / "docs" / ".hidden").mkdir(parents=True)
    (folder / "docs" / ".hidden" / "x.md").write_text("hidden")
    (folder / "docs" / "cats.md").write_text("Cats sleep most of the day.")
    (folder / "docs" / "dogs.txt").write_text("Dogs like long walks.")
    (folder / "docs" / "photo.png").write_bytes(b"\x89PNG\xff")
    return folder


@pytest.mark.usefixtures("folder")
def test_files_are_put_in_once_listed_and_taken_out(auwgent: Command) -> None:
    assert auwgent("index", "docs").stderr.splitlines() == [
        "[1/2] docs/cats.md: 1 passage",
        "[2/2] docs/dogs.txt: 1 passage",
    ]
    assert auwgent("index", "docs/cats.md").stderr == "[1/1] docs/cats.md: unchanged\n"
    assert auwgent("index", "--list").stdout == "     1  docs/cats.md\n     1  docs/dogs.txt\n"
    assert auwgent("index", "--remove", "docs/dogs.txt").returncode == 0
    assert auwgent("index", "--list").stdout == "     1  docs/cats.md\n"


@pytest.mark.usefixtures("folder")
def test_what_was_indexed_reaches_the_prompt(auwgent: Command) -> None:
    assert auwgent("run", "-q", "How do cats sleep?").stdout == "I do not know.\n"
    assert auwgent("index", "-q", "docs").stderr == ""
    assert auwgent("run", "-q", "How do cats sleep?").stdout == "Most of the day.\n"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "name files or folders"),
        (["--list", "docs"], "--list stands alone"),
        (["nowhere.md"], "there is no file 'nowhere.md'"),
        (["docs/photo.png"], "is no text in UTF-8"),
        (["--remove", "docs/birds.md"], "docs/birds.md is not in the index"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(auwgent: Command, args: list[str], words: str) -> None:
    done = auwgent("index", *args)
    assert done.returncode == 2
    assert words in done.stderr


def test_without_an_embedding_model_it_says_so(auwgent: Command, folder: Path) -> None:
    (folder / "auwgent.toml").write_text(CONFIG.partition("[embedding]")[0])
    done = auwgent("index", "docs")
    assert done.returncode == 2
    assert "[embedding]" in done.stderr
