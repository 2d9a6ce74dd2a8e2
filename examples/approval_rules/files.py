"""A tool that had better not be called lightly."""


def delete(path: str) -> str:
    """Delete a file."""
    return f"{path} is gone (or would be)."
