"""Littoral: an open inference delivery network. Every machine runs the same daemon, a PoP."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("littoral")
