"""The table [serve] of the config file, and its [[serve.tokens]]."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema, model_validator

from auwgent.config.tables import PATH, Many, Name, Secret, Table, kind_of, refuse
from auwgent.limits import Count
from auwgent.model_settings import NotNegative
from auwgent.spans import parse_bytes

# What `protocols` may name; anything else there is a dotted path.
PROTOCOLS = ("chat", "responses", "ag-ui", "mcp", "web", "a2a")
_RATE = re.compile(r"([1-9]\d{0,8})/(s|sec|second|min|minute|h|hour|d|day)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_HOST = re.compile(r"[A-Za-z0-9._:\[\]*-]+")
_ORIGIN = re.compile(r"https?://[^/?#\s@]+", re.IGNORECASE)


def parse_rate(value: str) -> tuple[int, int]:
    """Return how many requests, and in how many seconds; `ValueError` says what would be right."""
    match = _RATE.fullmatch(value)
    if match is None:
        raise ValueError('should be a number of requests in a time, such as "5/s", "60/min" or "1000/h"')
    return int(match[1]), _SECONDS[match[2][0]]


def _rate(value: str) -> str:
    parse_rate(value)
    return value


def _size(value: Any) -> int:
    try:
        return parse_bytes(value)
    except ValueError as error:
        raise ValueError(str(error).replace("must", "should", 1)) from None


def _fits(pattern: re.Pattern[str], words: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"should be {words}")
        return value

    return check


def _digest(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value.get_secret_value()):
        raise ValueError("should be the SHA-256 of a token: 64 hexadecimal digits")
    return value


HostName = Annotated[Name, AfterValidator(_fits(_HOST, "the name of a host, without http:// and path"))]
Origin = Annotated[
    Name,
    AfterValidator(_fits(re.compile(rf"\*|{_ORIGIN.pattern}"), 'an origin, such as "https://app.example"')),
]


class TokenConfig(Table):
    """A token that clients of the server show, and whose it is."""

    token: Secret | None = Field(None, description="What stands behind `Authorization: Bearer`.")
    sha256: Annotated[Secret, AfterValidator(_digest)] | None = Field(
        None, description="The SHA-256 of the token, in hexadecimal, instead of the token."
    )
    user: Name = Field(description="The user of its runs and sessions; nothing in a request can change it.")
    admin: bool = Field(
        False, description="Whether it may name any user by X-User-Id, and sees the runs of all."
    )
    rate: Annotated[str, AfterValidator(_rate)] | None = Field(
        None, description="Requests in a time, such as 60/min; in each process."
    )

    @model_validator(mode="after")
    def _has_one_form(self) -> TokenConfig:
        if (self.token is None) == (self.sha256 is None):
            raise refuse("needs exactly one of `token` and `sha256`")
        if self.token is not None and not self.token.get_secret_value():
            raise refuse("has an empty `token`")
        return self


class ServeConfig(Table):
    """How the agent is served over HTTP."""

    host: Name = Field(
        "127.0.0.1",
        description="Address to listen on; any other than the loopback needs tokens, `auth`, or `open = true`.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0: any that is free.")
    protocols: Many[Annotated[Any, WithJsonSchema({"type": "string"})]] = Field(
        ("chat", "responses", "ag-ui", "mcp", "web"),
        description=f"What is spoken: {', '.join(PROTOCOLS)}, or the dotted path of one of your own: {PATH}.",
    )
    agents: Many[Name] = Field(
        (), description="Agents that a request may name: the root, or helpers; when absent, the root."
    )
    hosts: Many[HostName] = Field(
        (), description="Further Host names that are answered; loopback names always are."
    )
    origins: Many[Origin] = Field((), description="Origins of web pages elsewhere that may call, or `*`.")
    max_body: Annotated[int, BeforeValidator(_size), WithJsonSchema({"type": ["string", "integer"]})] = Field(
        10_000_000, description="Largest body of a request: bytes, or a size such as 10MB."
    )
    max_runs: Count = Field(100, description="Runs under way in this process; more are told to come back.")
    drain: NotNegative = Field(30.0, description="Seconds that SIGTERM gives runs before they are cancelled.")
    disconnect: Literal["cancel", "continue"] = Field(
        "cancel", description="What becomes of a run whose reader leaves; background runs always go on."
    )
    instructions: Literal["ignore", "append", "refuse"] = Field(
        "ignore", description="What becomes of system messages in requests."
    )
    caller_tools: bool = Field(
        True, description="Whether requests may bring tools that the caller runs itself."
    )
    open: bool = Field(False, description="Whether no token is asked for, on any host.")
    auth: Annotated[Any, WithJsonSchema({"type": "string"})] = Field(
        None, description=f"Function that tells the user from a request's headers, as dotted path: {PATH}."
    )
    tokens: Many[TokenConfig] = Field((), description="Tokens of clients, and whose they are.")

    @model_validator(mode="after")
    def _lets_in_whom_it_says(self) -> ServeConfig:
        if self.auth is not None and (not self.auth or kind_of(self.auth) not in ("<text>", "<object>")):
            raise refuse(f"has an `auth` that is not a dotted path, {PATH}")
        ways = [name for name in ("tokens", "auth", "open") if getattr(self, name)]
        if len(ways) > 1:
            raise refuse(f"has `{ways[0]}` and `{ways[1]}`: give one of them")
        if not ways and not is_loopback(self.host):
            raise refuse(
                f"listens on {self.host!r}, which others can reach: add [[serve.tokens]], `auth`, or `open = true`"
            )
        for number, wrong in enumerate(self.protocols):
            if not wrong or kind_of(wrong) not in ("<text>", "<object>"):
                raise refuse(f"has a protocol (number {number + 1}) that is neither a name nor a dotted path")
        return self


def is_loopback(host: str) -> bool:
    """Return whether a host name or address leads to this machine alone."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
