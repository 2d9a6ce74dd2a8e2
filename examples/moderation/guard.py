"""What may not be said."""


def judge(text: str) -> str | None:
    """Why the text may not pass; None where it may."""
    return "the code word" if "swordfish" in text.casefold() else None
