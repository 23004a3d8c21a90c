"""What HTTP says about giving an answer again (RFC 9111), and how it is said (RFC 9211).

Rules
- A request decides for itself: `no-store` and `no-cache` are heeded always. `max-age` (above 0),
  `max-stale` and `only-if-cached` say in so many words that an older answer will do, and are the
  way to have an answer kept and given again that is not reproducible.
- An upstream decides for its answers: `no-store`, `private` and `no-cache` keep them out.
- What can't be read is read as the more careful of what it may mean.
- Times of entries are wall-clock nanoseconds, since they outlive the process; a clock that was set
  back never makes an entry fresh for longer than it was meant to be.
"""

import enum
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec

from littoral.terms.limits import CACHE_CONTROL_CHARS_MAX, CACHE_CONTROL_MEMO_MAX
from littoral.terms.values import SECOND, Finish

__all__ = [
    "NO_DIRECTIVES",
    "Directives",
    "Forward",
    "age_s",
    "cache_control",
    "directives_of",
    "forwarded",
    "hit",
    "is_fresh",
    "lifetime_s",
    "may_look_up",
    "may_store",
    "ttl_s",
]

_SECONDS_MAX: Final = 2**31
"""RFC 9111, 1.2.2: a larger number is taken for this one."""

_SKEW_NS: Final = 60 * SECOND
"""How far in the future an entry may have been stored: clocks are set right in small steps."""

_WHOLE: Final = frozenset({Finish.STOP, Finish.LENGTH, Finish.TOOL_CALLS, Finish.DONE})


class Directives(msgspec.Struct, frozen=True, gc=False):
    """A `Cache-Control` field, of a request or a response."""

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    only_if_cached: bool = False
    max_age_s: int | None = None
    shared_max_age_s: int | None = None
    min_fresh_s: int = 0
    max_stale_s: int = 0

    @property
    def asks_for_reuse(self) -> bool:
        """Whether an answer that is not reproducible may be kept and given again."""
        return self.only_if_cached or self.max_stale_s > 0 or bool(self.max_age_s)


NO_DIRECTIVES: Final = Directives()
_CAREFUL: Final = Directives(no_store=True, no_cache=True, private=True)


class Forward(enum.Enum):
    """Why an answer did not come from the cache, in the words of RFC 9211."""

    BYPASS = "bypass"
    """This PoP does not look such requests up."""
    REQUEST = "request"
    """The request did not want what may be there."""
    MISS = "miss"
    """There was nothing."""
    PARTIAL = "partial"
    """There was something for a part of the batch."""
    STALE = "stale"
    """What was there is too old."""


def directives_of(field: str | None) -> Directives:
    """What a `Cache-Control` field says; nothing when there is none.

    Args:
        field: its value; several fields are joined by commas first.
    """
    if not field:
        return NO_DIRECTIVES
    if len(field) > CACHE_CONTROL_CHARS_MAX:
        return _CAREFUL
    return _parsed(field)


@lru_cache(maxsize=CACHE_CONTROL_MEMO_MAX)
def _parsed(field: str) -> Directives:
    flags: set[str] = set()
    numbers: dict[str, int] = {}
    for name, value in _members(field):
        match name:
            case "no-store" | "no-cache" | "private" | "only-if-cached":
                flags.add(name)
            case "max-age" | "s-maxage":
                numbers[name] = min(numbers.get(name, _SECONDS_MAX), _seconds(value, otherwise=0))
            case "min-fresh":
                fresh = _seconds(value, otherwise=_SECONDS_MAX)
                numbers[name] = max(numbers.get(name, 0), fresh)
            case "max-stale":
                stale = _SECONDS_MAX if value is None else _seconds(value, otherwise=0)
                numbers[name] = min(numbers.get(name, _SECONDS_MAX), stale)
            case _:
                pass  # RFC 9111, 5.2.3: what is not understood is ignored
    return Directives(
        no_store="no-store" in flags,
        no_cache="no-cache" in flags,
        private="private" in flags,
        only_if_cached="only-if-cached" in flags,
        max_age_s=numbers.get("max-age"),
        shared_max_age_s=numbers.get("s-maxage"),
        min_fresh_s=numbers.get("min-fresh", 0),
        max_stale_s=numbers.get("max-stale", 0),
    )


def _members(field: str) -> Iterator[tuple[str, str | None]]:
    """Each directive's name and argument. A comma in quotes parts too: more is read, not less."""
    for member in field.split(","):
        name, equals, value = member.partition("=")
        yield name.strip().lower(), value.strip().strip('"') if equals else None


def _seconds(text: str | None, *, otherwise: int) -> int:
    if text is None or not text.isascii() or not text.isdigit():
        return otherwise
    return _SECONDS_MAX if len(text) > len(str(_SECONDS_MAX)) else min(int(text), _SECONDS_MAX)


def may_look_up(request: Directives, *, reproducible: bool) -> Forward | None:
    """None when the cache is to be asked, else why it is not.

    Args:
        request: the request's directives.
        reproducible: `keys.reproducible` of the request.
    """
    if request.no_cache or request.no_store or request.max_age_s == 0:
        return Forward.REQUEST
    return None if reproducible or request.asks_for_reuse else Forward.BYPASS


def may_store(
    request: Directives,
    *,
    reproducible: bool,
    status: int,
    finish: Finish,
    upstream: Directives = NO_DIRECTIVES,
) -> bool:
    """Whether an answer may be kept, to be given again.

    Args:
        request: the request's directives.
        reproducible: `keys.reproducible` of the request.
        status: the answer's HTTP status.
        finish: how it ended: one that broke off is never kept.
        upstream: the directives of the upstream's response, if one answered.
    """
    if request.no_store or not (reproducible or request.asks_for_reuse):
        return False
    if status != 200 or finish not in _WHOLE:
        return False
    refused = upstream.no_store or upstream.private or upstream.no_cache
    return not refused and lifetime_s(1, upstream) > 0


def lifetime_s(setting_s: int, upstream: Directives = NO_DIRECTIVES) -> int:
    """How long an answer is fresh: as long as this PoP says, or less if its upstream says so."""
    said = upstream.max_age_s if upstream.shared_max_age_s is None else upstream.shared_max_age_s
    return setting_s if said is None else min(setting_s, said)


def is_fresh(stored_unix_ns: int, expires_unix_ns: int, now_ns: int, request: Directives) -> bool:
    """Whether a request may be given an entry of these times now.

    Args:
        stored_unix_ns: when it was stored.
        expires_unix_ns: until when it is fresh.
        now_ns: the present, on the wall clock.
        request: the request's directives.
    """
    age_ns = now_ns - stored_unix_ns
    if age_ns < -_SKEW_NS:
        return False
    if request.max_age_s is not None and age_ns > request.max_age_s * SECOND:
        return False
    left_ns = expires_unix_ns - now_ns
    if left_ns >= 0:
        return left_ns >= request.min_fresh_s * SECOND
    return request.min_fresh_s == 0 and -left_ns <= request.max_stale_s * SECOND


def age_s(stored_unix_ns: int, now_ns: int) -> int:
    """The value of `Age`: whole seconds since it was stored."""
    return max(0, (now_ns - stored_unix_ns) // SECOND)


def ttl_s(expires_unix_ns: int, now_ns: int) -> int:
    """Whole seconds that an entry is still fresh; below 0 for how long it has not been."""
    return (expires_unix_ns - now_ns) // SECOND


def hit(ttl: int, detail: str = "") -> str:
    """The value of `Cache-Status` for an answer out of the cache.

    Args:
        ttl: seconds that it is still fresh (`ttl_s`).
        detail: one word on how it was found, as `semantic`.
    """
    return f"littoral; hit; ttl={ttl}" + (f"; detail={detail}" if detail else "")


def forwarded(why: Forward, *, collapsed: bool = False) -> str:
    """The value of `Cache-Status` for an answer that was computed.

    Args:
        why: why the cache did not give it.
        collapsed: it was computed for somebody else who asked the same at the same time.
    """
    return f"littoral; fwd={why.value}{'; collapsed' if collapsed else ''}"


def cache_control(ttl: int) -> str:
    """The value of `Cache-Control` in a response.

    Args:
        ttl: seconds that it is still fresh.
    """
    return f"private, max-age={max(0, ttl)}"
