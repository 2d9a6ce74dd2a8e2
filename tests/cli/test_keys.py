"""`auwgent keys`: what is kept, where, and what comes before it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import Command

pytestmark = pytest.mark.process

KEY = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyz"
CONFIG = """\
[agent]
model = "openai/gpt-5-mini"

[api_keys]
openai = "${OPENAI_API_KEY}"
"""
BACKEND = """\
import json
from pathlib import Path

import keyring.backend
from keyring.errors import PasswordDeleteError

FILE = Path(__file__).with_name("held.json")


class Held(keyring.backend.KeyringBackend):
    priority = 1

    def _held(self):
        return json.loads(FILE.read_text()) if FILE.exists() else {}

    def get_password(self, service, username):
        return self._held().get(f"{service} {username}")

    def set_password(self, service, username, password):
        FILE.write_text(json.dumps({**self._held(), f"{service} {username}": password}))

    def delete_password(self, service, username):
        held = self._held()
        if held.pop(f"{service} {username}", None) is None:
            raise PasswordDeleteError("none")
        FILE.write_text(json.dumps(held))


class Locked(Held):
    def get_password(self, service, username):
        raise RuntimeError("it is locked")
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data" / "auwgent"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """No keyring, unless a test says otherwise."""
    return {
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "OPENAI_API_KEY": "",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }


@pytest.fixture
def keyring(tmp_path: Path, env: dict[str, str]) -> dict[str, str]:
    (tmp_path / "held_keys.py").write_text(BACKEND)
    return {**env, "PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": "held_keys.Held"}


def checked(auwgent: Command, env: dict[str, str]) -> int:
    (auwgent.folder / "auwgent.toml").write_text(CONFIG)
    code: int = auwgent("check", env=env).returncode
    return code


def test_without_a_keyring_a_private_file_keeps_the_key(
    auwgent: Command, env: dict[str, str], data: Path
) -> None:
    assert checked(auwgent, env) == 2
    done = auwgent("keys", "set", "openai", stdin=f"{KEY}\n", env=env)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"The key of openai is in {data / 'keys.json'}; it stands for OPENAI_API_KEY." in done.stderr
    assert (data / "keys.json").stat().st_mode & 0o777 == 0o600
    assert data.stat().st_mode & 0o777 == 0o700
    assert checked(auwgent, env) == 0
    listed = auwgent("keys", "list", env=env)
    assert listed.stdout.split() == ["OPENAI_API_KEY", "in", str(data / "keys.json")]
    assert KEY not in done.stderr + listed.stdout + listed.stderr
    assert auwgent("keys", "delete", "openai", env=env).returncode == 0
    assert KEY not in (data / "keys.json").read_text()
    assert checked(auwgent, env) == 2
    assert auwgent("keys", "delete", "openai", env=env).returncode == 2


def test_a_keyring_that_is_there_keeps_the_key(
    auwgent: Command, keyring: dict[str, str], data: Path, tmp_path: Path
) -> None:
    done = auwgent("keys", "set", "openai", stdin=KEY, env=keyring)
    assert "is in the system's keyring" in done.stderr, done.stderr
    assert json.loads((data / "keys.json").read_text()) == {"OPENAI_API_KEY": None}
    assert json.loads((tmp_path / "held.json").read_text()) == {"auwgent OPENAI_API_KEY": KEY}
    assert checked(auwgent, keyring) == 0
    rows = json.loads(auwgent("keys", "list", "--json", env=keyring).stdout)
    assert rows == [{"variable": "OPENAI_API_KEY", "in": "the system's keyring", "hidden_by": None}]
    locked = auwgent("check", env={**keyring, "PYTHON_KEYRING_BACKEND": "held_keys.Locked"})
    assert locked.returncode == 1
    assert "OPENAI_API_KEY is in the system's keyring, which cannot be asked" in locked.stderr
    assert auwgent("keys", "delete", "openai", env=keyring).returncode == 0
    assert json.loads((tmp_path / "held.json").read_text()) == {}


def test_the_environment_comes_first_then_the_env_file(
    auwgent: Command, env: dict[str, str], tmp_path: Path
) -> None:
    auwgent("keys", "set", "openai", stdin=KEY, env=env)
    (tmp_path / "auwgent.toml").write_text('[agent]\nmodel = "scripted/echo"\nprompt = "${OPENAI_API_KEY}"\n')

    def in_force(**more: str) -> str:
        shown = auwgent("config", "show", env={**env, **more}).stdout
        return next(line for line in shown.splitlines() if line.startswith("prompt"))

    kept = in_force()
    (tmp_path / ".env").write_text("OPENAI_API_KEY=from-the-env-file\n")
    assert in_force() == 'prompt = "from-the-env-file"'
    assert in_force(OPENAI_API_KEY="from-the-shell") == 'prompt = "from-the-shell"'
    assert kept != in_force()


def test_a_provider_s_key_needs_no_table(auwgent: Command, env: dict[str, str]) -> None:
    auwgent("keys", "set", "openai", stdin=KEY, env=env)
    (auwgent.folder / "auwgent.toml").write_text('agent.model = "openai/gpt-5-mini"\n')
    assert auwgent("check", env=env).returncode == 0
    told = auwgent("providers", env=env).stdout.splitlines()[0]
    assert told.endswith("there, from OPENAI_API_KEY, kept by `auwgent keys`")
    assert KEY not in told


@pytest.mark.parametrize(
    ("args", "stdin", "words"),
    [
        (["set", "opnai"], KEY, "there is no provider 'opnai'; did you mean `openai`?"),
        (["set", "ollama_chat"], KEY, "ollama_chat takes no API key"),
        (["set", "openai"], "", "there is no key: type it, or pipe it in"),
        (["set", "openai"], "a\nkey", "this cannot be a key"),
        (["delete", "openai"], "", "no key of openai is kept"),
    ],
)
def test_what_cannot_be_is_refused(
    auwgent: Command, env: dict[str, str], data: Path, args: list[str], stdin: str, words: str
) -> None:
    done = auwgent("keys", *args, stdin=stdin, env=env)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert not (data / "keys.json").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"OPENAI_API_KEY": 3}'])
def test_a_file_that_is_broken_is_named_and_left_alone(
    auwgent: Command, env: dict[str, str], data: Path, text: str
) -> None:
    data.mkdir(parents=True)
    (data / "keys.json").write_text(text)
    done = auwgent("keys", "set", "openai", stdin=KEY, env=env)
    assert (done.returncode, "keys.json" in done.stderr) == (1, True)
    assert (data / "keys.json").read_text() == text


def test_the_key_is_typed_unseen(auwgent: Command, env: dict[str, str], data: Path) -> None:
    with auwgent.on_terminal("keys", "set", "openai", env=env) as terminal:
        terminal.until("API key of openai: ")
        terminal.type(f"{KEY}\r")
        assert terminal.ended() == 0
        assert KEY not in terminal.unread
    assert KEY in (data / "keys.json").read_text()
