"""Littoral: an open inference delivery network. Every machine runs the same daemon, a PoP."""

from typing import TYPE_CHECKING

__all__ = ["__version__"]

__version__: str

if not TYPE_CHECKING:

    def __getattr__(name: str) -> str:
        """The version, once somebody asks: to look it up takes longer than many a command."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version  # noqa: PLC0415 - as said above

        return globals().setdefault(name, version("littoral"))
