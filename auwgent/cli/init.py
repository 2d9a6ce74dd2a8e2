"""`auwgent init`: a config to start from."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from auwgent.cli.starters import EMBEDDED, STARTERS, Starter, key_variable, starter
from auwgent.errors import ConfigError, Problem
from auwgent.imports import packaged_file
from auwgent.keystore import Filled, StoredKeys
from auwgent.models.local import weights
from auwgent.models.providers import PROVIDERS, is_provider, near_provider
from auwgent.secrecy import unsendable

DEFAULT_FILE = "auwgent.toml"

# Offered where no API key is found.
_WITHOUT_KEYS = ("openai", "anthropic", "gemini")

_NO_KEY = """\
No API key was found. For another provider, or a small model in this process that needs none:
  auwgent init other.toml --provider anthropic
  auwgent init local.toml --provider local
`auwgent providers` lists all providers."""

EXAMPLES = """\b
Examples:
  auwgent init
  auwgent init --provider anthropic
  auwgent init --model openai/gpt-5-mini
  auwgent init team.toml --provider azure --model my-deployment
"""


@click.command("init", epilog=EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path), default=DEFAULT_FILE)
@click.option(
    "--provider",
    metavar="P",
    help="The provider: openai, anthropic, ollama_chat …, or local, which needs no key.",
)
@click.option("--model", metavar="M", help="The provider's name for the model; provider/model says both.")
def command(file: Path, provider: str | None, model: str | None) -> None:
    """Write a commented config to FILE (auwgent.toml), never over an existing one.

    On a terminal it asks for what the options leave open: the provider, those with an API key in the environment
    first, and the model. Elsewhere it takes the first provider with a key, else the embedded model where
    auwgent[local] is installed, else openai, and says how to store its key.
    """
    if file.exists():
        raise _taken(file)
    known = Filled(os.environ, StoredKeys())
    somebody = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    if somebody:
        provider, model = ask(provider, model, known)
    unguided = provider is None and model is None
    provider, model = choose(provider, model, known)
    key = key_variable(provider, known)
    _write_new(file, starter(provider, model, key))
    lacking = key if not known.get(key) else ""
    if lacking and somebody:
        lacking = _ask_key(provider, lacking)
    click.echo(f"{file} is written, for {provider}/{model}. Next:", err=True)
    for line in next_steps(file, provider, model, lacking):
        click.echo(f"  {line}", err=True)
    if unguided and lacking:
        click.echo(_NO_KEY, err=True)


def ask(provider: str | None, model: str | None, environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Ask for what was not said and has no obvious answer."""
    nothing_said = provider is None and model is None
    if provider is None and "/" not in (model or ""):
        provider = _ask_provider(with_keys(environ), environ)
    known = STARTERS.get(provider or "", Starter()).model
    if model is None and (nothing_said or not known):
        model = click.prompt(f"Model of {provider}", default=known or None, err=True)
    return provider, model


def _ask_provider(offered: Sequence[str], environ: Mapping[str, str]) -> str:
    rows = [(name, f"{key_variable(name, environ)} is set") for name in offered]
    rows = rows or [(name, "asks for its API key") for name in _WITHOUT_KEYS]
    first = offered[0] if offered else _keyless()
    note = (
        "no key, and no network once it is fetched"
        if _has_local()
        else "no key; pip install 'auwgent[local]'"
    )
    rows.append((EMBEDDED, f"a small model in this process: {note}"))
    width = max(len(name) for name, _ in rows)
    for number, (name, note) in enumerate(rows, start=1):
        click.echo(f"  {number}  {name:<{width}}  {note}", err=True)
    click.echo("     or any other by its name, such as ollama_chat; `auwgent providers` lists them", err=True)

    def read(text: str) -> str:
        if text.isdecimal() and 0 < int(text) <= len(rows):
            return rows[int(text) - 1][0]
        if not is_provider(text):
            raise click.BadParameter(near_provider(text) or f"1 to {len(rows)}, or a provider's name")
        return text

    answer: str = click.prompt("Provider", default=first, value_proc=read, err=True)
    return answer


def _ask_key(provider: str, variable: str) -> str:
    """Offer to keep the key; gives the variable that is still lacking then, if it is."""
    question = f"API key of {provider}, to be kept by `auwgent keys` (Enter: later)"
    key = click.prompt(question, default="", show_default=False, hide_input=True, err=True).strip()
    if not key:
        return variable
    if wrong := unsendable(key):
        click.echo(f"This cannot be a key: it {wrong}.", err=True)
        return variable
    StoredKeys()[variable] = key
    return ""


def choose(provider: str | None, model: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the provider and its model: what was asked for, the rest from the environment and the known ones."""
    prefix, slash, rest = (model or "").partition("/")
    if provider is None and slash and rest:
        provider, model = prefix, rest
    elif provider is not None and slash and prefix == provider:
        model = rest
    if provider is None:
        known = [name for name, one in STARTERS.items() if model or one.model]
        provider = next((name for name in with_keys(environ) if name in known), "")
        if model and not provider:
            raise click.UsageError(f"{model} needs a provider: write --model PROVIDER/{model}")
        provider = provider or _keyless()
    if not is_provider(provider):
        near = near_provider(provider) or "`auwgent providers` lists them"
        raise click.BadParameter(f"there is no provider {provider!r}; {near}")
    model = model or STARTERS[provider].model if provider in STARTERS else model
    if not model:
        raise click.UsageError(f"{provider} has no default model; add --model NAME")
    return provider, model


def with_keys(environ: Mapping[str, str]) -> list[str]:
    """Return the providers whose keys are in the environment, those that `init` knows a model of first."""
    names = dict.fromkeys([*STARTERS, *PROVIDERS])
    return [name for name in names if any(environ.get(each) for each in _keys_of(name))]


def next_steps(file: Path, provider: str, model: str, lacking: str) -> list[str]:
    """Commands to run now, in this order. `lacking` is the variable that has to be set first."""
    option = "" if str(file) == DEFAULT_FILE else f" -c {shlex.quote(str(file))}"
    steps = [f'auwgent run{option} "Hello"']
    if provider == EMBEDDED:
        if model in weights.KNOWN and not weights.place(model).is_file():
            steps.insert(0, f"auwgent model pull {model}")
        if not _has_local():
            steps.insert(0, "pip install 'auwgent[local]'")
    if lacking:
        steps.insert(0, f"auwgent keys set {provider}  # or {lacking}=… in the environment, or in .env")
    return steps


def _has_local() -> bool:
    return packaged_file("xllamacpp", "__init__.py") is not None


def _keyless() -> str:
    """Return the provider to begin with where no key is found: the one that takes the fewest steps."""
    return EMBEDDED if _has_local() else _WITHOUT_KEYS[0]


def _keys_of(provider: str) -> tuple[str, ...]:
    return PROVIDERS[provider].env if provider in PROVIDERS else ()


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise _taken(file) from None
    except OSError as error:
        raise ConfigError([Problem(f"cannot be written: {error.strerror}", source=str(file))]) from None


def _taken(file: Path) -> ConfigError:
    hint = "choose another name, or remove it first"
    return ConfigError([Problem("there is a file already; it is left as it is", source=str(file), hint=hint)])
