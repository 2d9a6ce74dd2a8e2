"""Tools of a shop, and what a test holds against an answer."""

from __future__ import annotations

from pathlib import Path

from auwgent import Session


def find_order(number: int) -> dict[str, object]:
    """Find an order by its number."""
    return {"number": number, "total": 12.5, "paid": True}


def refund(number: int) -> str:
    """Pay an order back."""
    with Path("refunds.txt").open("a") as file:
        file.write(f"order {number}\n")
    return f"order {number} is paid back"


def polite(session: Session) -> str | None:
    """Say what is wrong with an answer that has no kind word."""
    return None if "Sorry" in session.text or "please" in session.text.lower() else "it has no kind word"
