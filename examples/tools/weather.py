"""Tools are plain functions. `async` ones run in the event loop, others in threads."""

from typing import Literal


def forecast(city: str, days: int = 1, unit: Literal["C", "F"] = "C") -> dict[str, object]:
    """The weather in a city.

    Args:
        city: Name of the city, in English.
        days: How many days ahead, 1 to 7.
        unit: Celsius or Fahrenheit.
    """
    warm = {"Lisbon": 24, "Oslo": 9}[city]
    return {"city": city, "days": days, "temperature": warm if unit == "C" else warm * 9 / 5 + 32}


async def subscribe(city: str, email: str) -> str:
    """Send weather alerts for a city to an address."""
    return f"{email} gets alerts for {city}"
