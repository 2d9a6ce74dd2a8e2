"""The bases that a user's own middleware may have: options as fields, a folder, a database; and what is left alone."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field
from sqlalchemy import Column, MetaData, Table, Text, select

from auwgent import ConfigError, Runtime, auwgent
from auwgent.middleware import Configured, Context, Count, Given, InFolder, Kept, Many, Time, option
from auwgent.spans import Span


class Visits(Kept):
    """Writes down who was there."""

    name = "visits"
    DEFAULT_FILE = ".auwgent/visits.db"
    who = Table("visits", MetaData(), Column("user", Text))
    tables = (who,)

    most: Count = 3
    per: Time = option(default="1h")
    only: Many[str] = option(default=())
    weights: Annotated[Given[Iterable[int], frozenset[int]], Field(strict=False)] = option(default=())
    url: str | None = None

    KIND: ClassVar[str] = "visit"

    async def onRunStart(self, session: Any, ctx: Context) -> None:
        await self.carry_out(
            lambda database: database.write(
                lambda link: link.execute(self.who.insert(), {"user": ctx.userId})
            )
        )

    async def users(self) -> list[str]:
        wanted = select(self.who.c.user)
        return await self.carry_out(
            lambda database: list(database.read(lambda link: link.execute(wanted).scalars()))
        )


class Folders(InFolder):
    def onRunStart(self, session: Any, ctx: Context) -> None:
        ctx["beside"] = self.beside("here.txt")


def config(*middleware: Any) -> dict[str, Any]:
    return {"middleware": list(middleware), "agent": {"model": "scripted/echo"}}


async def test_a_users_own_keeps_rows_in_a_file_beside_its_config(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from tests.middleware.test_kept import Visits\n")
    (tmp_path / "auwgent.toml").write_text(
        'middleware = [{ use = "mine.Visits", most = 2 }]\n[agent]\nmodel = "scripted/echo"\n'
    )
    for user in ("ada", "bob"):
        async with auwgent(tmp_path / "auwgent.toml") as agent:
            await agent.run("Hi", user_id=user)
            (visits,) = agent.middleware
            found = await visits.users()
    assert found == ["ada", "bob"]
    assert (tmp_path / ".auwgent" / "visits.db").exists()


def test_options_are_read_as_what_they_mean_and_given_by_place_or_name() -> None:
    visits = Visits(2, "30s", ["a"], [1, 1], "sqlite://")
    assert (visits.most, visits.per.total_seconds(), str(visits.per)) == (2, 30.0, "30s")
    assert (visits.only, visits.weights, visits.url) == (("a",), frozenset({1}), "sqlite://")
    assert list(inspect.signature(Visits).parameters) == ["most", "per", "only", "weights", "url"]
    assert inspect.signature(Visits).parameters["per"].default == "1h"
    assert Visits(per=90).per == Span.parse("90s")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"most": 0, "per": "a while"},
            ["`most` should be greater than 0, not 0", "`per`: must be a length"],
        ),
        ({"most": "2"}, ["`most` should be a whole number, not '2'"]),
        ({"mots": 2}, ["its options: most, per, only, weights, url"]),
        ({"KIND": "x"}, ["its options: most, per, only, weights, url"]),
        ({"per": "99999999w"}, ["`per`: must be a length of time of at most 100 years"]),
    ],
)
def test_what_does_not_fit_is_an_error_of_the_entry(options: dict[str, Any], told: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Runtime(config({"use": Visits, **options})).run_sync("Hi")
    for words in told:
        assert words in str(caught.value)


async def test_a_folder_is_given_to_those_alone_who_want_it(tmp_path: Path) -> None:
    class Uploads:
        folder = None

        def onRunStart(self, session: Any, ctx: Context) -> None:
            ctx["seen"] = self.folder

    class Look:
        def onRunComplete(self, session: Any, ctx: Context) -> None:
            self.seen = ctx["seen"], ctx["beside"]

    look = Look()
    await Runtime(config(Uploads, Folders, look)).run("Hi")
    assert look.seen == (None, Path.cwd() / "here.txt")


@pytest.mark.process
@pytest.mark.parametrize("target", [42, Path("build"), {"os": "linux"}, ["Main", 3], object()])
def test_an_attribute_target_of_another_meaning_is_an_error_of_the_entry(target: Any) -> None:
    cls = type("Build", (), {"target": target, "onRunStart": lambda self, session, ctx: None})
    with pytest.raises(ConfigError, match="'Build' has a `target` that is"):
        Runtime(config(cls)).run_sync("Hi")


def test_options_of_a_base_are_there_in_what_is_made_of_it() -> None:
    class More(Visits):
        url: str | None = "sqlite://"
        more: bool = False

    assert list(inspect.signature(More).parameters) == ["most", "per", "only", "weights", "url", "more"]
    with pytest.raises(TypeError, match="More: got an unexpected keyword argument 'les'"):
        More(les=1)  # type: ignore[call-arg]


class Bare(Configured):
    name = "bare"

    def onRunStart(self, session: Any, ctx: Context) -> None: ...


async def test_a_middleware_without_options_takes_none() -> None:
    await Runtime(config(Bare)).run("Hi")
    with pytest.raises(ConfigError, match="it takes no options"):
        await Runtime(config({"use": Bare, "x": 1})).run("Hi")
