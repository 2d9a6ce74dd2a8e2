"""No secret is ever printed: not in errors, not by `config show`."""

from __future__ import annotations

import pytest

from auwgent.config.secrets import follows_flag, is_argument, is_secret, masked, masked_argument

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


def test_a_text_that_is_no_toml_shows_no_secret_either(wrong: object) -> None:
    assert callable(wrong)
    for text in (
        f'[api_keys]\nopenai = "{CANARY}\n',
        f"[api_keys] # all of them\n\nopenai = {CANARY}\n",
        f"[models.main]\napi_key = {CANARY}\n",
        f"[models.main.headers]\nX = '{CANARY}\n",
        f"api_keys = {{ openai = {CANARY} }}\n",
        f"[mcp.x.env]\n{CANARY}\n",
        f"url = https://user:{CANARY}@host\n",
    ):
        assert CANARY not in "\n".join(map(str, wrong(text)))
