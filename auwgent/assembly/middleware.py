"""Middleware from its dotted paths: found, made with its options, and limited to its agents."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from auwgent import middleware as ours
from auwgent.assembly.workbench import Key, Workbench, name_of
from auwgent.config import Config, MiddlewareEntry
from auwgent.config.queue import WHY
from auwgent.errors import ConfigError
from auwgent.hooks.names import HOOKS, METHODS, misspelt_hooks
from auwgent.hooks.pipeline import Installed
from auwgent.middleware.kept import Configured, InFolder
from auwgent.store.sessions import Sessions
from auwgent.words import describe

if TYPE_CHECKING:
    from auwgent.middleware.redact import Redact

T = TypeVar("T")


def middleware(bench: Workbench, more: Sequence[Installed]) -> list[Installed]:
    """Return the middleware of the config, one instance each, in listed order, and `more` behind them."""
    made = (_install(bench, ("middleware", n), entry) for n, entry in enumerate(bench.config.middleware))
    for one in more:
        check_targets(bench, ("middleware",), one)
    installed = [*(one for one in made if one is not None), *more]
    instances = [one.instance for one in installed]
    for store in instances:
        if isinstance(store, Sessions):
            store.companions.add(instances)
    _check_queue(bench, [one for one in instances if isinstance(one, Sessions)])
    return installed


def _check_queue(bench: Workbench, stores: Sequence[Sessions]) -> None:
    """Refuse a queue where the sessions are not in a database that many machines share."""
    if bench.config.queue is None or bench.problems or bench.known:
        return
    hint = 'give auwgent.middleware.SQLModelSessions the url "postgresql://…"'
    if not stores:
        bench.problem(("queue",), "[queue] needs a store of sessions, which keeps what is queued", hint)
    elif stores[0].is_of_one_machine:
        bench.problem(("queue",), f"[queue] needs PostgreSQL as the store of the sessions: {WHY}", hint)


def companions(config: Config) -> list[Redact]:
    """Return the bundled middleware that keeps something beside the sessions of a config, as `bundled` does."""
    named = {name for entry in config.middleware if isinstance(name := entry.use, str)}
    names = ("auwgent.middleware.Redact", "auwgent.middleware.redact.Redact")
    return (
        bundled(config, ours.Redact)
        if named & {*names, *(":".join(name.rsplit(".", 1)) for name in names)}
        else []
    )


def bundled(config: Config, kind: type[T]) -> list[T]:
    """Return the bundled middleware of that class, not opened. Nothing of the user's is imported or run for it.

    So it may be done with a config of strangers, to look at what it keeps.
    """
    bench, made = Workbench(config), []
    for index, entry in enumerate(config.middleware):
        if names_bundled(entry.use, kind):
            made.append(_instance(bench, ("middleware", index), kind, entry))
            if isinstance(made[-1], InFolder):
                made[-1].folder = config.folder
    if bench.problems:
        raise ConfigError(bench.problems)
    return made


def names_bundled(use: Any, kind: type) -> bool:
    """Return whether an entry names this class of ours."""
    names = (f"auwgent.middleware.{kind.__name__}", f"{kind.__module__}.{kind.__name__}")
    return isinstance(use, str) and use.replace(":", ".") in names


def odd_orders(installed: Sequence[Installed]) -> Iterator[tuple[int, str]]:
    """Yield middleware listed where it cannot do its job: its index, and why."""
    for place, one in enumerate(installed):
        if not isinstance(one.instance, Configured):
            continue
        before = [other.name for other in installed[:place] if other.name in one.instance.before]
        after = [other.name for other in installed[place + 1 :] if other.name in one.instance.behind]
        if before:
            names = ", ".join(before)
            yield (
                place,
                f"{one.name} is listed after {names}: there its work comes too late, or seems to",
            )
        if after:
            yield (
                place,
                f"{one.name} is listed before {', '.join(after)}: it begins without the stored history",
            )


def _install(bench: Workbench, key: Key, entry: MiddlewareEntry) -> Installed | None:
    found = bench.resolve(key, entry.use)
    if found is None:
        return None
    has_any = any(callable(getattr(found, name, None)) for name in METHODS)
    if inspect.isclass(found) and not has_any and not misspelt_hooks(found):
        bench.problem(
            key,
            f"{name_of(entry.use)} is not a middleware: it has none of the hooks {', '.join(HOOKS)}",
        )
        return None
    if not bench.config.is_whole(key):
        return None
    instance = _instance(bench, key, found, entry) if inspect.isclass(found) else found
    if instance is None:
        return None
    if isinstance(instance, InFolder) and instance.folder is None:
        instance.folder = bench.config.folder
    made: Installed | None = bench.attempt(
        key, partial(Installed.of, instance, target=entry.target, on_error=entry.on_error)
    )
    if made is not None:
        check_targets(bench, key, made)
    return made


def _instance(bench: Workbench, key: Key, cls: type, entry: MiddlewareEntry) -> Any:
    try:
        inspect.signature(cls).bind(**entry.options)
    except TypeError as error:
        names = [name for name in inspect.signature(cls).parameters if name not in ("args", "kwargs")]
        bench.problem(
            key,
            f"{name_of(entry.use)} does not take these options: {error}",
            f"its options: {', '.join(names)}" if names else "it takes no options",
        )
        return None
    except ValueError:
        pass  # a class written in C may have no signature to look at
    try:
        return cls(**entry.options)
    except Exception as error:
        bench.problem(key, f"{name_of(entry.use)} could not be made: {describe(error)}")
        return None


def check_targets(bench: Workbench, key: Key, made: Installed) -> None:
    """Refuse agents that this config does not have: the hooks would never fire."""
    known = [bench.config.agent.name, *bench.config.helpers]
    for name in sorted((made.targets or frozenset()) - set(known)):
        if not bench.known:
            words = f"target {name!r} of {made.name!r} is not an agent of this config"
            bench.problem(key, words, f"agents: {', '.join(known)}")
