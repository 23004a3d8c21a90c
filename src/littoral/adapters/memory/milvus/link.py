"""What Milvus, pymilvus and gRPC say when something fails, said in our errors.

pymilvus logs whole requests when one fails, texts and filters too: it is not let.
"""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import grpc  # type: ignore[import-untyped]
from pymilvus.exceptions import ErrorCode, MilvusException

from littoral.terms.errors import (
    BadRequestError,
    ConfigError,
    DiskShortError,
    NotFoundError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)

__all__ = ["TooLargeError", "translated"]

logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)

_TOO_LARGE: Final = "larger than max"


class TooLargeError(UpstreamFailedError):
    """An answer does not fit into one message."""


@contextmanager
def translated(within_s: float) -> Generator[None]:
    """Say in our errors what Milvus, pymilvus and gRPC say in theirs.

    Args:
        within_s: the time that the answer was given.

    Raises:
        UpstreamFailedError, UpstreamTimeoutError, ConfigError, DiskShortError, NotFoundError,
        BadRequestError: what happened.
    """
    try:
        yield
    except MilvusException as error:
        raise _said(error.code, str(error.message), within_s) from error
    except grpc.RpcError as error:
        raise _said(error.code(), "", within_s) from error


def _said(code: object, message: str, within_s: float) -> Exception:
    message = message.lower()
    if code in {ErrorCode.COLLECTION_NOT_FOUND, grpc.StatusCode.NOT_FOUND}:
        return NotFoundError("the collection is no longer there")
    if code is grpc.StatusCode.UNAUTHENTICATED or "auth" in message or "permission" in message:
        return ConfigError(
            "Milvus does not let Littoral in",
            advice="put USER:PASSWORD or an API key where memory_secrets says",
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or "timeout" in message or "deadline" in message:
        return UpstreamTimeoutError(f"Milvus did not answer in {within_s:g} s")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED or _TOO_LARGE in message:
        return TooLargeError("what Milvus was to take or give is larger than its messages")
    if code == ErrorCode.FORCE_DENY or "quota" in message:
        return DiskShortError("Milvus takes no more: its memory or disk is used up")
    if code == 1100 or "exceeds max" in message:
        return BadRequestError("Milvus can't take a value: it is too long, or too many")
    if code in {2, grpc.StatusCode.UNAVAILABLE}:
        return UpstreamFailedError("Milvus can't be reached")
    return UpstreamFailedError(f"Milvus failed (code {code})")
