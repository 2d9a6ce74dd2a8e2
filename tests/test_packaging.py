"""What is promised about the project's files rather than its behaviour."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import auwgent

pytestmark = pytest.mark.process

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "auwgent").rglob("*.py"))

# Each is "module: import", as the test prints it, and has its reason beside it.
# `import auwgent` would take twice as long with it.
OWN_IMPORTS_IN_FUNCTIONS = frozenset({"auwgent.imports: auwgent.words.did_you_mean"})

IMPORTS_BY_NAME = frozenset({"auwgent.imports"})


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


NOT_LOCKED = "presidio"  # 370 MB, and of no use without a model that is on no package index


def requirements() -> list[Requirement]:
    """All of pyproject.toml that is locked: dependencies, extras and groups."""
    pyproject = project()
    extras = pyproject["project"]["optional-dependencies"]
    lists = [
        pyproject["project"]["dependencies"],
        *(lines for extra, lines in extras.items() if extra != NOT_LOCKED),
        *pyproject["dependency-groups"].values(),
    ]
    return [Requirement(line) for lines in lists for line in lines]


def pins() -> dict[str, str]:
    """The locked version of each package."""
    lock = (ROOT / "requirements.lock").read_text()
    return {
        canonicalize_name(name): version for name, version in re.findall(r"(?m)^([\w.-]+)==([^\s;\\]+)", lock)
    }


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST, path: Path) -> Iterator[str]:
    """The absolute names of what the code imports."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            source = [*parents, *filter(None, [node.module])]
            yield from (".".join([*source, alias.name]) for alias in node.names)


def test_the_version_is_the_installed_one() -> None:
    assert auwgent.__version__ == metadata.version("auwgent")


def test_the_lock_satisfies_pyproject() -> None:
    locked = pins()
    missing = [
        str(requirement)
        for requirement in requirements()
        if not (version := locked.get(canonicalize_name(requirement.name)))
        or not requirement.specifier.contains(version)
    ]
    assert not missing, "run ./dev lock"


def test_the_lock_holds_nothing_that_is_no_longer_needed() -> None:
    """Follows the requirements of what is installed; what is locked for other systems is not looked at."""
    found = [(requirement.name, frozenset(requirement.extras)) for requirement in requirements()]
    seen = set(found)
    while found:
        name, extras = found.pop()
        for requirement in map(Requirement, metadata.requires(name) or []):
            marker = requirement.marker
            entry = (requirement.name, frozenset(requirement.extras))
            if entry not in seen and (
                not marker or any(marker.evaluate({"extra": x}) for x in {"", *extras})
            ):
                seen.add(entry)
                found.append(entry)
    needed = {canonicalize_name(name) for name, _ in seen}
    installed = {name for name in pins() if any(metadata.distributions(name=name))}
    assert sorted(installed - needed) == [], "run ./dev lock"


@pytest.mark.parametrize(
    "path",
    ["requirements.lock", "uv.lock.txt", "tests/aimock/package-lock.json", "tests/clients/package-lock.json"],
)
def test_locks_are_pinned_by_hash_and_name_no_host(path: str) -> None:
    text = (ROOT / path).read_text()
    assert "://" not in text
    assert "--hash=sha256:" in text or '"integrity": "sha512-' in text
    assert not re.search(r"(?m)^-|--(?!hash=)|@ ", text) or path.endswith(".json")


def test_the_model_is_no_dependency() -> None:
    assert not [name for name in pins() if "smollm" in name or "llama-cpp" in name]


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_module_imports_its_own_package_in_a_function(path: Path) -> None:
    module = module_name(path)
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    ]
    found = {
        f"{module}: {name}"
        for function in functions
        for name in imports(function, path)
        if name.split(".")[0] == "auwgent"
    }
    assert found <= OWN_IMPORTS_IN_FUNCTIONS


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_only_one_module_imports_by_name(path: Path) -> None:
    """What `importlib.metadata` and `importlib.resources` do is reading files."""
    tree = ast.parse(path.read_text())
    calls = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & {"__import__"}
    by_name = {
        name
        for name in imports(tree, path)
        if name.split(".")[0] in {"importlib", "runpy", "pkgutil"}
        and not name.startswith(("importlib.metadata", "importlib.resources"))
    }
    assert module_name(path) in IMPORTS_BY_NAME or not by_name | calls


def test_help_does_not_import_what_is_slow() -> None:
    """litellm alone costs seconds."""
    slow = {"litellm", "mcp", "sqlalchemy", "xllamacpp", "openai"}
    code = f"""
import sys
import auwgent.__main__
assert auwgent.__main__.cli.main(["--help"]) == 0
print(*{slow!r} & set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.split() == []


def dev(*args: str, root: Path = ROOT, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(root / "dev"), *args]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "AUWGENT_CONFIG": "", **env},
        timeout=240,
        check=False,
    )


def script(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A copy of what ./dev needs, without a virtual environment, in a place with a space."""
    root = tmp_path / "a copy"
    root.mkdir()
    for name in ["dev", "pyproject.toml", "requirements.lock", "uv.lock.txt"]:
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "scripts", root / "scripts")
    return root


def test_dev_keeps_the_working_directory_and_the_exit_code(tmp_path: Path) -> None:
    done = dev("python", "-c", "import os, sys; print(os.getcwd()); sys.exit(7)", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (7, f"{tmp_path.resolve()}\n")


def test_dev_explains_itself(bare: Path) -> None:
    assert "./dev lock" in dev("help", root=bare).stdout
    unknown = dev("no-such-command", root=bare)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "./dev lock" in unknown.stderr


@pytest.mark.parametrize(
    ("python", "help_line"),
    [
        (["exit 127"], "Python 3.11 or later is needed, but there is none"),
        (["case $2 in *print*) echo 3.9 ;; *) exit 1 ;; esac"], "but {python} is 3.9"),
        (["case $2 in *print*) echo 3.12 ;; *ensurepip*) exit 1 ;; esac"], "apt-get install python-x-venv"),
        (['case $2 in *print*) echo 3.12 ;; venv) echo "disk full"; exit 1 ;; esac'], "disk full"),
    ],
    ids=["none", "old", "without venv", "failing"],
)
def test_a_set_up_that_cannot_be_says_why_and_is_not_ready(
    bare: Path, python: list[str], help_line: str
) -> None:
    fake = script(bare / "python-x", *python)
    for _ in range(2):
        done = dev("python", root=bare, PYTHON=str(fake))
        assert (done.returncode, done.stdout) == (1, "")
        assert help_line.format(python=fake) in done.stderr
    assert not (bare / ".venv" / "ready").exists()
    assert not (bare / ".venv.lock").exists()


def test_a_set_up_takes_over_from_one_that_was_killed(bare: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    (bare / ".venv.lock").mkdir()
    (bare / ".venv.lock" / "pid").write_text(f"{gone.pid}\n")
    assert "there is none" in dev("python", root=bare, PYTHON="/nowhere/python").stderr
    assert not (bare / ".venv.lock").exists()


@pytest.fixture
def ready(bare: Path) -> Path:
    """The copy with a virtual environment whose `auwgent` only prints its arguments."""
    (bare / ".venv" / "bin").mkdir(parents=True)
    script(bare / ".venv" / "bin" / "auwgent", 'echo "auwgent $*"')
    stamp = "root=$PWD litellm=; . scripts/set-up.sh; stamp >.venv/ready"
    subprocess.run(["sh", "-c", stamp], cwd=bare.resolve(), check=True)
    (bare / "auwgent.toml").touch()
    (bare / "b c.toml").touch()
    return bare


@pytest.mark.parametrize(
    ("args", "config"),
    [
        ([], "auwgent.toml"),
        (["-c", "b c.toml", "hello"], "b c.toml"),
        (["-cb c.toml"], "b c.toml"),
        (["--config", "b c.toml"], "b c.toml"),
        (["--config=b c.toml"], "b c.toml"),
        (["-c", "missing.toml"], None),
        (["--help"], None),
    ],
)
def test_run_pulls_the_model_that_the_config_needs(ready: Path, args: list[str], config: str | None) -> None:
    cache = ready / "cache"
    done = dev("run", *args, root=ready, cwd=ready, AUWGENT_CACHE=str(cache))
    assert done.stdout == " ".join(["auwgent run", *args]) + "\n"
    assert done.stderr == (f"auwgent model pull --config {config}\n" if config else "")

    (cache / "models").mkdir(parents=True)
    (cache / "models" / "smollm2.gguf").touch()
    assert dev("run", *args, root=ready, cwd=ready, AUWGENT_CACHE=str(cache)).stderr == ""


def test_run_reads_the_config_that_the_environment_names(ready: Path) -> None:
    done = dev("run", root=ready, cwd=ready, AUWGENT_CACHE=str(ready / "cache"), AUWGENT_CONFIG="b c.toml")
    assert done.stderr == "auwgent model pull --config b c.toml\n"


def test_a_skipped_test_fails_in_ci(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text())
    pytester.makepyfile(
        test_one="import pytest\ndef test_skips(): pytest.skip('no server')\n"
        "@pytest.mark.xfail\ndef test_known(): assert 0",
        test_whole_module="import pytest\npytest.importorskip('no_such_module')",
    )
    monkeypatch.delenv("AUWGENT_NO_SKIP", raising=False)
    pytester.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(skipped=2, xfailed=1)
    monkeypatch.setenv("AUWGENT_NO_SKIP", "1")
    pytester.runpytest_subprocess("-p", "no:asyncio", "--continue-on-collection-errors").assert_outcomes(
        failed=1, errors=1, xfailed=1
    )
