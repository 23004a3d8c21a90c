"""The drivers by their names."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from littoral.adapters.memory.embedded import open_collections
from littoral.terms.collections import Collections
from littoral.terms.errors import ConfigError, MissingExtraError

__all__ = ["DRIVERS", "EMBEDDED", "open_driver"]

EMBEDDED: Final = "embedded"

DRIVERS: Final = (EMBEDDED, "pgvector", "milvus", "qdrant", "pinecone", "weaviate")
"""All there are; those after the first ask servers elsewhere."""


def open_driver(name: str, home: Path, *, address: str = "", secret: str = "") -> Collections:
    """A driver. Nothing is asked yet of a server elsewhere.

    Args:
        name: one of `DRIVERS`.
        home: of the PoP, where the embedded one keeps what it has.
        address: of the server; without a secret in it.
        secret: the password or key that lets Littoral in, or empty.

    Raises:
        ConfigError: there is no such driver, or the address is none.
        MissingExtraError: what speaks to such a server is not installed.
        HomeUnwritableError: the embedded one has no place.
    """
    if name == EMBEDDED:
        return open_collections(home)
    if name not in DRIVERS:
        raise ConfigError(
            f"no driver keeps collections under the name {name[:40]!r}",
            advice=f"use one of {', '.join(DRIVERS)}",
        )
    if not address:
        raise ConfigError(
            f"nothing says where {name} is",
            advice=f"name it in memory_servers, as in {name}=ADDRESS",
        )
    try:
        module = import_module(f"littoral.adapters.memory.{name}")
    except ImportError as error:
        raise MissingExtraError(
            f"what speaks to {name} is not installed",
            advice=f"install it: `pip install 'littoral[{name}]'`",
        ) from error
    opened: Callable[[str, str], Collections] = module.opened
    return opened(address, secret)
