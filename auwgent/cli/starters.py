"""What `auwgent init` knows about providers: a model to start with, and the address of a local server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import tomli_w

from auwgent.models.providers import provider_of


@dataclass(frozen=True, slots=True)
class Starter:
    """`model` is empty where only the user knows it, `base_url` where the provider has one address for all."""

    model: str = ""
    base_url: str = ""


EMBEDDED = "local"

# In the order in which their keys are looked for.
STARTERS: Mapping[str, Starter] = {
    "openai": Starter("gpt-5-mini"),
    "anthropic": Starter("claude-sonnet-4-5"),
    "gemini": Starter("gemini-2.5-flash"),
    "mistral": Starter("mistral-small-latest"),
    "openrouter": Starter("openai/gpt-5-mini"),
    "groq": Starter("llama-3.3-70b-versatile"),
    "deepseek": Starter("deepseek-chat"),
    "xai": Starter("grok-4"),
    "ollama_chat": Starter("llama3.2"),
    "azure": Starter(base_url="https://YOUR-RESOURCE.openai.azure.com"),
    "azure_ai": Starter(base_url="https://YOUR-RESOURCE.services.ai.azure.com"),
    "hosted_vllm": Starter(base_url="http://localhost:8000"),
    "lm_studio": Starter(base_url="http://localhost:1234"),
    "llamafile": Starter(base_url="http://localhost:8080"),
    "litellm_proxy": Starter(base_url="http://localhost:4000"),
    EMBEDDED: Starter("smollm2"),
}


def starter(provider: str, model: str, key: str) -> str:
    """Return the text of a config for `provider/model`. `key` names the variable with the API key, if it needs one."""
    base_url = STARTERS.get(provider, Starter()).base_url
    name = f"{provider}/{model}"
    blocks = [_HEAD, _AGENT.format(model=_line("model", "main" if base_url else name))]
    if key:
        blocks.append(_KEYS.format(key=_line(provider, f"${{{key}}}")))
    if base_url:
        variable = f"{provider.upper()}_API_BASE"
        blocks.append(
            _MODEL.format(use=_line("use", name), base_url=_line("base_url", f"${{{variable}:-{base_url}}}"))
        )
    return "\n".join([*blocks, _LIMITS, _TEST])


def key_variable(provider: str, environ: Mapping[str, str]) -> str:
    """Return the variable that has the provider's key, else the usual one; empty where it needs none."""
    known = provider_of(provider)
    if not known.needs_key and not known.env:
        return ""
    found = next((name for name in known.env if environ.get(name)), "")
    return found or (known.env[0] if known.needs_key else "")


def _line(key: str, value: str) -> str:
    return tomli_w.dumps({key: value}).rstrip()


_HEAD = """\
#:schema ./auwgent.schema.json
# The line above is for your editor: `auwgent schema > auwgent.schema.json` writes what it points to.

# What hooks into every run, in this order. Without the key it is this one, which keeps the sessions in
# .auwgent/sessions.db beside this file; with it, exactly what is listed runs.
# middleware = ["auwgent.middleware.SQLModelSessions"]
"""

_AGENT = '''\
[agent]
{model}
prompt = """
You are a friendly assistant. Answer briefly.
"""
# Python functions the model may call: their signature and docstring are all it needs.
# For one run: auwgent run --tool my_tools.get_weather "Is it warm in Lisbon?"
# tools = ["my_tools.get_weather"]
# The shape of the answer; for one run: auwgent run --schema report.json "…"
# output = {{ file = "report.json" }}
'''

_KEYS = """\
[api_keys]
# From the environment, a .env beside this file, or `auwgent keys set`, so that this file can be shared.
{key}
"""

_MODEL = """\
[models.main]
{use}
{base_url}
"""

_LIMITS = """\
[limits]
llm_calls = 25 # model calls in one run

# Of `auwgent serve`, which answers over HTTP on this machine. Other hosts need tokens.
# [serve]
# port = 8000
# [[serve.tokens]]
# token = "${AGENT_TOKEN}"
# user = "me"
"""

_TEST = """\
# `auwgent test --record` asks the model and writes the tape; `auwgent test` plays it, without a key or a network.
[[test]]
name = "it says hello"
input = "Hello!"
tape = "tapes/hello.jsonl"
expect = { status = "completed", max_llm_calls = 1 }
"""
