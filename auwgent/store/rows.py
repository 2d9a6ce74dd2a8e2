"""What the tables of the store are declared with: one class of SQLModel a table, one type a kind of column.

Rows are read and written by statements on `__table__`, many at once and only the columns that are needed.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from sqlalchemy import Table, Text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from auwgent.store.dialects import Big


class Row(SQLModel, registry=registry()):
    """Base of the tables. They are kept apart from those that the user declares with SQLModel."""

    __table__: ClassVar[Table]


Number = Annotated[int | None, Field(sa_type=Big, primary_key=True)]  # None until the database has given one
Count = Annotated[int, Field(sa_type=Big)]
MaybeCount = Annotated[int | None, Field(sa_type=Big)]
Words = Annotated[str, Field(sa_type=Text)]
MaybeWords = Annotated[str | None, Field(sa_type=Text)]
KeyWords = Annotated[str, Field(sa_type=Text, primary_key=True)]
