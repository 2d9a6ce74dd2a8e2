"""An environment for each framework that takes part, outside of the project, and in it what is measured."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

PACKAGES = {
    "agno": ["agno==3.1.10", "openai==3.57.0"],
    "google-adk": ["google-adk==2.13.0", "litellm==1.110.2", "mcp==2.3.0"],
    "langchain": ["langchain==1.5.2", "langchain-openai==1.7.3"],
    "llm": ["llm==0.36"],
    "openai-agents": ["openai-agents==0.24.0"],
    "pydantic-ai": ["pydantic-ai-slim[openai]==2.68.0"],
    "strands": ["strands-agents[openai]==1.62.0"],
}


def install() -> dict[str, str]:
    """Each framework's name and its Python. What is installed already is used again."""
    pythons = dict(_installed())
    for name in PACKAGES.keys() - pythons:
        print(f"{name} takes no part: it could not be installed", file=sys.stderr)
    return pythons


def _installed() -> Iterator[tuple[str, str]]:
    home = Path(tempfile.gettempdir()) / "auwgent-benchmarks"
    for name, packages in PACKAGES.items():
        python = home / name / "bin" / "python"
        if not python.exists():
            print(f"installing {name} into {python.parent.parent}", file=sys.stderr)
            venv.create(python.parent.parent, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", *packages]
        if subprocess.run(command, check=False).returncode == 0:
            yield name, str(python)
