"""What an entry says of its upstreams, and how that is changed. Nothing is asked of them here.

Rules
- An upstream is told from the others of its model by its address and its own name for the model.
- A model keeps at least one upstream: who wants none removes the model.
- An address never has a secret in it; keys are named by their file or variable, not stored.
- Whatever comes of a change, and whatever is read back, passes `check_upstreams`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from littoral.adapters.http.words import Origin
from littoral.terms import limits
from littoral.terms.errors import BadRequestError, ConfigError, ConflictError
from littoral.terms.ids import model_name
from littoral.terms.values import (
    EngineKind,
    Kind,
    ModelEntry,
    RelayPolicy,
    UpstreamTarget,
)

__all__ = [
    "NATIVE_APIS",
    "check_upstreams",
    "described",
    "parse_upstream",
    "with_relay",
    "with_upstream",
    "with_weight",
    "without_upstream",
]

NATIVE_APIS: Final = ("messages", "responses", "rerank")
"""APIs that an upstream may speak beside the usual ones: two that need no translation then, and
the one that sorts passages."""

_USUAL_APIS: Final = UpstreamTarget(base_url="", model="").apis
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def parse_upstream(
    url: str,
    *,
    model: str,
    key_file: str | None = None,
    key_env: str | None = None,
    key_header: str = "authorization",
    weight: int = 1,
    native_apis: Sequence[str] = (),
) -> UpstreamTarget:
    """Where an upstream is, checked. The key itself is neither read nor stored here.

    Raises:
        BadRequestError: an address or option makes no sense, or the address has a secret in it.
    """
    if key_file and key_env:
        raise BadRequestError("--key-file and --key-env are both given", advice="give one")
    path = Path(key_file).expanduser().absolute() if key_file else None
    if path is not None and not path.is_file():
        raise BadRequestError(f"there is no key file {path}", advice="write the key into it first")
    for api in native_apis:
        if api not in NATIVE_APIS:
            raise BadRequestError(
                f"--native-api {api[:80]!r} is unknown", advice=f"use {', '.join(NATIVE_APIS)}"
            )
    target = UpstreamTarget(
        base_url=url.rstrip("/"),
        model=model,
        key_file=str(path) if path else None,
        key_env=key_env,
        key_header=key_header.lower(),
        weight=weight,
        apis=tuple(dict.fromkeys((*_USUAL_APIS, *native_apis))),
    )
    _check_target(target)
    return target


def described(upstreams: Sequence[UpstreamTarget]) -> str:
    """What a person reads of a model that is elsewhere."""
    first = upstreams[0]
    origin, _ = Origin.of_url(first.base_url)
    more = len(upstreams) - 1
    place = origin.socket_path or origin.host
    return f"{first.model} at {place}" + (f" and {more} more" if more else "")


# --- changes -------------------------------------------------------------------------------------


def with_upstream(entry: ModelEntry, target: UpstreamTarget) -> ModelEntry:
    """The entry with one upstream more.

    Raises:
        BadRequestError: the model is not on upstreams, or has as many as it may.
        ConflictError: it is there already.
    """
    _is_relayed(entry)
    if any(_same(one, target.base_url, target.model) for one in entry.upstreams):
        raise ConflictError(
            f"{entry.name} has the upstream {target.base_url} already",
            advice="remove it first, or give another --upstream-model",
        )
    return _with(entry, (*entry.upstreams, target))


def without_upstream(entry: ModelEntry, url: str, model: str | None = None) -> ModelEntry:
    """The entry with one upstream less. `model` tells two of one address apart.

    Raises:
        BadRequestError: there is no such upstream, or more than one.
        ConflictError: it is the last.
    """
    gone = _found(entry, url, model)
    if len(entry.upstreams) == 1:
        raise ConflictError(
            f"it is the only upstream of {entry.name}",
            advice=f"add another first, or `littoral models remove {entry.name}`",
        )
    return _with(entry, tuple(one for one in entry.upstreams if one is not gone))


def with_weight(
    entry: ModelEntry, url: str, weight: int | None, model: str | None = None
) -> ModelEntry:
    """The entry with another weight of one upstream; None is 1, unless it has one already.

    Raises:
        BadRequestError: there is no such upstream, or more than one.
    """
    found = _found(entry, url, model)
    weighed = replace(found, weight=(found.weight or 1) if weight is None else weight)
    return _with(entry, tuple(weighed if one is found else one for one in entry.upstreams))


def with_relay(
    entry: ModelEntry,
    change: Callable[[RelayPolicy], RelayPolicy],
    fallbacks: Sequence[str] | None = None,
) -> ModelEntry:
    """The entry with another relay policy and, unless None, other models to fall back to.

    Raises:
        BadRequestError: the model is not on upstreams, or a value makes no sense.
    """
    _is_relayed(entry)
    names = entry.fallbacks if fallbacks is None else tuple(map(model_name, fallbacks))
    changed = replace(entry, relay=change(entry.relay), fallbacks=tuple(dict.fromkeys(names)))
    check_upstreams(changed)
    return changed


def _is_relayed(entry: ModelEntry) -> None:
    if entry.engine is not EngineKind.UPSTREAM:
        raise BadRequestError(
            f"{entry.name} runs on this machine",
            advice="add the upstream as a model: `littoral models add upstream:URL --name NAME`",
        )


def _same(target: UpstreamTarget, url: str, model: str | None) -> bool:
    return target.base_url == url.rstrip("/") and model in {None, target.model}


def _found(entry: ModelEntry, url: str, model: str | None) -> UpstreamTarget:
    _is_relayed(entry)
    found = [one for one in entry.upstreams if _same(one, url, model)]
    if not found:
        raise BadRequestError(
            f"{entry.name} has no such upstream",
            advice=f"`littoral models show {entry.name}` lists them",
        )
    if len(found) > 1:
        raise BadRequestError(
            f"{entry.name} has {len(found)} upstreams of this address",
            advice=f"say which with --upstream-model: {', '.join(one.model for one in found)}",
        )
    return found[0]


def _with(entry: ModelEntry, upstreams: tuple[UpstreamTarget, ...]) -> ModelEntry:
    own = entry.description != described(entry.upstreams)
    changed = replace(
        entry,
        upstreams=upstreams,
        description=entry.description if own else described(upstreams),
    )
    check_upstreams(changed)
    return changed


# --- what makes sense ----------------------------------------------------------------------------


def check_upstreams(entry: ModelEntry) -> None:
    """See that what an entry says of its upstreams makes sense.

    Raises:
        BadRequestError: something does not, and which.
    """
    if (entry.engine is EngineKind.UPSTREAM) != bool(entry.upstreams):
        raise BadRequestError("upstreams go with the engine `upstream`, and it with them")
    if len(entry.upstreams) > limits.UPSTREAMS_MAX:
        raise BadRequestError(
            f"a model has at most {limits.UPSTREAMS_MAX} upstreams", advice="remove one first"
        )
    for target in entry.upstreams:
        _check_target(target)
    names = {(target.base_url, target.model) for target in entry.upstreams}
    if len(names) != len(entry.upstreams):
        raise BadRequestError("an upstream is named twice")
    chats = set(NATIVE_APIS) - {"rerank"}
    native = {api for target in entry.upstreams for api in target.apis} & chats
    if native and Kind.CHAT not in entry.kinds:
        raise BadRequestError(
            f"{entry.name} does not chat, and {', '.join(sorted(native))} is for chats",
            advice="leave --native-api out",
        )
    _check_relay(entry.relay)
    _check_fallbacks(entry)


def _check_target(target: UpstreamTarget) -> None:
    try:
        Origin.of_url(target.base_url)
    except ConfigError as error:
        raise BadRequestError(error.message, advice=error.advice) from None
    if "@" in urlsplit(target.base_url).netloc:
        raise BadRequestError(
            "the upstream's address has a user or password in it, which would be stored",
            advice="give the key with --key-file or --key-env",
        )
    if target.key_env and not _VARIABLE.fullmatch(target.key_env):
        raise BadRequestError(
            "--key-env does not name an environment variable",
            advice="give the variable's name, not the key",
        )
    if not _HEADER.fullmatch(target.key_header):
        raise BadRequestError("--key-header is not a header's name", advice="for example api-key")
    if not 0 <= target.weight <= limits.UPSTREAM_WEIGHT_MAX:
        raise BadRequestError(
            f"the weight {target.weight} is not from 0 to {limits.UPSTREAM_WEIGHT_MAX}",
            advice="1 is usual, 0 drains it",
        )
    if unknown := set(target.apis) - {*_USUAL_APIS, *NATIVE_APIS}:
        raise BadRequestError(f"an upstream's API is unknown: {min(unknown)[:80]!r}")


def _check_relay(relay: RelayPolicy) -> None:
    waits = {
        "--connect-s": relay.connect_s,
        "--first-byte-s": relay.first_byte_s,
        "--between-bytes-s": relay.between_bytes_s,
        "--total-s": relay.total_s,
        "--hedge-ms": relay.hedge_after_s if relay.hedge_after_s is not None else 1.0,
    }
    for option, wait_s in waits.items():
        if not 0 < wait_s <= limits.RELAY_WAIT_S_MAX:
            raise BadRequestError(
                f"{option} is not above 0 and at most {limits.RELAY_WAIT_S_MAX:,.0f} s",
                advice="give a time that an answer can take",
            )
    if not 1 <= relay.attempts <= limits.RELAY_ATTEMPTS_MAX:
        raise BadRequestError(
            f"--attempts {relay.attempts} is not from 1 to {limits.RELAY_ATTEMPTS_MAX}",
            advice="3 is usual, 1 never tries again",
        )


def _check_fallbacks(entry: ModelEntry) -> None:
    if len(entry.fallbacks) > limits.FALLBACKS_MAX:
        raise BadRequestError(
            f"a model falls back to at most {limits.FALLBACKS_MAX} others", advice="name fewer"
        )
    for name in entry.fallbacks:
        if model_name(name) == entry.name:
            raise BadRequestError(f"{name} can't fall back to itself", advice="name another model")
