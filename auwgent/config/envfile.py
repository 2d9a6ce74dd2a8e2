"""The `.env` beside a config: values for `${…}` and the providers' keys, below the process's environment."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from auwgent.config.document import Document, content, is_file
from auwgent.config.keys import Finding
from auwgent.config.overrides import PREFIX
from auwgent.errors import ConfigError

DEFAULT = ".env"

log = logging.getLogger("auwgent.config")


def values_beside(
    document: Document, profile: str | None, overrides: Sequence[str], environ: Mapping[str, str]
) -> dict[str, str]:
    """Read the file that `env_file` names, or `.env` where there is one. Our own variables in it are left out."""
    named = _named(document.tree, profile, overrides, environ)
    if named is None and document.text is not None and is_file(Path(document.source)):
        named = DEFAULT
    if not isinstance(named, str) or not named:
        return {}
    path = document.folder / named
    if named == DEFAULT and not path.exists():
        return {}
    try:
        text = content(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = (
            "it is not UTF-8"
            if isinstance(error, UnicodeError)
            else getattr(error, "strerror", None) or error
        )
        raise ConfigError(
            [document.problem(Finding(("env_file",), f"`env_file`: {str(path)!r} cannot be read: {reason}"))]
        ) from None
    from dotenv import dotenv_values  # few configs have such a file

    read = dotenv_values(stream=io.StringIO(text), interpolate=False)
    ours = sorted(name for name in read if name.startswith(PREFIX))
    if ours:
        log.warning("%s: %s ignored; set such variables in the environment", path, ", ".join(ours))
    return {name: read[name] or "" for name in read if name not in ours}


def _named(
    tree: Mapping[str, Any], profile: str | None, overrides: Sequence[str], environ: Mapping[str, str]
) -> Any:
    """Return what `env_file` is set to, before anything else is known of the config; None where it is not."""
    for text in reversed(overrides):
        name, _, value = text.partition("=")
        if name.strip() == "env_file":
            return False if value.strip() == "false" else value.strip()
    if (given := environ.get(f"{PREFIX}ENV_FILE")) is not None:
        return False if given == "false" else given
    profiles = tree.get("profiles")
    laid_over = profiles.get(profile) if isinstance(profiles, Mapping) else None
    if isinstance(laid_over, Mapping) and "env_file" in laid_over:
        return laid_over["env_file"]
    return tree.get("env_file")
