"""The way to a Qdrant server, and what goes wrong on it, said in our errors."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

import httpx
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from littoral.terms.errors import (
    BadRequestError,
    ConfigError,
    LittoralError,
    NotFoundError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from littoral.terms.limits import SERVED_ANSWER_S

__all__ = ["connected", "translated"]

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs what is asked for


def connected(address: str, key: str, *, answer_s: float = SERVED_ANSWER_S) -> QdrantClient:
    """A client of a server, which is not asked yet.

    Args:
        address: as in `http://HOST:6333`.
        key: an API key, or empty.
        answer_s: how long one answer may take.

    Raises:
        ConfigError: the key would go over the network in clear text.
    """
    url = httpx.URL(address)
    if key and url.scheme != "https" and url.host not in {"127.0.0.1", "localhost", "::1"}:
        raise ConfigError(
            "the key of Qdrant would be sent in clear text", advice="use https in memory_servers"
        )
    return QdrantClient(
        url=address, api_key=key or None, timeout=max(1, int(answer_s)), check_compatibility=False
    )


@contextmanager
def translated() -> Generator[None]:
    """Say in our errors what Qdrant and its client say in theirs.

    Raises:
        UpstreamFailedError, UpstreamTimeoutError, ConfigError, NotFoundError, BadRequestError:
            what happened.
    """
    try:
        yield
    except UnexpectedResponse as error:
        raise _refused(error.status_code) from error
    except ResponseHandlingException as error:
        if isinstance(error.source, httpx.TimeoutException):
            raise UpstreamTimeoutError("Qdrant did not answer in time") from error
        raise UpstreamFailedError("Qdrant can't be reached, or has broken off") from error
    except ResourceExhaustedResponse as error:
        raise UpstreamFailedError(
            "Qdrant is asked too often", retry_after_s=float(error.retry_after_s)
        ) from error
    except ValueError as error:
        if "not found" in str(error):
            raise NotFoundError("the collection is no longer there") from error
        raise BadRequestError("Qdrant's client can't take a value") from error


def _refused(status: int | None) -> LittoralError:
    match status:
        case 401 | 403:
            return ConfigError(
                "Qdrant does not let Littoral in",
                advice="put an API key that may write where memory_secrets says",
            )
        case 404:
            return NotFoundError("the collection is no longer there")
        case 408 | 504:
            return UpstreamTimeoutError("Qdrant did not answer in time")
        case 400 | 413 | 422:
            return BadRequestError(f"Qdrant can't take that (status {status})")
        case _:
            return UpstreamFailedError(f"Qdrant failed (status {status})")
