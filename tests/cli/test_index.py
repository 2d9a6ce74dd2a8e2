"""`auwgent index`: files reach the index, and what they say reaches the prompt."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.answering import Answer, provider
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
        (["docs/photo.png"], "is not UTF-8 text"),
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


def names(auwgent: Command) -> list[str]:
    return [line.split()[-1] for line in auwgent("index", "--list").stdout.splitlines()]


def test_what_is_gone_from_a_folder_is_taken_out_and_named(auwgent: Command, folder: Path) -> None:
    (folder / "notes.md").write_text("Tea is green.")
    auwgent("index", "docs", "notes.md")
    (folder / "docs" / "cats.md").unlink()
    (folder / "notes.md").unlink()
    assert "docs/cats.md: taken out" in auwgent("index", "docs").stderr
    assert names(auwgent) == ["docs/dogs.txt", "notes.md"]  # what was not asked about stays
    (folder / "docs" / "dogs.txt").unlink()
    (folder / "docs" / "photo.png").unlink()
    shutil.rmtree(folder / "docs")
    assert auwgent("index", "docs").returncode == 0
    assert auwgent("index", "notes.md").returncode == 0
    assert names(auwgent) == []


def test_files_that_cannot_be_read_are_named_and_the_rest_is_indexed(auwgent: Command, folder: Path) -> None:
    (folder / "docs" / "a.txt").write_bytes("Größe".encode("utf-16"))
    done = auwgent("index", "docs")
    assert "docs/a.txt: left out, it is not UTF-8 text" in done.stderr
    assert done.returncode == 0
    assert names(auwgent) == ["docs/cats.md", "docs/dogs.txt"]
    done = auwgent("index", "docs/a.txt", "README.md", "docs/cats.md")
    assert done.returncode == 2
    assert "there is no file 'README.md'" in done.stderr


async def test_a_file_that_the_embedding_model_refuses_is_named_and_the_rest_is_indexed(
    auwgent: Command, folder: Path
) -> None:
    def embedded(texts: Sequence[str]) -> Any:
        is_odd = any("odd" in text for text in texts)
        return Answer("cannot embed that", status=400) if is_odd else [[1.0, 2.0] for _ in texts]

    (folder / "docs" / "a.md").write_text("odd")
    async with provider(vectors=embedded) as server:
        model = f'[models.v]\nuse = "openai/v"\nbase_url = "{server.url}"\napi_key = "k"\n'
        config = CONFIG.replace("scripted/words", "v") + model
        (folder / "auwgent.toml").write_text(config)
        done = await asyncio.to_thread(auwgent, "index", "docs")
        assert "docs/a.md: left out, it is refused: openai/v" in done.stderr
        assert done.returncode == 0
        assert (await asyncio.to_thread(auwgent, "index", "docs/a.md")).returncode == 1
    assert names(auwgent) == ["docs/cats.md", "docs/dogs.txt"]


def test_links_out_of_a_folder_and_what_is_no_text_are_not_taken_in(auwgent: Command, folder: Path) -> None:
    (folder / "elsewhere.md").write_text("Not of the folder.")
    (folder / "docs" / "link.md").symlink_to(folder / "elsewhere.md")
    (folder / "docs" / "same.md").symlink_to("cats.md")
    (folder / "docs" / "zeros.txt").write_bytes(b"\0\1" * 9)
    assert "docs/zeros.txt: left out, it is no text" in auwgent("index", "docs").stderr
    assert names(auwgent) == ["docs/cats.md", "docs/dogs.txt", "docs/same.md"]
    assert auwgent("index", "docs/link.md").returncode == 0  # who names it wants it


def test_the_config_keys_and_what_git_ignores_are_never_indexed(auwgent: Command, folder: Path) -> None:
    files = {
        ".env": "OPENAI_API_KEY=x",
        "prod.env": "x",
        "id_rsa.txt": "x",
        "credentials.json": "{}",
        "secrets.toml": "x",
        "tls.key": "x",
        "docs/key.txt": "-----BEGIN PRIVATE KEY-----\nx",
        "docs/drafts/a.md": "x",
        "docs/drafts/b.md": "x",
        "docs/private/c.md": "x",
        "docs/private/d/e.md": "x",
        "docs/kept/own.md": "A document about secrets.",
        "docs/secrets.md": "How we keep secrets.",
        ".gitignore": "*.log\n/docs/private/\ndocs/drafts/*\n!docs/drafts/b.md\n",
        "docs/kept/.gitignore": "no.md\n",
        "docs/kept/no.md": "x",
        "docs/run.log": "x",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "docs" / "linked.md").symlink_to(folder / ".env")
    assert auwgent("index", ".").returncode == 0
    assert names(auwgent) == [
        "docs/cats.md",
        "docs/dogs.txt",
        "docs/drafts/b.md",
        "docs/kept/own.md",
        "docs/secrets.md",
    ]
    for name in ("auwgent.toml", ".env", "tls.key", "docs/private/d/e.md", "docs/linked.md"):
        done = auwgent("index", name)
        assert (done.returncode, name in done.stderr) == (2, True), name
    assert len(names(auwgent)) == 5


def test_another_embedding_model_is_refused_until_the_index_is_renewed(
    auwgent: Command, folder: Path
) -> None:
    auwgent("index", "docs")
    config = (folder / "auwgent.toml").read_text()
    (folder / "auwgent.toml").write_text(config.replace("scripted/words", "scripted/others"))
    done = auwgent("run", "-q", "How do cats sleep?")
    assert done.returncode == 1
    assert "vectors of scripted/words" in done.stderr
    assert "auwgent index --renew" in done.stderr
    assert "docs/cats.md: 1 passage" in auwgent("index", "--renew").stderr
    assert "docs/cats.md: unchanged" in auwgent("index", "docs").stderr
    assert auwgent("run", "-q", "How do cats sleep?").stdout == "Most of the day.\n"
