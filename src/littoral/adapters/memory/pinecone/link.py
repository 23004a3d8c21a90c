"""What Pinecone and its client say when something fails, said in our errors."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

from pinecone import errors as said_by_pinecone

from littoral.terms.errors import (
    BadRequestError,
    ConfigError,
    LittoralError,
    NotFoundError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)

__all__ = ["translated"]

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses, which have ids in them


@contextmanager
def translated() -> Generator[None]:
    """Say in our errors what Pinecone and its client say in theirs.

    Raises:
        UpstreamFailedError, UpstreamTimeoutError, ConfigError, NotFoundError, BadRequestError:
            what happened.
    """
    try:
        yield
    except said_by_pinecone.ApiError as error:
        raise _refused(error.status_code) from error
    except said_by_pinecone.PineconeTimeoutError as error:
        raise UpstreamTimeoutError("Pinecone did not answer in time") from error
    except (said_by_pinecone.PineconeValueError, said_by_pinecone.PineconeTypeError) as error:
        raise BadRequestError("Pinecone's client can't take a value") from error
    except said_by_pinecone.PineconeError as error:
        raise UpstreamFailedError("Pinecone can't be reached, or has broken off") from error


def _refused(status: int) -> LittoralError:
    match status:
        case 401 | 403:
            return ConfigError(
                "Pinecone does not let Littoral in",
                advice="put an API key of the index's project where memory_secrets says",
            )
        case 404:
            return NotFoundError("the collection is no longer there")
        case 400 | 412 | 413 | 422:
            return BadRequestError(f"Pinecone can't take that (status {status})")
        case 402:
            return ConfigError("Pinecone wants to be paid", advice="look at the plan there")
        case 429:
            return UpstreamFailedError("Pinecone is asked too often", retry_after_s=1.0)
        case 408 | 504:
            return UpstreamTimeoutError("Pinecone did not answer in time")
        case _:
            return UpstreamFailedError(f"Pinecone failed (status {status})")
