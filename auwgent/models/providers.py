"""The provider table: what is known about each one without LiteLLM, such as its key and base URL."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from auwgent.models.base import ModelSpec
from auwgent.models.listed import provider_names
from auwgent.secrecy import unsendable
from auwgent.words import did_you_mean, nearest


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider: where its key and its address are, and all that is different with it. Both routes read this.

    A new quirk of a provider is a field here, read where it matters, with a test over HTTP.
    """

    name: str
    # Keys. Without `needs_key` it may do without one: a server of the user's own, or credentials of another kind.
    env: tuple[str, ...] = ()  # variables its key may be in, the usual one first
    tokens: tuple[str, ...] = ()  # variables of other credentials, which LiteLLM finds by itself
    needs_key: bool = True
    note: str = ""  # what else it needs
    # Addresses.
    path: str = "/v1"  # what LiteLLM wants behind the host
    exact: bool = False  # nothing else may stand there
    vectors: str | None = None  # the same for embeddings, where it is another
    chat: str | None = (
        None  # its endpoint for OpenAI's chat wire format; "": only the user knows it, None: it has none
    )
    speaks: str = "chat"  # the wire format in which it is asked directly, by its module in `formats`
    home: str = ""  # its endpoint for that format, where it is another than OpenAI's chat
    # What it can read.
    urls: Literal["images", "https", "none"] = (
        "images"  # which media it fetches itself; "https": files as well
    )
    text_alone: bool = False  # it reads no media at all
    result_images: bool = False  # images may stand in the results of tools
    thoughts_back: bool = True  # it takes `reasoning_content` back beside the calls that followed it
    tools_beside_calls: bool = False  # it refuses calls in a history where the request has no tools
    in_a_row: bool = False  # it takes several turns of one role in a row
    references: bool = True  # False: `$ref` in a schema is refused, or read wrongly on the way
    # What it can write.
    native_output: Literal["always", "alone", "never"] = (
        "never"  # keeps to a JSON Schema; "alone": only without tools
    )
    # What its endpoint wants in a request, and gives in an answer.
    body: Mapping[str, Any] = field(
        default_factory=dict
    )  # sent by the direct route unless the params say otherwise
    limit_name: str = "max_tokens"  # what its own endpoint calls that limit now
    stream_options: bool = True  # False: it refuses to be asked for the usage of a stream
    whole_answers: bool = True  # False: LiteLLM cannot read them, so that it is always asked for a stream
    # Models that run in this process: the class, as `module:name`, and their window in tokens.
    model: str = ""
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """Models of one make, whoever serves them, known by their names: their own API or chat template wants this."""

    names: str  # a pattern over `provider/model` in lower case
    nine_letter_ids: bool = False  # call ids of exactly nine letters and digits
    alternates: bool = False  # no two turns of one role in a row
    needs_limit: bool = False  # a request without `max_tokens` is refused, or costs the most there is
    marks_cache: bool = False  # what is to be cached has to be marked


FAMILIES = (
    Family(r"^anthropic/|claude", alternates=True, needs_limit=True, marks_cache=True),
    Family(
        r"mistral|mixtral|codestral|ministral|pixtral|magistral|devstral",
        nine_letter_ids=True,
        alternates=True,
    ),
    Family(r"gemini|gemma|llama-?2|deepseek|sonar", alternates=True),
)
NO_FAMILY = Family("")

OLLAMA = "http://localhost:11434/v1"


def _own_server(name: str, *env: str, **more: Any) -> Provider:
    return Provider(name, env, needs_key=False, chat="", **more)


PROVIDERS: Mapping[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider(
            "openai",
            ("OPENAI_API_KEY",),
            chat="https://api.openai.com/v1",
            in_a_row=True,
            native_output="always",
            limit_name="max_completion_tokens",
        ),
        Provider(
            "anthropic",
            ("ANTHROPIC_API_KEY",),
            ("ANTHROPIC_AUTH_TOKEN",),
            path="",
            exact=True,
            speaks="anthropic",
            home="https://api.anthropic.com",
            urls="https",
            result_images=True,
            thoughts_back=False,
            tools_beside_calls=True,
        ),
        Provider(
            "gemini",
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            path="/v1beta",
            exact=True,
            speaks="gemini",
            home="https://generativelanguage.googleapis.com",
            urls="none",
            references=False,
            native_output="alone",
            thoughts_back=False,
        ),
        Provider(
            "mistral",
            ("MISTRAL_API_KEY",),
            chat="https://api.mistral.ai/v1",
            native_output="alone",
            stream_options=False,
            thoughts_back=False,
        ),
        Provider(
            "openrouter",
            ("OPENROUTER_API_KEY", "OR_API_KEY"),
            path="/api/v1",
            chat="https://openrouter.ai/api/v1",
            body={"usage": {"include": True}},
        ),
        Provider(
            "groq",
            ("GROQ_API_KEY",),
            chat="https://api.groq.com/openai/v1",
            whole_answers=False,
            thoughts_back=False,
        ),
        Provider("deepseek", ("DEEPSEEK_API_KEY",), chat="https://api.deepseek.com/v1", text_alone=True),
        Provider("xai", ("XAI_API_KEY",), chat="https://api.x.ai/v1", in_a_row=True),
        Provider(
            "together_ai",
            ("TOGETHER_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_TOKEN"),
            chat="https://api.together.ai/v1",
        ),
        Provider(
            "fireworks_ai",
            ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY", "FIREWORKSAI_API_KEY", "FIREWORKS_AI_TOKEN"),
        ),
        Provider("cerebras", ("CEREBRAS_API_KEY",), chat="https://api.cerebras.ai/v1", thoughts_back=False),
        Provider("moonshot", ("MOONSHOT_API_KEY",), chat="https://api.moonshot.ai/v1"),
        Provider("perplexity", ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"), path="", thoughts_back=False),
        Provider(
            "cohere",
            ("COHERE_API_KEY", "CO_API_KEY"),
            path="/v2/chat",
            exact=True,
            vectors="/v2/embed",
            urls="none",
            references=False,
            thoughts_back=False,
        ),
        Provider(
            "cohere_chat",
            ("COHERE_API_KEY", "CO_API_KEY"),
            path="/v2/chat",
            exact=True,
            urls="none",
            references=False,
            thoughts_back=False,
        ),
        Provider("nvidia_nim", ("NVIDIA_NIM_API_KEY",), chat="https://integrate.api.nvidia.com/v1"),
        Provider("deepinfra", ("DEEPINFRA_API_KEY",), chat="https://api.deepinfra.com/v1/openai"),
        Provider(
            "azure",
            ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
            path="",
            exact=True,
            note="base_url",
            in_a_row=True,
            native_output="always",
        ),
        Provider("azure_ai", ("AZURE_AI_API_KEY",), path="", note="base_url"),
        Provider(
            "bedrock",
            needs_key=False,
            path="",
            exact=True,
            note="AWS credentials",
            urls="none",
            references=False,
            thoughts_back=False,
        ),
        Provider("sagemaker_chat", needs_key=False, path="", note="AWS credentials", urls="none"),
        Provider(
            "vertex_ai",
            needs_key=False,
            path="",
            note="Google Cloud credentials",
            urls="none",
            references=False,
            thoughts_back=False,
        ),
        Provider("ollama", needs_key=False, path="", exact=True, chat=OLLAMA, urls="none"),
        Provider(
            "ollama_chat",
            needs_key=False,
            path="",
            exact=True,
            chat=OLLAMA,
            urls="none",
            native_output="alone",
        ),
        _own_server("hosted_vllm", "HOSTED_VLLM_API_KEY", native_output="alone"),
        _own_server("lm_studio", "LM_STUDIO_API_KEY", native_output="alone"),
        _own_server("llamafile"),
        _own_server("litellm_proxy", "LITELLM_PROXY_API_KEY"),
    )
}
IN_PROCESS: Mapping[str, Provider] = {
    "local": Provider(
        "local",
        needs_key=False,
        native_output="always",
        model="auwgent.models.local.engine:LocalModel",
        window=8192,
    ),
    "scripted": Provider(
        "scripted",
        needs_key=False,
        native_output="always",
        model="auwgent.models.scripted:ScriptedModel",
    ),
    "tape": Provider("tape", needs_key=False, native_output="always", model="auwgent.tape.model:TapeModel"),
}
OTHER_NAMES = {  # by which people know providers, and that are not near to ours
    "google": "gemini",
    "claude": "anthropic",
    "grok": "xai",
    "kimi": "moonshot",
    "aws": "bedrock",
}

_VERSION = re.compile(r"/v\d+\w*(/|$)")
_TAILS = re.compile(r"(/v\d+\w*)?(/chat/completions|/messages|/chat|/models|/api|/responses)?/*$")


def is_provider(name: str) -> bool:
    """Return whether there is such a provider. Where LiteLLM's cannot be known, every name may be one."""
    return name in PROVIDERS or name in IN_PROCESS or name in (provider_names() or (name,))


def near_provider(name: str) -> str:
    """`did you mean …?` where the name of a provider is near, else nothing."""
    known = [*PROVIDERS, *IN_PROCESS, *OTHER_NAMES, *sorted(provider_names())]
    near = nearest(name, known) or ""
    return did_you_mean(OTHER_NAMES.get(near, near), known)


def provider_of(name: str) -> Provider:
    """Return the provider with this prefix. One that is not known here is OpenAI-like, its key optional."""
    known = PROVIDERS.get(name) or IN_PROCESS.get(name)
    return known or Provider(name, (f"{name.upper()}_API_KEY",), needs_key=False, chat="")


def provider(spec: ModelSpec) -> Provider:
    """Return the provider of a model. One of the user's own has none: what it can do stands in its class."""
    if spec.own is None:
        return provider_of(spec.provider)
    native: Literal["always", "never"] = (
        "always" if getattr(spec.own, "keeps_schema", None) is True else "never"
    )
    return Provider("", needs_key=False, native_output=native, window=getattr(spec.own, "window", None))


def family(spec: ModelSpec) -> Family:
    """Return what a model's name tells of it, whoever serves it."""
    name = spec.name.lower()
    return next((one for one in FAMILIES if re.search(one.names, name)), NO_FAMILY)


def is_in_process(spec: ModelSpec) -> bool:
    """Return whether no address, key or route has a meaning for it."""
    return spec.own is not None or spec.provider in IN_PROCESS


def key_for(provider: str, api_keys: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    """Return the provider's key: from `[api_keys]`, else from its environment variables."""
    if api_keys.get(provider):
        return api_keys[provider]
    return next((key for name in provider_of(provider).env if (key := environ.get(name, "").strip())), None)


def is_key_variable(name: str) -> bool:
    """Return whether a variable of that name holds the key of a provider."""
    ours = (variable for provider in PROVIDERS.values() for variable in (*provider.env, *provider.tokens))
    return name.endswith("_API_KEY") or name in ours


def keys_of(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the keys of all known providers that stand in the environment."""
    names = {name for provider in PROVIDERS.values() for name in provider.env + provider.tokens}
    yield from (environ[name] for name in names if environ.get(name))


def key_places(spec: ModelSpec) -> str:
    """Return the places where the key of `spec` can be written, for a sentence to the user."""
    places = [f"api_key under [models.{spec.label}]"] if spec.label else []
    places += [f"{spec.provider} under [api_keys]", *provider_of(spec.provider).env]
    places += [f"`auwgent keys set {spec.provider}`"] if provider_of(spec.provider).env else []
    return " or ".join(places)


def missing_key(spec: ModelSpec, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return what the user has to do before `spec` can be asked, or None. An address of his own may need no key."""
    found = provider(spec)
    if wrong := unsendable(spec.api_key or ""):
        return f"the API key of {spec.name} {wrong}: check {key_places(spec)}"
    if spec.api_key or not found.needs_key or own_address(spec, environ):
        return None
    if any(environ.get(name) for name in found.tokens):
        return None
    return f"{spec.name} needs an API key and none is set: give it as {key_places(spec)}"


def wants_placeholder(spec: ModelSpec, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether something must stand for a key that is not there: OpenAI's client makes no call without one."""
    known = PROVIDERS.get(spec.provider)
    return known is not None and not known.exact and own_address(spec, environ) is not None


def own_address(spec: ModelSpec, environ: Mapping[str, str]) -> str | None:
    """Return the address that the config gives, else the environment, in the variables that LiteLLM heeds."""
    prefix = spec.provider.upper()
    names = (f"{prefix}_BASE_URL", f"{prefix}_API_BASE")
    return spec.base_url or next((environ[name] for name in names if environ.get(name)), None)


def base_url_for(provider: str, base_url: str | None, *, vectors: bool = False) -> str | None:
    """`base_url` in the form LiteLLM wants it for this provider; a trailing `/v1` may be there or not."""
    if base_url is None:
        return None
    known = provider_of(provider)
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    if known.exact:
        path = _TAILS.sub("", path) + (known.vectors if vectors and known.vectors else known.path)
    elif not path:
        path = known.path
    elif known.path and not _VERSION.search(path):
        path += "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, parts.fragment))


def wrong_address(base_url: str, *, direct: bool) -> str | None:
    """What is wrong with a `base_url`; None where it is in order. LiteLLM puts paths and keys to it as if to a text."""
    try:
        parts = urlsplit(base_url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not a number, half an IPv6 address
        has_host = False
    if not has_host or parts.scheme not in ("http", "https"):
        return "should be an address such as https://llm.example"
    if not direct and "@" in parts.netloc:
        return "may not hold a user or a password: LiteLLM cannot send them together with a key"
    if not direct and parts.query:
        return "may not hold a query: LiteLLM would append the path to it"
    return "may not hold a #" if "#" in base_url else None
