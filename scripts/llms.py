"""Writes docs/llms.txt: the pages of the docs with what each is about, for models. With --check it only compares."""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "llms.txt"
FIRST = ("tutorial", "python", "config", "agents", "middleware", "sessions", "runs", "providers", "cli")
LEFT_OUT = ("index", "reference")  # which point to the others, or are made when the site is built


def about(text: str) -> str:
    """The first sentence of a page, without its links."""
    text = re.sub(r"(?ms)^```.*?^```$", "", text)
    paragraph = re.search(r"(?m)^(?![#|!\-\n<>]).+(?:\n(?![#|\-\n]).+)*", text)
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", paragraph[0]) if paragraph else ""
    return re.split(r"(?<=[.:])\s", " ".join(words.split()))[0].rstrip(".:")


def page() -> str:
    found = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
    names = [name for name in dict.fromkeys([*FIRST, *found]) if name in found and name not in LEFT_OUT]
    lines = [
        f"- [{found[name].splitlines()[0].removeprefix('# ')}]({name}.md): {about(found[name])}"
        for name in names
    ]
    summary = "> A multi-provider agent runtime in Python: agents are declared in a TOML file, or in Python."
    return "\n".join(["# Auwgent", "", summary, "", "## Docs", "", *lines, ""])


def main() -> int:
    if sys.argv[1:] == ["--check"]:
        return 0 if PAGE.read_text(encoding="utf-8") == page() else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
