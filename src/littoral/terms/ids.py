"""Distinct id types, so that one kind of name is never passed for another.

An id is text that has been checked once, at the edge, by the function here that makes it.
"""

import re
from typing import Final, NewType

from littoral.terms.errors import BadRequestError

__all__ = [
    "ArtifactId",
    "Digest",
    "KeyId",
    "ModelName",
    "OwnerId",
    "PopId",
    "ReceiptId",
    "SiteName",
    "TicketId",
    "ZoneName",
    "artifact_id",
    "digest_of_hex",
    "model_name",
    "place_name",
    "receipt_id",
]

ArtifactId = NewType("ArtifactId", str)
"""`blake3:` and 64 lowercase hexadecimal digits: the BLAKE3 of an artifact's manifest."""

Digest = NewType("Digest", str)
"""`sha256:` and 64 lowercase hexadecimal digits: the name of some exact bytes."""

KeyId = NewType("KeyId", str)
"""The public half of an API key, safe to show and log: `k` and 12 characters."""

ModelName = NewType("ModelName", str)
"""What a client writes in `model`: lowercase letters, digits and `. _ - / :`, at most 96."""

OwnerId = NewType("OwnerId", str)
"""`own-` and the first 16 hexadecimal digits of the SHA-256 of an owner's root public key (its
SubjectPublicKeyInfo in DER). It is the trust domain of the owner's SPIFFE names."""

PopId = NewType("PopId", str)
"""`pop-` and the first 16 hexadecimal digits of the SHA-256 of the PoP's public key."""

ReceiptId = NewType("ReceiptId", str)
"""`rcpt_` and 32 hexadecimal digits, chosen by the PoP when a request arrives (`receipt_id`)."""

SiteName = NewType("SiteName", str)
"""PoPs with fast links between them: one room, one data centre. See `place_name`."""

TicketId = NewType("TicketId", str)
"""The public half of a ticket, safe to show and log: `t` and 16 hexadecimal digits."""

ZoneName = NewType("ZoneName", str)
"""Where requests may be confined to: a country, a jurisdiction. It has sites. See `place_name`."""

_HEX: Final = re.compile(r"[0-9a-f]{64}")
_MODEL: Final = re.compile(r"[a-z0-9][a-z0-9._/:-]{0,95}")
_PLACE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def receipt_id(unix_ns: int, random: bytes) -> ReceiptId:
    """The name of a receipt: its time, then chance. Names that grow keep an index of them small.

    Args:
        unix_ns: when its request arrived.
        random: 10 bytes.
    """
    return ReceiptId(f"rcpt_{unix_ns // 1_000_000:012x}{random.hex()}")


def artifact_id(text: str) -> ArtifactId:
    """The name of an artifact, checked.

    Raises:
        BadRequestError: it is anything else.
    """
    if not _HEX.fullmatch(text.removeprefix("blake3:")) or not text.startswith("blake3:"):
        raise BadRequestError(
            f"{text[:80]!r} does not name an artifact",
            advice="it is blake3: and 64 lowercase hexadecimal digits",
        )
    return ArtifactId(text)


def digest_of_hex(hexadecimal: str) -> Digest:
    """The digest whose SHA-256 is these 64 lowercase hexadecimal digits.

    Raises:
        ValueError: it is anything else.
    """
    if not _HEX.fullmatch(hexadecimal):
        raise ValueError(f"not a SHA-256 in lowercase hexadecimal: {hexadecimal[:80]!r}")
    return Digest(f"sha256:{hexadecimal}")


def model_name(text: str) -> ModelName:
    """The name, checked.

    Raises:
        BadRequestError: it has characters or a length that no model name has.
    """
    if not _MODEL.fullmatch(text):
        raise BadRequestError(
            f"{text[:96]!r} is not a model name",
            advice="use lowercase letters, digits and . _ - / : , at most 96 characters",
            param="model",
        )
    return ModelName(text)


def place_name(text: str, what: str) -> str:
    """The name of a site or a zone, checked: lowercase letters, digits and `-`, at most 32.

    Raises:
        BadRequestError: it is anything else; `what` says of what it is the name.
    """
    if not _PLACE.fullmatch(text):
        raise BadRequestError(
            f"{text[:64]!r} is not the name of a {what}",
            advice="use lowercase letters, digits and - , at most 32 characters",
            param=what,
        )
    return text
