"""Dotted paths to objects. The only place that imports by name.

`import auwgent` loads this module, so it imports nothing itself that Python has not loaded anyway.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

_searching = RLock()  # sys.path belongs to the whole process
_current: list[tuple[str, ...]] = []  # folders of the configs being built, the innermost last
_added: set[str] = set()  # folders that configs of this process brought into sys.path
_OFFERED = (f"{__package__}.middleware.", f"{__package__}.testing.")  # whose functions may be named
_named: set[str] = set()  # packages that configs of this process named
_first = sys.path[:1]  # as Python's start put it there


class ImportFailure(Exception):
    """A dotted path leads nowhere. The text says why, `hint` what would be right."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class MalformedPath(ImportFailure):
    """It is not of the form `pkg.mod.Name` or `pkg.mod:Name`."""


class NoSuchModule(ImportFailure):
    """A module on the way does not exist."""


class NoSuchName(ImportFailure):
    """The module exists and has no such name."""


class ModuleFailed(ImportFailure):
    """The user's module raised while it was imported. The hint is its traceback, the cause its exception."""


class StandardLibrary(ImportFailure):
    """It leads into the standard library, where a config file could name `os.system`."""


class NotOffered(ImportFailure):
    """It leads into this package, beside what it offers to a config."""


class ModuleClash(ImportFailure):
    """Another config of this process has a module of that name; Python holds only one."""


def search_path(folder: Path, paths: Iterable[str]) -> SearchPath:
    """Return a context in which `resolve` finds modules in `paths`, relative to the config's `folder`.

    They are appended to sys.path, so that nothing in them shadows an installed package, and they stay: the
    user's functions may import more when they run. The working directory is not searched meanwhile unless it
    is one of them. `python -m auwgent` forgets it for good; the sys.path of other programs is theirs.
    """
    return SearchPath(tuple(dict.fromkeys(str((folder / path).resolve()) for path in paths)))


class SearchPath:
    """See `search_path`. One thread at a time, nested contexts included."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        self._folders = folders
        self._here: list[int] = []  # where sys.path had "", the working directory of the moment

    def __enter__(self) -> None:
        _searching.acquire()
        # Undo, once, what `python -m auwgent` did to sys.path.
        main = getattr(sys.modules.get("__main__"), "__spec__", None)
        ours = main is not None and main.name == f"{__package__}.__main__" and not sys.flags.safe_path
        if ours and _first and sys.path[:1] == [_first.pop()]:
            del sys.path[0]
        self._here = [index for index, entry in enumerate(sys.path) if entry == ""]
        sys.path[:] = [entry for entry in sys.path if entry != ""]
        missing = [folder for folder in self._folders if folder not in sys.path]
        sys.path.extend(missing)
        _added.update(missing)
        importlib.invalidate_caches()
        _current.append(self._folders)

    def __exit__(self, *exc_info: object) -> None:
        _current.pop()
        for index in self._here:
            sys.path.insert(index, "")
        _searching.release()


def resolve(path: str, *, allow: Sequence[str] = ()) -> Any:
    """Return the object at `pkg.mod.Name` or `pkg.mod:Name`; names may be nested, as in `pkg.mod:Class.method`.

    Call it within `search_path`. `allow` lists the standard-library modules that may be named. Raises
    `ImportFailure`.
    """
    modules, names = _split(path)
    if modules[0] in sys.stdlib_module_names and not _covered(".".join(modules + names), allow):
        raise _standard_library(path, modules[0], "; a module of your own needs another name")
    _refuse_clash(modules[0])
    _named.add(modules[0])
    module, names = _import(modules, names)
    found: Any = module
    for name in names:
        if isinstance(found, types.ModuleType):
            module = found
            _check_module(path, module, allow)
        found = _attribute(found, name)
    if isinstance(found, types.ModuleType):
        raise _is_module(path)
    _refuse_own(path, module, found)
    # A name that a module took over from the standard library is still the library's.
    if _top(module.__name__) not in sys.stdlib_module_names and _top(_home(found)) in sys.stdlib_module_names:
        raise _standard_library(path, _home(found))
    return found


def runs_users_code() -> bool:
    """Return whether a config of this process named anything outside of this package."""
    return bool(_named - {__package__})


def is_installed(module: str, *, outside: Path | None = None) -> bool:
    """Return whether a top-level module of that name can be found in another folder than `outside`. Imports nothing."""
    elsewhere = [
        entry for entry in sys.path if outside is None or os.path.realpath(entry) != os.path.realpath(outside)
    ]
    finder = importlib.import_module("importlib.machinery").PathFinder
    return finder.find_spec(module, elsewhere) is not None


def late(path: str) -> Any:
    """A part of this package, as `module:name`, imported when it is used. For paths that users write: `resolve`."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def lazy(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` for a package whose public names are imported on first use.

    `names` maps each one to the module that has it, or that it is.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(names[name])
        value = module if names[name] == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    def names_of() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    return get, names_of


def packaged_file(package: str, name: str) -> Path | None:
    """Return a file beside an installed package's code, found without importing it; None where it is not there."""
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec(package)
    file = Path(spec.origin).parent / name if spec is not None and spec.origin else None
    return file if file is not None and file.is_file() else None


def _split(path: str) -> tuple[list[str], list[str]]:
    """Modules and names. Without a colon, where the names begin is for `_import` to find out."""
    left, colon, right = path.partition(":")
    modules, names = left.split("."), right.split(".") if colon else []
    parts = modules + names
    if (
        len(parts) < 2
        or not all(map(str.isidentifier, parts))
        or any(part.startswith("__") for part in parts[1:])
    ):
        raise MalformedPath(f"{path!r} is not a dotted path", "write `pkg.mod.Name` or `pkg.mod:Name`")
    return modules, names


def _import(modules: list[str], names: list[str]) -> tuple[types.ModuleType, list[str]]:
    """Import what are modules; return the last one and the names that are left."""
    module = _import_one(modules[0], None)
    for index in range(1, len(modules) if names else len(modules) - 1):
        name = ".".join(modules[: index + 1])
        if not names and hasattr(module, modules[index]) and not _exists(name, module):
            return module, modules[index:]
        module = _import_one(name, module)
    return module, names or modules[-1:]


def _import_one(name: str, parent: types.ModuleType | None) -> types.ModuleType:
    if not _exists(name, parent):
        raise _no_such_module(name, parent)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _failed(name, error) from error


def _exists(name: str, parent: types.ModuleType | None) -> bool:
    from importlib.util import find_spec

    if name in sys.modules:
        return True
    return (parent is None or hasattr(parent, "__path__")) and find_spec(name) is not None


def _attribute(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        raise _no_such_name(owner, name) from None
    except (Exception, SystemExit) as error:  # a package that imports its names when they are first used
        raise _failed(getattr(owner, "__name__", str(type(owner))), error) from error


def _refuse_own(path: str, module: types.ModuleType, found: Any) -> None:
    """Of this package a config may name classes, and functions of its middleware.

    Others import, read and start things by the words they are given, which would be a model's.
    """
    home = _home(found) or module.__name__
    if _top(home) != __package__ or isinstance(found, type) or f"{home}.".startswith(_OFFERED):
        return
    raise NotOffered(
        f"{path!r} is refused: it is a part of auwgent that no config may name",
        "name a class, or a function of your own or of `auwgent.middleware`",
    )


def _check_module(path: str, module: types.ModuleType, allow: Sequence[str]) -> None:
    name = module.__name__
    allowed = _covered(name, allow) or any(sys.modules.get(other) is module for other in allow)
    if _top(name) in sys.stdlib_module_names and not allowed:
        raise _standard_library(path, name)


def _covered(name: str, allow: Sequence[str]) -> bool:
    return any(f"{name}.".startswith(f"{module}.") for module in allow)


def _top(module: str) -> str:
    return module.partition(".")[0]


def _home(found: Any) -> str:
    """Return the module a class or function was made in; nothing for an object, which is its own module's work."""
    while type(found).__name__ == "partial" and hasattr(found, "func"):
        found = found.func
    routine = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodDescriptorType)
    if not isinstance(found, (type, *routine)):
        return ""
    # Methods of built-in objects name no module, but their object's class does.
    owner = getattr(found, "__objclass__", None) or type(getattr(found, "__self__", None))
    home = getattr(found, "__module__", None) or owner.__module__
    return home if isinstance(home, str) else ""


def _refuse_clash(name: str) -> None:
    """Refuse a module name that another config uses: Python would silently give this config that module."""
    from importlib.machinery import PathFinder
    from pathlib import Path

    loaded = getattr(sys.modules.get(name), "__file__", None)
    others = _added.difference(_current[-1]) if _current else ()
    if not loaded or not any(Path(loaded).is_relative_to(folder) for folder in others):
        return
    own = PathFinder.find_spec(name, list(_current[-1]))
    if own is not None and own.origin != loaded:
        raise ModuleClash(
            f"{own.origin or name} has the name of {loaded}, which another config uses in this process",
            "rename one of them, or run the two configs in two processes",
        )


def _failed(module: str, error: BaseException) -> ModuleFailed:
    """Return the failure, with the traceback from the user's first line on."""
    import traceback

    trace = error.__traceback__
    while trace is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    return ModuleFailed(f"your module {module!r} failed while importing", "".join(lines).rstrip())


def _is_machinery(file: str) -> bool:
    return file in (__file__, importlib.__file__) or file.startswith("<frozen importlib")


def _standard_library(path: str, module: str, more: str = "") -> StandardLibrary:
    return StandardLibrary(
        f"{path!r} is refused: {_top(module)!r} belongs to Python's standard library",
        f"if you mean it, name it in `[imports] allow`{more}",
    )


def _no_such_module(name: str, parent: types.ModuleType | None) -> NoSuchModule:
    from pkgutil import iter_modules

    head, _, tail = name.rpartition(".")
    if parent is not None:
        near = _near(tail, [module.name for module in iter_modules(getattr(parent, "__path__", ()))])
        return NoSuchModule(f"no such module: {name!r} ({head!r} exists)", near)
    folders = _current[-1] if _current else ()
    known = {module.name for module in iter_modules(folders)} | {_top(module) for module in sys.modules}
    near = _near(tail, sorted(known - sys.stdlib_module_names))
    where = f"neither installed nor in {', '.join(folders)}" if folders else "not installed"
    return NoSuchModule(f"no such module: {name!r}", near or f"it is {where}")


def _no_such_name(owner: Any, name: str) -> NoSuchName:
    if not isinstance(owner, types.ModuleType):
        return NoSuchName(f"{getattr(owner, '__name__', owner)!r} has no {name!r}", _near(name, dir(owner)))
    if _exists(f"{owner.__name__}.{name}", owner):
        return _is_module(f"{owner.__name__}.{name}")
    read = getattr(owner, "__file__", None)
    hint = _near(name, dir(owner)) or (f"it was read from {read}" if read else "")
    return NoSuchName(f"module {owner.__name__!r} has no {name!r}", hint)


def _is_module(path: str) -> NoSuchName:
    return NoSuchName(f"{path!r} is a module", f"name something in it: `{path}.Name`")


def _near(name: str, known: Iterable[str]) -> str:
    from auwgent.words import did_you_mean  # late: an `import auwgent` loads no more than it must

    return did_you_mean(name, [other for other in known if not other.startswith("__")])
