"""Shelves (`terms/ports.py::Shelf`): where front doors take the files of artifacts from.

Use `LocalShelf` with `models_shelved` for the models of this PoP's catalogue.
"""

from littoral.adapters.shelves.local import LocalShelf
from littoral.adapters.shelves.models import models_shelved

__all__ = ["LocalShelf", "models_shelved"]
