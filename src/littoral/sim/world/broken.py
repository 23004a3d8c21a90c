"""How a world says that something does not hold."""

__all__ = ["BrokenError"]


class BrokenError(AssertionError):
    """Something that must always hold did not."""
