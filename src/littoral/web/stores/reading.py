"""Paths, queries and cursors of OpenAI's lists, read and checked."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, unquote

from littoral.terms.errors import BadRequestError, MethodNotAllowedError, NotFoundError
from littoral.terms.stores import FileState, Paging
from littoral.web.http import Request

__all__ = ["below", "nothing_at", "paging_of", "query_of", "state_of", "wrong_method"]

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_PARAMETERS_MAX: Final = 32


def below(request: Request, start: str) -> list[str]:
    """The parts of a path below `start`; a part may hold `/`, sent as `%2F`."""
    path = request.escaped or request.path
    return [unquote(part) for part in path.removeprefix(start).split("/")]


def query_of(request: Request) -> dict[str, str]:
    """The parameters of a query, the last of each name."""
    try:
        read = parse_qs(
            request.query, keep_blank_values=True, max_num_fields=_PARAMETERS_MAX, errors="strict"
        )
    except ValueError:
        raise BadRequestError("the query can't be read", advice="send fewer parameters") from None
    return {name: values[-1] for name, values in read.items()}


def paging_of(query: Mapping[str, str], *, usual: int, most: int) -> Paging:
    """Which part of a list a query asks for.

    Args:
        query: as `query_of` gives it.
        usual: rows, where it says nothing.
        most: rows that it may ask for.

    Raises:
        BadRequestError: it asks for none that there could be.
    """
    said = query.get("limit", str(usual))
    limit = int(said) if _NUMBER.fullmatch(said) else 0
    if not 1 <= limit <= most:
        raise BadRequestError(
            f"`limit` is not a number from 1 to {most}", advice="leave it out", param="limit"
        )
    order = query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise BadRequestError("`order` is neither `asc` nor `desc`", param="order")
    return Paging(
        limit=limit,
        descending=order == "desc",
        after=query.get("after", ""),
        before=query.get("before", ""),
    )


def state_of(query: Mapping[str, str]) -> FileState | None:
    """Which files of a store a query asks for; None is all.

    Raises:
        BadRequestError: of a state that there isn't.
    """
    said = query.get("filter")
    if said is None:
        return None
    try:
        return FileState(said)
    except ValueError:
        states = ", ".join(each.value for each in FileState)
        raise BadRequestError(f"`filter` is none of {states}", param="filter") from None


def nothing_at(request: Request) -> NotFoundError:
    """There is nothing at this path."""
    return NotFoundError(
        f"there is nothing at {request.path[:200]}", advice="docs/memory-openai.md has all paths"
    )


def wrong_method(request: Request, allowed: list[str]) -> MethodNotAllowedError:
    """There is something at this path, for other methods."""
    return MethodNotAllowedError(
        f"{request.path[:200]} does not take {request.method}",
        advice=f"send {' or '.join(allowed)}",
        details={"allow": allowed},
    )
