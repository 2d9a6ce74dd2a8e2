"""Who asks: the user whom a token, or the `auth` function of the config, names."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers

from auwgent.config import ServeConfig, TokenConfig
from auwgent.config.serve import parse_rate
from auwgent.serve.faults import Refusal
from auwgent.serve.rates import Window

log = logging.getLogger("auwgent.serve")


@dataclass(frozen=True, slots=True)
class Who:
    """The user of a request. An admin sees the runs of all, unless it has named one by X-User-Id."""

    user: str
    is_admin: bool = False
    sees_all: bool = False


@dataclass(frozen=True, slots=True)
class _Token:
    digest: bytes
    who: Who
    window: Window | None


class Users:
    """Tells who asks, from a request's headers."""

    def __init__(self, config: ServeConfig, auth: Callable[[Headers], Any] | None) -> None:
        self._auth = auth
        self._tokens = [_token(one) for one in config.tokens]

    @property
    def are_asked(self) -> bool:
        """Return whether a request must say who it is from."""
        return bool(self._tokens) or self._auth is not None

    async def of(self, headers: Headers) -> tuple[Who, Window | None]:
        """Return who asks, and the window that counts the token's requests; `Refusal` where nobody may."""
        who, window = Who(""), None
        if self._auth is not None:
            who = Who(await self._authorised(self._auth, headers))
        elif self._tokens:
            found = self._find(headers)
            if found is None:
                raise unauthorized("no valid token" if headers.get("authorization") else "no token")
            who, window = found.who, found.window
        return _named(who, headers), window

    def _find(self, headers: Headers) -> _Token | None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        digest = hashlib.sha256(given.strip().encode("latin-1")).digest()
        found = None
        for token in self._tokens:  # all of them, so that the time says nothing
            if hmac.compare_digest(token.digest, digest) and scheme.lower() == "bearer":
                found = token
        return found

    async def _authorised(self, auth: Callable[[Headers], Any], headers: Headers) -> str:
        try:
            user = (
                auth(headers) if inspect.iscoroutinefunction(auth) else await asyncio.to_thread(auth, headers)
            )
            if inspect.isawaitable(user):
                user = await user
        except Exception as error:  # it is the user's own code, and its words may hold what was sent
            log.warning("`auth` raised %s", type(error).__name__)
            raise unauthorized("not let in") from None
        if user is not None and not isinstance(user, str):
            log.error("`auth` gave a user of type %s; it should give a text, or None", type(user).__name__)
            user = None
        if not user:
            raise unauthorized("not let in")
        return str(user)


def unauthorized(why: str) -> Refusal:
    """Return the refusal of somebody who is not known."""
    words = f"{why}: send `Authorization: Bearer` with a token of this server"
    return Refusal(401, "invalid_api_key", words, headers={"WWW-Authenticate": "Bearer"})


def _named(who: Who, headers: Headers) -> Who:
    named = headers.get("x-user-id")
    if named is None:
        return Who(who.user, who.is_admin, who.is_admin)
    if not who.is_admin:
        raise Refusal(403, "not_admin", "only a token with `admin = true` may name a user by X-User-Id")
    try:
        return Who(named.encode("latin-1").decode(), is_admin=True)
    except UnicodeDecodeError:
        raise Refusal(400, "invalid_value", "X-User-Id is not valid UTF-8", param="X-User-Id") from None


def _token(one: TokenConfig) -> _Token:
    if one.token is not None:
        digest = hashlib.sha256(one.token.get_secret_value().encode()).digest()
    else:
        assert one.sha256 is not None
        digest = bytes.fromhex(one.sha256.get_secret_value())
    window = None if one.rate is None else Window(*parse_rate(one.rate))
    return _Token(digest, Who(one.user, one.admin), window)
