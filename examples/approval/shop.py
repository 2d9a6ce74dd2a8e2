"""A tool that spends money."""


def refund(euros: int) -> str:
    """Pay money back to the customer."""
    return f"{euros} euros paid back"
