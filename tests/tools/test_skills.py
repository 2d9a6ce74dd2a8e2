"""Skills: what a model is told of them, what it may read, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auwgent import ConfigError, Runtime
from auwgent.tools.skills import LOAD, find, read

HEAD = "---\nname: {name}\ndescription: {about}\n---\n"


def write(folder: Path, name: str, text: str = "Do it well.", about: str = "Fills in forms") -> Path:
    place = folder / "skills" / name
    place.mkdir(parents=True)
    (place / "SKILL.md").write_text(HEAD.format(name=name, about=about) + text, encoding="utf-8")
    return place


def agent(folder: Path, *replies: Any, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Runtime:
    monkeypatch.chdir(folder)
    return Runtime(
        {
            "middleware": [],
            "agent": {"model": "main", "skills": ["skills/*"], **more},
            "models": {"main": {"use": "scripted/main", "params": {"replies": list(replies)}}},
        }
    )


def loads(**args: str) -> dict[str, Any]:
    return {"tool_calls": [{"name": LOAD, "args": args}]}


async def said(running: Runtime) -> list[str]:
    session = await running.run("Please fill in the form.")
    return [turn.text for turn in session.turns if turn.role == "tool"]


async def test_skills_are_listed_by_name_and_description_and_loaded_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write(tmp_path, "pdf-forms", "Read references/fields.md first.")
    (place / "references").mkdir()
    (place / "references" / "fields.md").write_text("Name, date.")
    write(tmp_path, "jokes", about="Tells jokes")
    running = agent(
        tmp_path,
        loads(name="pdf-forms"),
        loads(name="pdf-forms", file="references/fields.md"),
        "Done.",
        monkeypatch=monkeypatch,
    )
    tool = running.agents["Main"].tools[LOAD]
    assert "- jokes: Tells jokes\n- pdf-forms: Fills in forms" in tool.spec.description
    assert "references/fields.md" not in tool.spec.description
    assert await said(running) == [
        "Read references/fields.md first.\n\nFiles of this skill: references/fields.md",
        "Name, date.",
    ]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"name": "nope"}, "there is no skill 'nope'; there are: pdf-forms"),
        ({"name": "pdf-forms", "file": "../../secret.txt"}, "has no file '../../secret.txt'"),
        ({"name": "pdf-forms", "file": "/etc/passwd"}, "has no file '/etc/passwd'"),
        ({"name": "pdf-forms", "file": "link"}, "has no file 'link'"),
        ({"name": "pdf-forms", "file": "photo"}, "photo is not a text in UTF-8"),
        ({"name": "pdf-forms", "file": "large"}, "large is larger than 1,000,000 bytes"),
        ({"name": "pdf-forms", "which": "x"}, "no such argument"),
    ],
)
async def test_nothing_outside_a_skill_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: dict[str, str], words: str
) -> None:
    place = write(tmp_path, "pdf-forms")
    (tmp_path / "secret.txt").write_text("the secret")
    (place / "link").symlink_to(tmp_path / "secret.txt")
    (place / "photo").write_bytes(b"\x89PNG\xff")
    (place / "large").write_text("x" * 1_000_001)
    (answer,) = await said(agent(tmp_path, loads(**args), "Done.", monkeypatch=monkeypatch))
    assert answer.startswith("Error: ")
    assert words in answer
    assert "the secret" not in answer


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("name: pdf-forms", "`description` is missing"),
        ("description: x", "`name` is missing"),
        ("name: PDF\ndescription: x", "it may have small letters"),
        ("name: other\ndescription: x", "the folder is called 'pdf-forms'"),
        (
            f"name: pdf-forms\ndescription: {'x' * 1025}",
            "`description` has 1025 characters; 1024 are allowed",
        ),
        ("name: pdf-forms\ndescription: x\nlicence: MIT", "unknown key 'licence'; did you mean `license`?"),
        ("name: [a\ndescription: x", "its head is not YAML"),
        ("- a\n- b", "its head should be a table"),
    ],
)
def test_a_head_that_is_wrong_is_a_config_error_at_its_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, words: str
) -> None:
    place = write(tmp_path, "pdf-forms")
    (place / "SKILL.md").write_text(f"---\n{head}\n---\nDo it.")
    with pytest.raises(ConfigError) as caught:
        agent(tmp_path, "Hi", monkeypatch=monkeypatch)
    (problem,) = caught.value.problems
    assert words in problem.message
    assert problem.key == "agent.skills[0]"


def test_a_file_without_a_head_and_a_pattern_without_skills(tmp_path: Path) -> None:
    place = write(tmp_path, "pdf-forms")
    (place / "SKILL.md").write_text("Do it.")
    with pytest.raises(ValueError, match="between two lines of ---"):
        read(place)
    with pytest.raises(ValueError, match="names no folder with a SKILL"):
        find(tmp_path, "skils/*")
    assert find(tmp_path, "skills/pdf-forms") == find(tmp_path, str(tmp_path / "skills" / "*")) == [place]


def test_a_tool_of_that_name_and_two_skills_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "jokes")
    write(tmp_path / "more", "jokes")

    def load_skill() -> str:
        """Mine."""
        return ""

    with pytest.raises(ConfigError) as caught:
        agent(
            tmp_path,
            "Hi",
            monkeypatch=monkeypatch,
            skills=["skills/*", "more/skills/*"],
            tools=[load_skill],
        )
    words = [problem.message for problem in caught.value.problems]
    assert any("two skills named 'jokes'" in one for one in words)
    assert any("'load_skill' is the tool that loads skills" in one for one in words)


async def test_all_of_the_format_is_taken(tmp_path: Path) -> None:
    place = write(tmp_path, "pdf-forms")
    (place / "SKILL.md").write_text(
        "---\r\nname: pdf-forms\r\ndescription: >\r\n  Fills in\r\n  forms\r\nlicense: MIT\r\n"
        "compatibility: Needs git\r\nmetadata:\r\n  author: me\r\nallowed-tools: Bash(git:*)\r\n---\r\n"
    )
    assert read(place).description == "Fills in forms"
