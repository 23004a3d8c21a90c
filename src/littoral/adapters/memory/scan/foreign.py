"""faiss as it is: the types that come with it leave out half of what it has."""

from typing import Any

import faiss as _faiss

__all__ = ["faiss"]

faiss: Any = _faiss
