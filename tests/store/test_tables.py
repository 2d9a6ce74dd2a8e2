from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Field, SQLModel

from auwgent.session import Turn
from auwgent.store import tables
from auwgent.store.rows import Row
from auwgent.store.side import answers, facts, limits, passages, vault
from auwgent.store.tables import EPOCH, MICROSECOND, as_key, micros, moment, seated, to_json


def turn(name: str) -> Turn:
    return Turn(id=name, role="user")


@given(st.lists(st.lists(st.integers(0, 30), max_size=4), max_size=8))
def test_turns_come_back_in_the_order_they_had_wherever_they_were_put(saves: list[list[int]]) -> None:
    turns: list[Turn] = []
    seats: dict[str, float] = {}
    for save in saves:
        for place in save:
            turns.insert(place, turn(f"t{len(turns)}"))
        new = seated(turns, seats, max(seats.values(), default=0.0))
        assert {one.id for one, _ in new} == {one.id for one in turns} - seats.keys()
        seats |= {one.id: seat for one, seat in new}
        assert sorted(turns, key=lambda one: seats[one.id]) == turns


def test_what_comes_after_a_session_was_cut_sits_behind_all_that_is_stored() -> None:
    seats = {"a": 1.0, "b": 2.0, "c": 3.0}
    assert [seat for _, seat in seated([turn("a"), turn("new")], seats, 3.0)] == [4.0]


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_comes_back_to_the_microsecond(time: datetime) -> None:
    assert moment(micros(time)) == time


@given(st.text(st.characters(exclude_categories=[])))
def test_json_text_can_be_stored_anywhere(text: str) -> None:
    stored = to_json({"text": text})
    assert "\0" not in stored
    assert stored.encode()


def test_the_epoch_is_zero() -> None:
    assert (micros(EPOCH), micros(EPOCH + MICROSECOND)) == (0, 1)
    assert as_key("id", "é 漢/..") == "é 漢/.."


def test_every_table_is_a_class_of_sqlmodel_and_none_stands_among_the_users_own() -> None:
    class SessionRow(SQLModel, table=True):
        __tablename__ = "auwgent_sessions"

        mine: int = Field(primary_key=True)

    assert SQLModel.metadata.tables.keys() == {"auwgent_sessions"}
    assert {column.name for column in SQLModel.metadata.tables["auwgent_sessions"].c} == {"mine"}
    made = set(tables.OF_SERVERS) | {
        table for module in (tables, answers, facts, limits, passages, vault) for table in module.TABLES
    }
    assert made == set(Row.metadata.tables.values())
    assert {row.__table__ for row in Row.__subclasses__()} == made
    SQLModel.metadata.remove(SQLModel.metadata.tables["auwgent_sessions"])
