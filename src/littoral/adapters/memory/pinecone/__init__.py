"""Collections in one index of Pinecone, through its client.

`collections` is the driver, `shelf` one collection, `link` what goes wrong on the way there.
"""

from typing import Final

from pinecone import Pinecone
from pinecone import errors as said_by_pinecone

from littoral.adapters.memory.pinecone.collections import PineconeCollections
from littoral.terms.errors import ConfigError
from littoral.terms.limits import SERVED_ANSWER_S

__all__ = ["PineconeCollections", "opened"]

_TRIES: Final = 4
"""The client asks an index so often, and can't be told otherwise."""

_TRY_S_MIN: Final = 2.0


def opened(address: str, secret: str, *, answer_s: float = SERVED_ANSWER_S) -> PineconeCollections:
    """The collections of an index.

    Args:
        address: the index's host, as Pinecone's console shows it.
        secret: an API key.
        answer_s: how long one answer may take.

    Raises:
        ConfigError: there is no key, or the address is none.
    """
    if not secret:
        raise ConfigError(
            "Pinecone takes no one without an API key",
            advice="put it into a file, and say so: memory_secrets = pinecone=FILE",
        )
    try:
        client = Pinecone(api_key=secret, timeout=max(_TRY_S_MIN, answer_s / _TRIES))
        index = client.index(host=address)
    except said_by_pinecone.PineconeError:
        raise ConfigError(
            "Pinecone's client does not take the address or the key",
            advice="copy the index's host and an API key from its console",
        ) from None
    return PineconeCollections(index, answer_s=answer_s)
