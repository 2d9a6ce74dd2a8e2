"""What is secret by its name or its shape, and texts without it."""

from __future__ import annotations

import pytest

from auwgent.middleware.redact.finder import Finder
from auwgent.middleware.redact.kinds import PATTERNS
from auwgent.secrecy import (
    follows_flag,
    is_argument,
    is_secret,
    is_secret_name,
    masked,
    masked_argument,
    scrubbed,
    secrets_in,
    without_secrets,
)

CANARY = "c4n4ry-0123456789"


@pytest.mark.parametrize(
    "key",
    [
        ("api_keys", "openai"),
        ("models", "main", "api_key"),
        ("models", "main", "headers", "X-Team"),
        ("mcp", "time", "env", "TZ"),
        ("mcp", "time", "headers", "Authorization"),
        ("middleware", 0, "password"),
        ("middleware", 0, "auth_token"),
        ("middleware", 0, "encryption_key"),
        ("middleware", 0, "encrypton_key"),
        ("context", "clientSecret"),
        ("middleware", 0, "key"),
        ("middleware", 0, "access_key"),
        ("middleware", 0, "basic_auth"),
        ("middleware", 0, "headers", 0),
        ("middleware", 0, "bearer"),
        ("models", "main", "params", "extra_headers", "x"),
        ("api_kyes", "openai"),
        ("apikeys", "openai"),
        ("models", "main", "apikey"),
        ("models", "main", "heders", "X"),
    ],
)
def test_values_of_such_keys_are_secret(key: tuple[str | int, ...]) -> None:
    assert is_secret(key)


@pytest.mark.parametrize(
    "key",
    [
        ("agent", "model"),
        ("agent", "prompt"),
        ("agent", "helpers"),
        ("limits", "tokens"),
        ("models", "main", "params", "max_tokens"),
        ("models", "main", "base_url"),
        ("context", "user_name"),
        ("context", "sort_key"),
        ("context", "keywords"),
        ("middleware", 0, "author"),
        ("helpers", "Researcher", "handoff"),
    ],
)
def test_values_of_other_keys_are_not(key: tuple[str | int, ...]) -> None:
    assert not is_secret(key)


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        (f"--api-key={CANARY}", f"--api-key={'*' * 17}"),
        (f"-e=TOKEN={CANARY}", f"-e=TOKEN={'*' * 17}"),
        (f"GITHUB_TOKEN={CANARY}", f"GITHUB_TOKEN={'*' * 17}"),
        (f"Authorization: Bearer {CANARY}", f"Authorization: Bearer {'*' * 17}"),
        (f"curl -H 'X-Api-Key: {CANARY}' x", f"curl -H 'X-Api-Key: {'*' * 17}' x"),
        (f"serve --token {CANARY} --port 80", f"serve --token {'*' * 17} --port 80"),
        ("--token=${TOKEN}", "--token=${TOKEN}"),
        ("--max-tokens=5", "--max-tokens=5"),
        ("mcp-server-secrets --port 80", "mcp-server-secrets --port 80"),
        ("@scope/token-server", "@scope/token-server"),
    ],
)
def test_of_a_programs_argument_only_what_is_secret_is_hidden(argument: str, shown: str) -> None:
    assert masked_argument(argument) == shown


def test_what_follows_a_flag_is_as_secret_as_its_name() -> None:
    arguments = ["-y", "server", "--api-key", "a", "--port", "80", "--header", "b", "-p"]
    assert [arguments[n] for n in range(len(arguments)) if follows_flag(arguments, n)] == ["a", "b"]
    assert is_argument(("mcp", "x", "args", 0))
    assert not is_argument(("agent", "prompt", 0))


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://user:{CANARY}@db.example/x",
        f"https://:{CANARY}@proxy.example",
        f"postgresql://user:p@{CANARY}@db.example/x",
        f"postgresql://user:p@/{CANARY}@db.example/x",
        f"https://{CANARY}@llm.example/v1",
        f'url = "https://host/path?api_key={CANARY}&x=1"',
        f"https://host/?sig={CANARY}",
        f"model = sk-{CANARY}",
        f"hf_{CANARY}",
        f"AIza{CANARY}",
        f"eyJ{CANARY}.{CANARY}",
        f"{CANARY}{CANARY}{CANARY}",
    ],
)
def test_what_looks_like_a_secret_is_hidden_wherever_it_stands(text: str) -> None:
    assert CANARY not in masked(text)
    assert len(masked(text)) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://llm.example/v1",
        "postgresql://user@db.example/x?sslmode=require",
        "https://user:${PASSWORD}@llm.example",
        "anthropic/claude-sonnet-4-5-20250929",
        "my_app.middleware.some_very_long_module_name.SomeVeryLongClassName",
        "`models.main.fallbacks[0]` closes a circle: main → main",
    ],
)
def test_ordinary_texts_stay_as_they_are(text: str) -> None:
    assert masked(text) == text


RANDOM = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"
KEYS = [
    f"sk-{RANDOM}", f"sk-proj-{RANDOM}", f"sk-ant-api03-{RANDOM}", f"sk-or-v1-{RANDOM}", f"AIza{RANDOM[:35]}",
    f"AQ.{RANDOM}", f"gsk_{RANDOM}", f"xai-{RANDOM}", f"pplx-{RANDOM}", f"nvapi-{RANDOM}", f"csk-{RANDOM}",
    f"fw_{RANDOM[:24]}", f"r8_{RANDOM}", f"tgp_v1_{RANDOM}", f"hf_{RANDOM}", f"ABSK{RANDOM}", "AKIAIOSFODNN7EXAMPLE",
    f"ghp_{RANDOM}", f"github_pat_{RANDOM}", f"glpat-{RANDOM[:20]}", f"xoxb-{RANDOM}", f"xapp-1-{RANDOM}",
    f"sk_live_{RANDOM}", f"rk_test_{RANDOM}", f"whsec_{RANDOM}", f"npm_{RANDOM}", f"dop_v1_{'a1' * 32}",
    f"hvs.{RANDOM}",
    f"SG.{RANDOM[:22]}.{RANDOM}", f"ya29.{RANDOM}", f"GOCSPX-{RANDOM[:28]}", f"dapi{'a1' * 16}", f"glsa_{RANDOM}",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_a_provider_a_cloud_or_a_forge_is_known_wherever_secrets_are(key: str) -> None:
    for text in (key, f"my key is {key}.", f'{{"k": "{key}"}}', f"url?x={key}&y=1"):
        assert key not in scrubbed(text)
        assert "***" in scrubbed(text)
        assert key not in masked(text)
        assert [span.kind for span in Finder(PATTERNS).spans(text)] == ["api_key"]


@pytest.mark.parametrize(
    "text",
    [
        "task-force-of-the-long-name-of-a-branch",
        "risk-assessment-of-the-whole-of-the-year",
        "the bearer token of the provider",
        "fw_version and r8_register",
        "550e8400e29b41d4a716446655440000",
        "http://localhost:8000/users/@me",
        "write to ada@example.com",
    ],
)
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert scrubbed(text) == text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:{}@db/x", "postgresql://app:p@{}@db/x", "postgresql://app:p/{}@db/x", "mysql://a:{}/b@h:1/d",
        "postgresql://db/x?user=a&password={}", "https://{}@host/x", "https://host/?api_key={}&b=1",
        "redis://:{}@host:6379/0", "http://u:{}@localhost:8000/users/@me",
    ],
)  # fmt: skip
def test_a_password_in_any_form_of_an_address_is_struck_out(url: str) -> None:
    url = url.format("c4n4ryWord")
    assert "c4n4ryWord" not in scrubbed(f"cannot reach {url}: refused")
    assert "c4n4ryWord" in "".join(secrets_in({"url": url}))
    assert any(secret == "c4n4ryWord" for secret in secrets_in({"url": url}))


@pytest.mark.parametrize(
    "name", ["password", "apiKey", "X-Api-Key", "client_secret", "clientSecret", "pass", "API_TOKEN"]
)
def test_a_field_with_such_a_name_holds_a_secret(name: str) -> None:
    assert is_secret_name(name)
    assert without_secrets({name: "x", "other": [{name: 1}]}) == {name: "***", "other": [{name: "***"}]}


@pytest.mark.parametrize(
    "name", ["max_tokens", "secretary", "keyword", "passenger", "sort_key", "author", "city", 5]
)
def test_a_field_with_another_name_does_not(name: object) -> None:
    assert not is_secret_name(name)
