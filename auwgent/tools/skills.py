"""Agent Skills: folders with a SKILL.md, listed to the model by name and description, loaded by one tool.

The format is the open one of agentskills.io: YAML between two lines of `---`, then instructions in Markdown. Nothing
of a skill is executed here; its files are texts that the model may read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auwgent.errors import ToolError
from auwgent.models.base import ToolSpec
from auwgent.tools import Tool
from auwgent.words import did_you_mean

LOAD = "load_skill"
FILE = "SKILL.md"
NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
LONGEST = {"name": 64, "description": 1024, "compatibility": 500}  # characters, by the format
KEYS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
LARGEST = 1_000_000  # bytes of a file that a model is shown
MOST = 50  # files of a skill that are listed


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill; its instructions are read when they are wanted."""

    name: str
    description: str
    folder: Path


def find(folder: Path, pattern: str) -> list[Path]:
    """Return the folders with a SKILL.md that a path or a pattern such as `skills/*` names, relative to `folder`.

    Raises `ValueError` where there are none.
    """
    path = Path(pattern).expanduser()
    base = Path(path.anchor) if path.is_absolute() else folder
    found = sorted(base.glob(str(path.relative_to(path.anchor)))) if path.parts else [folder]
    skills = [each for each in found if (each / FILE).is_file()]
    if not skills:
        raise ValueError(f"{pattern!r} names no folder with a {FILE}")
    return skills


def read(folder: Path) -> Skill:
    """Return the skill of a folder. Raises `ValueError` with all that is wrong with its head."""
    place = folder / FILE
    head, _ = _parts(place)
    wrong = [
        f"unknown key {key!r}; {did_you_mean(key, KEYS)}".rstrip("; ") for key in head if key not in KEYS
    ]
    for key, most in LONGEST.items():
        value = head.get(key)
        if value is None and key == "compatibility":
            continue
        if not isinstance(value, str) or not value.strip():
            wrong.append(f"`{key}` is missing" if value is None else f"`{key}` should be a text")
        elif len(value) > most:
            wrong.append(f"`{key}` has {len(value)} characters; {most} are allowed")
    name = head.get("name")
    if isinstance(name, str) and not NAME.fullmatch(name):
        wrong.append(f"`name` is {name!r}; it may have small letters, digits and single hyphens between them")
    elif isinstance(name, str) and name != folder.resolve().name:
        wrong.append(f"`name` is {name!r}, but the folder is called {folder.resolve().name!r}")
    if wrong:
        raise ValueError(f"{place}: {'; '.join(wrong)}")
    return Skill(str(name), " ".join(str(head["description"]).split()), folder.resolve())


def skill_tool(skills: Sequence[Skill]) -> Tool:
    """Return the tool that lists these skills in its description and loads one of them."""
    known = {skill.name: skill for skill in skills}
    listed = "\n".join(f"- {skill.name}: {skill.description}" for skill in skills)
    about = (
        "Load the instructions of a skill before doing what it is for. With `file`, read one of its files instead.\n"
        f"Skills:\n{listed}"
    )
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": list(known), "description": "Which skill."},
            "file": {"type": "string", "description": "A file of the skill, as its instructions name it."},
        },
        "required": ["name"],
        "additionalProperties": False,
    }

    def check(args: dict[str, Any]) -> tuple[Skill, str]:
        if unknown := args.keys() - {"name", "file"}:
            raise ToolError(
                f"{', '.join(sorted(unknown))}: no such argument; known are name, file", tool=LOAD
            )
        name, file = args.get("name"), args.get("file") or ""
        if name not in known:
            raise ToolError(f"there is no skill {name!r}; there are: {', '.join(known)}", tool=LOAD)
        if not isinstance(file, str):
            raise ToolError("file: should be a text", tool=LOAD)
        return known[name], file

    async def call(checked: tuple[Skill, str], ctx: Any) -> str:
        skill, file = checked
        return _file(skill, file) if file else _instructions(skill)

    return Tool(ToolSpec(LOAD, about, schema), check, call)


def _instructions(skill: Skill) -> str:
    try:
        _, text = _parts(skill.folder / FILE)
    except ValueError as error:
        raise ToolError(str(error), tool=LOAD) from None
    files = [path for path in sorted(skill.folder.rglob("*")) if path.is_file() and path.name != FILE]
    names = [path.relative_to(skill.folder).as_posix() for path in files if _is_inside(skill, path)]
    if not names:
        return text
    more = f", and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"{text}\n\nFiles of this skill: {', '.join(names[:MOST])}{more}"


def _file(skill: Skill, file: str) -> str:
    path = skill.folder / file
    try:
        if not _is_inside(skill, path) or not path.is_file():
            raise ToolError(f"the skill {skill.name!r} has no file {file!r}", tool=LOAD)
        return _text(path)
    except ValueError as error:
        raise ToolError(str(error), tool=LOAD) from None


def _is_inside(skill: Skill, path: Path) -> bool:
    """Return whether a path stays in the skill's folder, links followed."""
    try:
        return path.resolve().is_relative_to(skill.folder)
    except (OSError, ValueError, RuntimeError):
        return False


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path.name} is larger than {LARGEST:,} bytes")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not a text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror or error}") from None


def _parts(place: Path) -> tuple[dict[str, Any], str]:
    """Return the head of a SKILL.md and the instructions below it."""
    import yaml

    match = re.match(r"---[ \t]*\r?\n(.*?)^---[ \t]*$\r?\n?(.*)", _text(place), re.DOTALL | re.MULTILINE)
    if match is None:
        raise ValueError(f"{place}: it should begin with a head between two lines of ---")
    try:
        head = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{place}: its head is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(head, dict):
        raise ValueError(f"{place}: its head should be a table of `name` and `description`")
    return {str(key): value for key, value in head.items()}, match[2].strip()
