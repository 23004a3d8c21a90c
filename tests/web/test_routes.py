"""Paths and methods are found whole, or refused with what would be right."""

import pytest

from littoral.terms.errors import MethodNotAllowedError, NotFoundError
from littoral.terms.values import Caller
from littoral.web.http import Request, Responder
from littoral.web.routes import Access, Route, Routes, key_of, read_only


async def nothing(request: Request, responder: Responder, caller: Caller, rest: str) -> None:
    """Stands for any route."""


ROOT, THING, LIST, ITEM = (Route(nothing) for _ in range(4))
ROUTES = Routes(
    {
        "/": {"GET": ROOT},
        "/thing": {"POST": THING},
        "/items": {"GET": LIST},
        "/items/": {"GET": ITEM},
    }
)


@pytest.mark.parametrize(
    ("method", "path", "route", "rest"),
    [
        ("GET", "/", ROOT, ""),
        ("HEAD", "/", ROOT, ""),
        ("POST", "/thing", THING, ""),
        ("GET", "/items", LIST, ""),
        ("GET", "/items/a", ITEM, "a"),
        ("GET", "/items/a/b", ITEM, "a/b"),
        ("GET", "/items//", ITEM, "/"),
    ],
)
def test_a_route_is_found_with_the_rest_of_its_path(
    method: str, path: str, route: Route, rest: str
) -> None:
    found, remaining = ROUTES.find(method, path)
    assert found is route
    assert remaining == rest


@pytest.mark.parametrize("path", ["/no", "/thing/", "/thing/x", "/items/", "", "/Thing", "//"])
def test_a_path_that_is_not_there_is_not_found(path: str) -> None:
    with pytest.raises(NotFoundError):
        ROUTES.find("GET", path)


def test_a_wrong_method_is_told_the_right_ones() -> None:
    with pytest.raises(MethodNotAllowedError) as wrong:
        ROUTES.find("GET", "/thing")
    assert wrong.value.details == {"allow": ["POST"]}
    with pytest.raises(MethodNotAllowedError) as wrong:
        ROUTES.find("DELETE", "/items/a")
    assert wrong.value.details == {"allow": ["GET", "HEAD"]}


def test_a_route_needs_a_key_unless_it_says_otherwise() -> None:
    assert read_only(nothing)["GET"].access is Access.ANY_KEY
    assert read_only(nothing, Access.NO_KEY)["GET"].access is Access.NO_KEY


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer  abc "}, "abc"),
        ({"x-api-key": "abc"}, "abc"),
        ({"authorization": "Bearer abc", "x-api-key": "def"}, "abc"),
        ({"authorization": "Basic abc", "x-api-key": "def"}, "def"),
        ({"authorization": "Basic abc"}, None),
        ({"authorization": "Basic YW55OmtleQ=="}, "key"),
        ({"authorization": "Basic YW55OmtleQ==", "x-api-key": "def"}, "def"),
        ({"authorization": "Basic YW55Og=="}, None),
        ({"authorization": "Basic gIA="}, None),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "Bearer "}, None),
        ({"x-api-key": ""}, None),
        ({}, None),
    ],
)
def test_a_key_is_found_where_official_clients_put_it(
    headers: dict[str, str], key: str | None
) -> None:
    assert key_of(headers) == key
