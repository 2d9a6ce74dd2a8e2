"""A tool a model may get stuck on."""


def look(place: str) -> str:
    """Look for the keys in a place."""
    return f"nothing in the {place}"
