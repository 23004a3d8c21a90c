"""How many searches one query of Qdrant's makes."""

import json
from typing import Any

import pytest

from littoral.sim.collections import PaperCollections
from littoral.terms.limits import PREFETCHES_MAX
from littoral.terms.memory import Found, Search
from tests.web.collections_served import pop, qdrant
from tests.web.fake_door import OPERATOR_KEY
from tests.web.raw import post


async def test_each_prefetch_is_searched_once_however_they_are_nested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {"query": [1, 0]}
    for _ in range(PREFETCHES_MAX // 2):
        within = {"query": [1, 0], "prefetch": asked, "score_threshold": 0.1}
        asked = {"query": {"fusion": "rrf"}, "prefetch": [within]}
    papers = PaperCollections()
    async with pop(papers) as served:
        client = qdrant(served)
        await client.create_collection("a", {"": {"size": 2, "distance": "Cosine"}})  # type: ignore[dict-item]
        await client.upsert("a", [{"id": 1, "vector": [1, 0]}])  # type: ignore[list-item]
        collection, searches = papers.open("a"), list[Search]()
        search = collection.search

        def counted(wanted: Search) -> Found:
            searches.append(wanted)
            return search(wanted)

        monkeypatch.setattr(collection, "search", counted)
        path = "/collections/a/points/query"
        sent = post(json.dumps(asked).encode(), path, f"Api-Key: {OPERATOR_KEY}")
        answer = await (await served.client()).ask(sent, "POST")
        await client.close()
    (point,) = json.loads(answer.body)["result"]["points"]
    assert point["id"] == 1
    assert len(searches) <= PREFETCHES_MAX + 1
