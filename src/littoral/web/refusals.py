"""How a request is refused in the words of the API that its path belongs to.

| below | shape |
| --- | --- |
| `/hub/` | the Hugging Face Hub's: what its client raises, it decides by `X-Error-Code` |
| `/v2/` | the OCI distribution specification's |
| `/mcp` | JSON-RPC's |
| `/collections` | Qdrant's |
| `/indexes`, `/pinecone/` | Pinecone's |
| anything else | OpenAI's or Anthropic's (`errors.py`) |

The clients of the first two try again after 429 and give up after 503, so that is what they are
told when this machine has too much to do.
"""

import re
from collections.abc import Mapping
from math import ceil
from typing import Final

import msgspec

from littoral.terms.errors import (
    KeyMissingError,
    KeyRejectedError,
    LittoralError,
    MethodNotAllowedError,
    NotAllowedError,
    NotFoundError,
    QueueFullError,
    RateLimitedError,
)
from littoral.web.errors import error_answer, shape_of
from littoral.web.mcp.protocol import MCP, failed, problem

__all__ = ["HUB", "INDEXES", "OCI", "PINECONE", "PINECONE_NAMED", "QDRANT", "refusal"]

HUB: Final = "/hub/"
"""Below it is what clients of the Hugging Face Hub ask."""

OCI: Final = "/v2/"
"""Below it is what clients of registries ask."""

QDRANT: Final = "/collections"
"""Here and below it is what clients of Qdrant ask."""

INDEXES: Final = "/indexes"
"""Here and below it clients of Pinecone ask for indexes."""

PINECONE: Final = "/pinecone/"
"""Below it are the indexes themselves, each by its name."""

PINECONE_NAMED: Final = "/pinecone.local/"
"""The same, for hosts without a dot in their name: Pinecone's client wants one in its address."""

_HUB_CODES: Final = {
    "repository": "RepoNotFound",
    "revision": "RevisionNotFound",
    "file": "EntryNotFound",
}
_OCI_CODES: Final = {
    "repository": "NAME_UNKNOWN",
    "revision": "MANIFEST_UNKNOWN",
    "file": "BLOB_UNKNOWN",
}
_UNPRINTABLE: Final = re.compile(r"[^ -~]")
_MESSAGE_CHARS_MAX: Final = 500
_FALSE_KEY: Final = "Invalid credentials in Authorization header"
"""The Hub's own words: by them its client tells a false key from a repository that is missing."""


def refusal(
    error: LittoralError, path: str, headers: Mapping[str, str], request_id: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, header fields and body that tell whoever sent this request of the error."""
    status, fields, body = error_answer(error, shape_of(path, headers), request_id)
    if isinstance(error, QueueFullError) and path.startswith((HUB, OCI)):
        status = 429
    if path.startswith(HUB):
        return status, fields | _hub_fields(error), msgspec.json.encode({"error": str(error)})
    if path == MCP:
        return status, fields, msgspec.json.encode(failed(None, problem(error))[1])
    if path.startswith(OCI):
        if status == 401:
            fields["www-authenticate"] = 'Basic realm="littoral"'
        return status, fields | _OCI_FIELDS, _oci_body(error, status)
    if _is_below(path, QDRANT):
        said: object = {"status": {"error": str(error)}, "time": 0.0}
        return status, fields, msgspec.json.encode(said)
    if path.startswith((PINECONE, PINECONE_NAMED)) or _is_below(path, INDEXES):
        said = {"error": {"code": _pinecone_code(status), "message": str(error)}, "status": status}
        return status, fields, msgspec.json.encode(said)
    return status, fields, body


def _is_below(path: str, start: str) -> bool:
    return path.startswith(start) and path[len(start) : len(start) + 1] in {"", "/"}


def _pinecone_code(status: int) -> str:
    return _PINECONE_CODES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")


_PINECONE_CODES: Final = {
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


_OCI_FIELDS: Final = {"docker-distribution-api-version": "registry/2.0"}


def _hub_fields(error: LittoralError) -> dict[str, str]:
    fields = {"x-error-message": _UNPRINTABLE.sub("?", str(error))[:_MESSAGE_CHARS_MAX]}
    match error:
        case KeyRejectedError():
            fields["x-error-message"] = _FALSE_KEY
        case NotAllowedError():
            fields["x-error-code"] = "GatedRepo"
        case NotFoundError():
            fields["x-error-code"] = _HUB_CODES.get(str(error.details.get("missing")), "NotFound")
            if "commit" in error.details:  # with it the client remembers that there is no such file
                fields["x-repo-commit"] = str(error.details["commit"])
        case RateLimitedError() if error.retry_after_s is not None:
            # Of what is to be waited for, its older versions read these alone.
            fields["ratelimit"] = f'"requests";r=0;t={ceil(error.retry_after_s)}'
            allowed = error.details.get("allowed", 0)
            fields["ratelimit-policy"] = f'"sliding window";"requests";q={allowed};w=60'
        case _:
            pass
    return fields


def _oci_body(error: LittoralError, status: int) -> bytes:
    match error:
        case KeyMissingError() | KeyRejectedError():
            code = "UNAUTHORIZED"
        case NotAllowedError():
            code = "DENIED"
        case NotFoundError():
            code = _OCI_CODES.get(str(error.details.get("missing")), "NAME_INVALID")
        case MethodNotAllowedError():
            code = "UNSUPPORTED"
        case _:
            code = "TOOMANYREQUESTS" if status == 429 else "UNKNOWN"
    row = {"code": code, "message": str(error), "detail": {"code": error.code}}
    return msgspec.json.encode({"errors": [row]})
