"""A workflow keeps an order that a model must not change: check the permission, find, then remove."""

from typing import Any


async def delete_user(name: str, ctx: Any) -> str:
    """Delete a user's account.

    Args:
        name: The name the user signs in with.
    """
    if ctx.role != "admin":
        return "You have no permission to delete users."
    user = await ctx.call_tool("find_user", name=name)
    await ctx.call_tool("remove_user", number=user["number"])
    return f"{name} is deleted."


def find_user(name: str) -> dict[str, Any]:
    """The account of a user."""
    return {"name": name, "number": 7}


def remove_user(number: int) -> str:
    """Remove an account for good."""
    return f"removed {number}"
