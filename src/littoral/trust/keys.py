"""API keys: how they are made, written down and checked.

A key is `lit_<id>_<secret>`: 12 characters that name it, safe to show, and 43 that hold 256 random
bits. The prefix lets secret scanners find keys that leaked.

Rules
- Only SHA-256 of the whole key is kept. A slow or salted hash defends secrets that people chose and
  others can guess; 256 random bits can't be guessed, so a plain hash gives nothing away, in 1 µs.
- Hashes are compared in constant time: how long a check takes says nothing of how much was right.
- Unknown, expired, revoked and false keys are refused in the same words.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final

from littoral.terms.errors import BadRequestError, KeyMissingError, KeyRejectedError
from littoral.terms.ids import KeyId, ModelName
from littoral.terms.values import Caller, KeyLimits

__all__ = ["KEY_RANDOM_BYTES", "Grant", "KeyRecord", "check", "holder", "key_id_of", "make_key"]

KEY_RANDOM_BYTES: Final = 40
"""Randomness that one key takes: 8 bytes for its id, 32 for its secret."""

_KEY: Final = re.compile(r"lit_([a-z2-7]{12})_[A-Za-z0-9_-]{43}")
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LABEL: Final = re.compile(r"[^\x00-\x1f\x7f,]{1,64}")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key allows. The default is every model, without limits, as a plain caller."""

    models: tuple[ModelName, ...] | None = None
    limits: KeyLimits = field(default_factory=KeyLimits)
    operator: bool = False
    expires_unix_s: int | None = None
    tenant: str = ""
    """Keys of one tenant share what is cached; empty is a tenant of this key alone."""
    reuse_error_max: float | None = None
    """Most wrong answers, as a share, that semantic reuse may give this key; None is no reuse."""
    labels: tuple[str, ...] = ()
    """Passages with one of these labels may be recalled for it, beside those without any."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is kept of a key. Neither the key nor its secret can be had from it."""

    key_id: KeyId
    name: str
    hash: bytes
    created_unix_s: int
    grant: Grant
    revoked_unix_s: int | None = None

    def usable(self, unix_s: int) -> bool:
        """Whether the key opens anything at this time."""
        expires = self.grant.expires_unix_s
        return self.revoked_unix_s is None and (expires is None or unix_s < expires)


def make_key(
    random: bytes, *, name: str, unix_s: int, grant: Grant | None = None
) -> tuple[KeyRecord, str]:
    """A new key: what to keep of it, and the key itself, to be shown once.

    Args:
        random: KEY_RANDOM_BYTES bytes fit for secrets.
        name: for people, 1 to 64 visible characters.
        unix_s: the time of making.
        grant: what the key allows.

    Raises:
        BadRequestError: the name is empty, too long, or has control characters; or the grant names
            an impossible tenant, share or label.
    """
    if len(random) != KEY_RANDOM_BYTES:
        raise ValueError(f"a key takes {KEY_RANDOM_BYTES} random bytes, not {len(random)}")
    if not _NAME.fullmatch(name) or not name.strip():
        raise BadRequestError(
            "a key's name has 1 to 64 characters, none of them control characters"
        )
    grant = grant or Grant()
    _check_grant(grant)
    name_part = base64.b32encode(random[:8]).decode().lower()[:12]
    secret = base64.urlsafe_b64encode(random[8:]).decode().rstrip("=")
    token = f"lit_{name_part}_{secret}"
    record = KeyRecord(KeyId(f"k{name_part}"), name, _hash(token), unix_s, grant)
    return record, token


def key_id_of(token: str | None) -> KeyId:
    """Which key this is said to be.

    Raises:
        KeyMissingError: nothing was sent.
        KeyRejectedError: it is not in the form of a key.
    """
    if not token:
        raise KeyMissingError("this needs an API key")
    match = _KEY.fullmatch(token)
    if match is None:
        raise _rejected()
    return KeyId(f"k{match[1]}")


def check(record: KeyRecord | None, token: str, unix_s: int) -> Caller:
    """Who holds this key.

    Args:
        record: the record under `key_id_of(token)`, if there is one.
        token: the key as it was sent.
        unix_s: the present.

    Raises:
        KeyRejectedError: the key is unknown, false, expired or revoked.
    """
    known = record.hash if record is not None else b""
    right = hmac.compare_digest(known, _hash(token))
    if record is None or not right or not record.usable(unix_s):
        raise _rejected()
    return holder(record)


def holder(record: KeyRecord) -> Caller:
    """Who holds the key of this record, once it is known that somebody does."""
    grant = record.grant
    return Caller(
        record.key_id,
        record.name,
        grant.operator,
        grant.models,
        grant.limits,
        grant.tenant,
        grant.reuse_error_max,
        labels=grant.labels,
    )


def _check_grant(grant: Grant) -> None:
    if grant.tenant and not _TENANT.fullmatch(grant.tenant):
        raise BadRequestError(
            f"{grant.tenant!r} can't name a tenant",
            advice="use 1 to 64 letters, digits, dots, dashes, underscores; not first . - or _",
        )
    for label in grant.labels:
        if not _LABEL.fullmatch(label):
            raise BadRequestError(
                f"{label[:64]!r} can't be a label",
                advice="use 1 to 64 characters, none of them a comma or a control character",
            )
    share = grant.reuse_error_max
    if share is not None and not 0 < share < 1:
        raise BadRequestError(
            f"{share:g} is no share of answers that may be wrong",
            advice="give a number between 0 and 1, as 0.02 for two in a hundred; none is no reuse",
        )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _rejected() -> KeyRejectedError:
    return KeyRejectedError("this API key opens nothing here")
