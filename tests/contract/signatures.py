"""A second opinion on signed requests to S3-compatible stores: AWS Signature Version 4, read anew.

Of its two forms, in the header and in the address, either will do.
"""

import hashlib
import hmac
import re
from urllib.parse import parse_qsl, quote, urlsplit

from tests.contract.troubled import Seen

__all__ = ["is_signed"]

_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(\S+?),\s*SignedHeaders=(\S+?),\s*Signature=(\w+)"
)


def is_signed(seen: Seen, key: str, secret: str) -> bool:
    """Whether whoever sent this has the secret of the key."""
    parts = urlsplit(seen.path)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if found := _HEADER.fullmatch(seen.headers.get("authorization", "")):
        credential, names, signature = found.groups()
        time, payload = seen.headers["x-amz-date"], seen.headers["x-amz-content-sha256"]
    elif "X-Amz-Signature" in query:
        signature = query.pop("X-Amz-Signature")
        credential, names = query["X-Amz-Credential"], query["X-Amz-SignedHeaders"]
        time, payload = query["X-Amz-Date"], "UNSIGNED-PAYLOAD"
    else:
        return False
    who, _, scope = credential.partition("/")
    canonical = "\n".join(
        [
            seen.method,
            parts.path,
            "&".join(f"{_quoted(name)}={_quoted(query[name])}" for name in sorted(query)),
            *(f"{name}:{seen.headers[name].strip()}" for name in names.split(";")),
            "",
            names,
            payload,
        ]
    )
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    signed = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}"
    made = f"AWS4{secret}".encode()
    for step in (*scope.split("/"), signed):
        made = hmac.digest(made, step.encode(), "sha256")
    return who == key and hmac.compare_digest(made.hex(), signature)


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")
