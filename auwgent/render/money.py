"""Amounts of money, for people."""

from __future__ import annotations

import math


def dollars(usd: float) -> str:
    """Return an amount in US dollars, without a sign: to the cent from one dollar on, else to two digits that count."""
    if usd == 0 or usd >= 1:
        return f"{usd:,.2f}"
    return f"{usd:.{max(4, 1 - math.floor(math.log10(usd)))}f}"
