"""A tool with an argument that no log may hold."""


def open_account(name: str, password: str) -> str:
    """Open an account."""
    return f"{name} has an account"
