"""Dotted paths: what they find, and how each failure is told apart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from auwgent.imports import (
    ImportFailure,
    MalformedPath,
    ModuleClash,
    ModuleFailed,
    NoSuchModule,
    NoSuchName,
    NotOffered,
    StandardLibrary,
    lazy,
    resolve,
    search_path,
)

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _undone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test imports and adds to sys.path is gone after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if not name.startswith("auwgent."):  # its tables can be made once alone
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a module below `tmp_path`; packages around it too."""

    def write(name: str, text: str = "", folder: str = "config") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.parents:
            if parent in (tmp_path, tmp_path / folder):
                break
            (parent / "__init__.py").touch()
        path.write_text(text, encoding="utf-8")
        return tmp_path / folder

    return write


def find(path: str, folder: Path, *, paths: tuple[str, ...] = (".",), allow: tuple[str, ...] = ()) -> object:
    with search_path(folder, paths):
        return resolve(path, allow=allow)


def failure(path: str, folder: Path, **options: tuple[str, ...]) -> ImportFailure:
    with pytest.raises(ImportFailure) as caught:
        find(path, folder, **options)
    return caught.value


# What they find


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("my_app.audit.Audit", "Audit"),
        ("my_app.audit:Audit", "Audit"),
        ("my_app.audit.Audit.hook", "hook"),
        ("my_app.audit:Audit.hook", "hook"),
        ("my_app.Shown", "Shown"),
        ("my_app.same.Inner", "Inner"),
        ("my_app.tools.get", "get"),
    ],
)
def test_modules_and_nested_names_are_found(write: Write, path: str, expected: str) -> None:
    write("my_app/audit.py", "class Audit:\n    def hook(self): ...\n")
    write("my_app/same.py", "class Inner: ...\n")
    write("my_app/tools.py", "def get(): ...\n")
    folder = write("my_app/__init__.py", "class Shown: ...\ndef same(): ...\ndef tools(): ...\n")
    assert getattr(find(path, folder), "__name__", None) == expected


def test_a_folder_of_the_config_is_relative_to_it(write: Write) -> None:
    folder = write("my_tools_a.py", "one = [1]", "config/lib/deep").parents[1]
    assert find("my_tools_a.one", folder, paths=("lib/deep",)) == [1]


def test_a_lazy_package_gives_its_names(tmp_path: Path) -> None:
    assert getattr(find("auwgent.middleware.Middleware", tmp_path), "__name__", "") == "Middleware"


# How each failure is told apart


@pytest.mark.parametrize(
    "path",
    ["", "a", "a.", ".a", "a..b", "a b.c", "a:", ":b", "a:b:c", "a.1b", "a.b:__init__", "os.path", "a-b.c"],
)
def test_what_is_no_dotted_path(tmp_path: Path, path: str) -> None:
    error = failure(path, tmp_path)
    assert isinstance(error, StandardLibrary if path == "os.path" else MalformedPath)


def test_no_such_module_names_the_part_that_is_missing(write: Write) -> None:
    folder = write("my_app/audit.py")
    assert str(failure("my_ap.audit.Audit", folder)) == "no such module: 'my_ap'"
    assert failure("my_ap.audit.Audit", folder).hint == "did you mean `my_app`?"
    assert str(failure("my_app.audti.Audit", folder)) == "no such module: 'my_app.audti' ('my_app' exists)"
    assert failure("my_app.audti:Audit", folder).hint == "did you mean `audit`?"
    nowhere = failure("zzzzzz.Audit", folder)
    assert isinstance(nowhere, NoSuchModule)
    assert nowhere.hint == f"it is neither installed nor in {folder}"


def test_no_such_name_says_where_it_looked(write: Write) -> None:
    folder = write("my_app/audit.py", "class Audit:\n    def hook(self): ...\n")
    error = failure("my_app.audit.Audti", folder)
    assert isinstance(error, NoSuchName)
    assert (str(error), error.hint) == ("module 'my_app.audit' has no 'Audti'", "did you mean `Audit`?")
    assert failure("my_app.audit.zzz", folder).hint == f"it was read from {folder / 'my_app' / 'audit.py'}"
    assert str(failure("my_app.audit:Audit.hok", folder)) == "'Audit' has no 'hok'"


def test_a_module_is_not_what_is_wanted(write: Write) -> None:
    folder = write("my_app/audit.py")
    for path in ("my_app.audit", "my_app:audit"):
        error = failure(path, folder)
        assert isinstance(error, NoSuchName)
        assert str(error) == "'my_app.audit' is a module"


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("import json\n\ndef start():\n    raise ValueError('no luck')\n\nstart()\n", "ValueError: no luck"),
        ("import nothing_like_this\n", "ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("from my_broken_other import x\n", "ImportError: cannot import name 'x' from 'my_broken_other'"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("def f(:\n", "SyntaxError: invalid syntax"),
    ],
)
def test_a_module_that_fails_is_told_with_its_own_traceback(write: Write, text: str, last: str) -> None:
    write("my_broken_other.py")
    folder = write("my_broken.py", text)
    error = failure("my_broken.Audit", folder)
    assert isinstance(error, ModuleFailed)
    assert str(error) == "your module 'my_broken' failed while importing"
    assert last in error.hint.splitlines()[-1]
    assert f'File "{folder / "my_broken.py"}", line' in error.hint
    assert "imports.py" not in error.hint
    assert "importlib" not in error.hint
    assert error.__cause__ is not None


def test_a_package_that_fails_when_a_name_is_first_used_has_failed_too(write: Write) -> None:
    folder = write("my_lazy.py", "def __getattr__(name):\n    import nothing_like_this\n")
    error = failure("my_lazy.Audit", folder)
    assert isinstance(error, ModuleFailed)
    assert "line 2, in __getattr__" in error.hint


def test_ctrl_c_during_an_import_is_no_failure_of_the_module(write: Write) -> None:
    folder = write("my_interrupted.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        find("my_interrupted.x", folder)


# The standard library


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "os:system",
        "subprocess.run",
        "builtins.eval",
        "posix.system",
        "importlib.import_module",
        "antigravity.geohash",
        "my_doors.os.system",
        "my_doors:os.system",
        "my_doors.subprocess.Popen",
        "my_doors.run",
        "my_doors:system",
        "my_doors.evaluate",
        "my_doors.TEXT.format",
        "my_doors.PATH.write_text",
        "my_doors.Own.__subclasses__",
        "click.utils.os.system",
    ],
)
def test_the_standard_library_is_refused_by_whatever_way(write: Write, path: str) -> None:
    folder = write(
        "my_doors.py",
        "import os, subprocess\nfrom os import system\nfrom subprocess import run\nfrom pathlib import Path\n"
        "evaluate = eval\nTEXT = ''\nPATH = Path('x')\nclass Own: ...\n",
    )
    error = failure(path, folder)
    assert isinstance(error, StandardLibrary | MalformedPath)
    assert "antigravity" not in sys.modules


def test_it_is_found_when_the_config_allows_it(write: Write) -> None:
    import json
    import os.path

    folder = write("my_doors_b.py", "import json\nfrom json import loads\n")
    assert find("os.path.join", folder, allow=("os.path",)) is os.path.join
    assert find("json.loads", folder, allow=("json",)) is json.loads
    assert find("my_doors_b.json.loads", folder, allow=("json",)) is json.loads
    assert isinstance(failure("os.system", folder, allow=("os.path", "json")), StandardLibrary)
    assert isinstance(failure("json.codecs.open", folder, allow=("json",)), StandardLibrary)
    assert isinstance(failure("my_doors_b.loads", folder), StandardLibrary)


def test_what_the_users_module_makes_of_the_standard_library_is_the_users(write: Write) -> None:
    folder = write(
        "my_made.py",
        "import functools, collections\ndef add(a, b): ...\nadd_one = functools.partial(add, 1)\n"
        "@functools.lru_cache\ndef cached(): ...\nPoint = collections.namedtuple('Point', 'x')\n"
        "class Numbers(list): ...\n",
    )
    for name in ("add_one", "cached", "Point", "Numbers"):
        assert find(f"my_made.{name}", folder) is not None


def test_a_module_of_ones_own_with_a_librarys_name_is_told_why(write: Write) -> None:
    folder = write("calendar.py", "class Audit: ...")
    assert "a module of your own needs another name" in failure("calendar.Audit", folder).hint


# Where they look


def test_the_configs_folder_comes_last(write: Write) -> None:
    folder = write("click.py", "mine = True")
    assert isinstance(failure("click.mine", folder), NoSuchName)
    assert sys.path[-1] == str(folder)


def test_the_working_directory_is_not_searched(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    here = write("my_elsewhere.py", "x = 'elsewhere'", "here")
    config = write("my_near.py", "x = 'near'")
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert find("my_near.x", config) == "near"
    assert isinstance(failure("my_elsewhere.x", config), NoSuchModule)
    assert find("my_elsewhere.x", here) == "elsewhere"
    assert sys.path[0] == "", "the sys.path of the program is as it was"


@pytest.mark.process
@pytest.mark.parametrize("listed", [False, True])
def test_python_m_auwgent_does_not_search_the_working_directory(write: Write, listed: bool) -> None:
    here = write("my_evil.py", "class Audit:\n    def open(self): ...\n", "here")
    config = write("auwgent.toml", 'middleware = ["my_evil.Audit"]\n[agent]\nmodel = "scripted/echo"\n')
    if listed:
        with (config / "auwgent.toml").open("a") as file:
            file.write(f"[imports]\npath = ['{here}']\n")
    done = subprocess.run(
        [sys.executable, "-m", "auwgent", "check", "-c", str(config / "auwgent.toml")],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if listed else 2), done.stderr
    assert ("no such module: 'my_evil'" in done.stdout) is not listed


def test_two_configs_with_modules_of_one_name_do_not_get_each_others(write: Write) -> None:
    one, two = write("my_shared.py", "x = 1", "one"), write("my_shared.py", "x = 2", "two")
    assert find("my_shared.x", one) == 1
    error = failure("my_shared.x", two)
    assert isinstance(error, ModuleClash)
    assert str(two / "my_shared.py") in str(error)
    assert find("my_shared.x", one) == 1


# Lazy packages


def test_a_lazy_name_is_imported_on_first_use(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from auwgent.imports import lazy\n__getattr__, __dir__ = lazy(__name__, {'Thing': 'my_pkg.things'})\n"
    write("my_pkg/things.py", "class Thing: ...")
    monkeypatch.syspath_prepend(write("my_pkg/__init__.py", text))
    import my_pkg  # type: ignore[import-not-found]

    assert "my_pkg.things" not in sys.modules
    assert "Thing" in dir(my_pkg)
    assert my_pkg.Thing is my_pkg.Thing
    assert "Thing" in vars(my_pkg)
    with pytest.raises(AttributeError, match="module 'my_pkg' has no attribute 'Nothing'"):
        _ = my_pkg.Nothing


def test_lazy_names_are_known_before_they_are_loaded() -> None:
    get, names = lazy("auwgent", {"Session": "auwgent.session"})
    assert "Session" in names()
    assert get("Session").__module__ == "auwgent.session"


@pytest.mark.process
def test_importing_it_loads_next_to_nothing() -> None:
    code = "import sys, typing; old = set(sys.modules); import auwgent.imports; print(len(set(sys.modules) - old))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 6


@pytest.mark.parametrize(
    "path",
    [
        "auwgent.imports.resolve",
        "auwgent.imports:late",
        "auwgent.auwgent",
        "auwgent.inputs:read_files",
        "auwgent.middleware.remember:late",
        "auwgent.imports:_added",
        "own_door.find",
        "own_door.bound",
        "own_door.kept.resolve",
    ],
)
def test_this_package_offers_nothing_that_imports_or_reads_by_a_models_words(path: str, write: Write) -> None:
    text = "from functools import partial\n"
    text += "from auwgent.imports import resolve as find\nimport auwgent.imports as kept"
    folder = write("own_door.py", text + "\nbound = partial(find, allow=('os',))\n")
    error = failure(path, folder)
    assert isinstance(error, NotOffered | NoSuchName)
    assert isinstance(error, NotOffered) or path.split(":")[-1] in ("late", "read_files")


@pytest.mark.parametrize(
    "path", ["auwgent.middleware.remember.remember", "auwgent.session.Turn", "auwgent.middleware:Middleware"]
)
def test_this_package_offers_its_classes_and_the_functions_of_its_middleware(
    path: str, tmp_path: Path
) -> None:
    assert callable(find(path, tmp_path))
