"""A PoP answers Qdrant's client as the client's own local mode does."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel
from qdrant_client import AsyncQdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

from littoral.adapters.memory.embedded.place import EmbeddedCollections
from tests.web.collections_served import pop, qdrant
from tests.web.qdrant.chances import Chances, Operation, make

OPERATIONS = 1_000
REFUSED = object()
"""Instead of an answer."""


async def answer(client: AsyncQdrantClient, operation: Operation) -> object:
    """What comes back, as plain values; which error is not compared, only that there is one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return plain(await operation(client))
    except UnexpectedResponse as error:
        if error.status_code not in {400, 404}:
            raise
        return REFUSED
    except (ValueError, KeyError):
        return REFUSED


def plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if isinstance(value, dict):
        left_out = {"version", "operation_id"}
        return {name: plain(each) for name, each in value.items() if name not in left_out}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def alike(one: object, other: object) -> bool:
    """Whether both say the same, but for the last digits and for the order of equal scores."""
    match one, other:
        case bool(), _:
            return one is other
        case int() | float(), int() | float():
            return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-5)
        case dict(), dict():
            return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
        case list(), list():
            return len(one) == len(other) and (
                all(map(alike, one, other)) or (is_scored(one) and alike_by_score(one, other))
            )
        case _:
            return one == other


def is_scored(values: Sequence[object]) -> bool:
    return all(isinstance(value, dict) and "score" in value for value in values)


def alike_by_score(
    one: Sequence[Mapping[str, object]], other: Sequence[Mapping[str, object]]
) -> bool:
    """The same scores, and the same points but for those that tie with the last one."""
    if not all(alike(mine["score"], its["score"]) for mine, its in zip(one, other, strict=True)):
        return False
    last = one[-1]["score"]
    mine = {str(point["id"]): point for point in one if not alike(point["score"], last)}
    its = {str(point["id"]): point for point in other if not alike(point["score"], last)}
    return alike(mine, its)


async def test_a_thousand_random_operations_are_answered_as_by_the_clients_own_local_mode(
    tmp_path: Path,
) -> None:
    chances = Chances(seed=6)
    local = AsyncQdrantClient(":memory:")
    done: dict[str, int] = {}
    async with pop(EmbeddedCollections(tmp_path)) as served:
        remote = qdrant(served)
        await make(local)
        await make(remote)
        for number in range(OPERATIONS):
            name, operation = chances.operation()
            mine, its = await answer(remote, operation), await answer(local, operation)
            assert alike(mine, its), f"{number} {name}\nhere:  {mine}\nlocal: {its}"
            if mine is not REFUSED:
                done[name] = done.get(name, 0) + 1
        await remote.close()
    assert len(done) > 20, done
