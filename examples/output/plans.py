"""The shape of an answer."""

from pydantic import BaseModel, Field


class Stop(BaseModel):
    city: str
    nights: int = Field(ge=1)


class Trip(BaseModel):
    title: str
    stops: list[Stop]
