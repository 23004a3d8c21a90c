"""OpenAI's own client against vector stores, at a real listener."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI

from littoral.terms.errors import BadRequestError, LoadingError, UnsupportedError
from littoral.terms.memory import CollectionSpec, Record, Upsert
from tests.node.memory.made import MODEL, OPERATOR
from tests.node.memory.stored import StoresStand, stores_stand

BREAD = ("bread.txt", b"Bread rises with yeast.\nFlour and water make dough.\n")
SEA = ("sea.md", b"The tide turns twice a day.\nSalt water carries boats.\n")


@asynccontextmanager
async def asking(stand: StoresStand, key: str = "lit_alice") -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=f"{stand.url}/v1", api_key=key, max_retries=0, timeout=20
    ) as client:
        yield client


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[StoresStand]:
    async with stores_stand(tmp_path) as stand:
        yield stand


@pytest.fixture
async def client(stand: StoresStand) -> AsyncIterator[AsyncOpenAI]:
    async with asking(stand) as client:
        yield client


async def test_a_file_is_kept_listed_read_and_deleted(client: AsyncOpenAI) -> None:
    raw = bytes(range(256)) * 100 + b"\r\n--\r\n\r\n"
    sent = await client.files.create(file=('ö "x".bin', raw), purpose="user_data")
    assert (sent.bytes, sent.filename, sent.purpose) == (len(raw), 'ö "x".bin', "user_data")
    assert (await client.files.retrieve(sent.id)).id == sent.id
    assert [file.id async for file in client.files.list()] == [sent.id]
    assert [file.id async for file in client.files.list(purpose="assistants")] == []
    assert (await client.files.content(sent.id)).read() == raw
    assert (await client.files.delete(sent.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(sent.id)


async def test_a_store_with_files_is_searched(client: AsyncOpenAI) -> None:
    bread = await client.files.create(file=BREAD, purpose="assistants")
    store = await client.vector_stores.create(
        name="kitchen", file_ids=[bread.id], metadata={"of": "tests"}
    )
    assert store.id.startswith("vs_")
    file = await client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=SEA)
    assert (file.status, file.last_error) == ("completed", None)
    await client.vector_stores.files.poll(bread.id, vector_store_id=store.id)
    shown = await client.vector_stores.retrieve(store.id)
    assert (shown.name, shown.status, shown.file_counts.completed) == ("kitchen", "completed", 2)
    assert shown.metadata == {"of": "tests"}
    assert shown.usage_bytes > 0
    found = [hit async for hit in client.vector_stores.search(store.id, query="yeast in bread")]
    assert (found[0].file_id, found[0].filename) == (bread.id, "bread.txt")
    assert found[0].content[0].text == "Bread rises with yeast."
    assert 0.3 < found[0].score <= 1.0
    both = await client.vector_stores.search(
        store.id, query=["yeast bread", "tide turns"], max_num_results=2
    )
    assert {hit.filename for hit in both.data} == {"bread.txt", "sea.md"}
    near = await client.vector_stores.search(
        store.id,
        query="yeast in bread",
        ranking_options={"score_threshold": 0.3, "ranker": "auto"},
        rewrite_query=True,
    )
    assert [hit.content[0].text for hit in near.data] == ["Bread rises with yeast."]
    texts = [
        part.text
        async for part in client.vector_stores.files.content(bread.id, vector_store_id=store.id)
    ]
    assert texts == ["Bread rises with yeast.", "Flour and water make dough."]


async def test_attributes_are_filtered_by_and_can_change(client: AsyncOpenAI) -> None:
    store = await client.vector_stores.create()
    for number, name in enumerate(("a", "b", "c")):
        await client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id,
            file=(f"{name}.txt", f"The same words in {name}".encode()),
            attributes={"name": name, "number": number, "even": number % 2 == 0},
        )

    async def names(filters: object) -> list[str]:
        page = await client.vector_stores.search(
            store.id,
            query="same words",
            filters=filters,  # type: ignore[arg-type]
        )
        return sorted(str((hit.attributes or {})["name"]) for hit in page.data)

    assert await names({"type": "eq", "key": "name", "value": "a"}) == ["a"]
    assert await names({"type": "ne", "key": "name", "value": "a"}) == ["b", "c"]
    assert await names({"type": "gt", "key": "number", "value": 0}) == ["b", "c"]
    assert await names({"type": "lte", "key": "number", "value": 1}) == ["a", "b"]
    assert await names({"type": "in", "key": "name", "value": ["a", "c"]}) == ["a", "c"]
    assert await names({"type": "nin", "key": "name", "value": ["a", "c"]}) == ["b"]
    even = {"type": "eq", "key": "even", "value": True}
    low = {"type": "lt", "key": "number", "value": 2}
    assert await names({"type": "and", "filters": [even, low]}) == ["a"]
    assert await names({"type": "or", "filters": [even, low]}) == ["a", "b", "c"]
    first = (await client.vector_stores.files.list(store.id, order="asc")).data[0]
    changed = await client.vector_stores.files.update(
        first.id, vector_store_id=store.id, attributes={"name": "z"}
    )
    assert changed.attributes == {"name": "z"}
    assert await names({"type": "eq", "key": "name", "value": "z"}) == ["z"]
    assert await names({"type": "lte", "key": "number", "value": 1}) == ["b"]


async def test_a_batch_is_uploaded_and_polled(client: AsyncOpenAI, stand: StoresStand) -> None:
    store = await client.vector_stores.create(name="batch")
    batch = await client.vector_stores.file_batches.upload_and_poll(store.id, files=[BREAD, SEA])
    assert (batch.status, batch.file_counts.completed, batch.file_counts.total) == (
        "completed",
        2,
        2,
    )
    listed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id)
    ids = [file.id async for file in listed]
    assert len(ids) == 2
    stand.lines.fails = [BadRequestError("it is damaged"), UnsupportedError("no such kind")]
    failed = await client.vector_stores.file_batches.create_and_poll(
        store.id, files=[{"file_id": each, "attributes": {"n": 1}} for each in ids]
    )
    assert (failed.status, failed.file_counts.failed) == ("failed", 2)
    files = client.vector_stores.files.list(store.id, filter="failed")
    codes = {file.last_error.code async for file in files if file.last_error}
    assert codes == {"invalid_file", "unsupported_file"}


async def test_a_batch_that_is_cancelled_leaves_nothing(
    client: AsyncOpenAI, stand: StoresStand
) -> None:
    stand.lines.hold = hold = asyncio.Event()
    store = await client.vector_stores.create()
    sent = [await client.files.create(file=each, purpose="assistants") for each in (BREAD, SEA)]
    batch = await client.vector_stores.file_batches.create(
        store.id, file_ids=[each.id for each in sent]
    )
    assert (batch.status, batch.file_counts.in_progress) == ("in_progress", 2)
    await stand.lines.holding.wait()
    stopped = await client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert (stopped.status, stopped.file_counts.cancelled) == ("cancelled", 2)
    hold.set()
    other = await client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=SEA)
    assert other.status == "completed"
    found = await client.vector_stores.search(store.id, query="bread tide")
    assert {hit.file_id for hit in found.data} == {other.id}


async def test_lists_come_in_pages_both_ways(client: AsyncOpenAI) -> None:
    sent = [
        (await client.files.create(file=(f"{n}.txt", b"x"), purpose="assistants")).id
        for n in range(5)
    ]
    assert [file.id async for file in client.files.list(limit=2, order="asc")] == sent
    assert [file.id async for file in client.files.list(limit=2)] == sent[::-1]
    store = await client.vector_stores.create(file_ids=sent)
    files = client.vector_stores.files
    page = await files.list(store.id, limit=2, order="asc", after=sent[1])
    assert ([file.id for file in page.data], page.has_more) == (sent[2:4], True)
    back = await files.list(store.id, limit=2, order="asc", before=sent[4])
    assert ([file.id for file in back.data], back.has_more) == (sent[2:4], True)
    between = await files.list(store.id, order="desc", after=sent[4], before=sent[1])
    assert [file.id for file in between.data] == [sent[3], sent[2]]
    others = [(await client.vector_stores.create(name=str(n))).id for n in range(3)]
    stores = [each.id async for each in client.vector_stores.list(limit=1)]
    assert sorted(stores) == sorted([store.id, *others])
    with pytest.raises(openai.BadRequestError):
        await files.list(store.id, after="file-none")


async def test_a_collection_made_elsewhere_is_a_store_too(
    client: AsyncOpenAI, stand: StoresStand
) -> None:
    await stand.house.create(CollectionSpec(name="docs", embedding=MODEL), OPERATOR)
    docs = await stand.house.open("docs", OPERATOR)
    record = Record(
        id="1", text="Keys are made by operators.", document="docs/keys.md", metadata={"a": 1}
    )
    await docs.apply([Upsert((record,))])
    assert [each.id async for each in client.vector_stores.list()] == ["docs"]
    assert (await client.vector_stores.retrieve("docs")).name == "docs"
    (hit,) = (await client.vector_stores.search("docs", query="who makes keys")).data
    assert (hit.file_id, hit.filename) == ("docs/keys.md", "docs/keys.md")
    assert hit.attributes == {"a": 1}
    file = await client.vector_stores.files.retrieve("docs/keys.md", vector_store_id="docs")
    assert file.status == "completed"
    texts = await client.vector_stores.files.content("docs/keys.md", vector_store_id="docs")
    assert texts.data[0].text == record.text
    with pytest.raises(openai.PermissionDeniedError):
        await client.vector_stores.files.delete("docs/keys.md", vector_store_id="docs")
    async with asking(stand, "lit_operator") as operator:
        await operator.vector_stores.files.delete("docs/keys.md", vector_store_id="docs")
    assert await docs.count() == 0


async def test_nobody_sees_files_or_stores_of_others(
    client: AsyncOpenAI, stand: StoresStand
) -> None:
    sent = await client.files.create(file=BREAD, purpose="assistants")
    store = await client.vector_stores.create(file_ids=[sent.id])
    async with asking(stand, "lit_bob") as bob:
        for asked in (
            bob.files.retrieve(sent.id),
            bob.files.content(sent.id),
            bob.files.delete(sent.id),
            bob.vector_stores.retrieve(store.id),
            bob.vector_stores.delete(store.id),
            bob.vector_stores.create(file_ids=[sent.id]),
        ):
            with pytest.raises(openai.NotFoundError):
                await asked
        assert [each async for each in bob.files.list()] == []
        assert [each async for each in bob.vector_stores.list()] == []
    async with asking(stand, "lit_wrong") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.files.list()


async def test_a_store_changes_and_goes_and_its_files_stay(client: AsyncOpenAI) -> None:
    sent = await client.files.create(file=BREAD, purpose="assistants")
    store = await client.vector_stores.create(
        name="one", expires_after={"anchor": "last_active_at", "days": 2}
    )
    assert store.expires_at == store.created_at + 2 * 86_400
    await client.vector_stores.files.create_and_poll(sent.id, vector_store_id=store.id)
    changed = await client.vector_stores.update(
        store.id, name="two", metadata={"a": "b"}, expires_after=None
    )
    assert (changed.name, changed.metadata, changed.expires_after) == ("two", {"a": "b"}, None)
    gone = await client.vector_stores.files.delete(sent.id, vector_store_id=store.id)
    assert gone.deleted
    assert (await client.vector_stores.search(store.id, query="bread")).data == []
    assert (await client.vector_stores.delete(store.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.vector_stores.retrieve(store.id)
    assert (await client.files.retrieve(sent.id)).filename == "bread.txt"


async def test_a_deleted_file_leaves_every_store(client: AsyncOpenAI) -> None:
    sent = await client.files.create(file=BREAD, purpose="assistants")
    stores = [await client.vector_stores.create(file_ids=[sent.id]) for _ in range(2)]
    for store in stores:
        await client.vector_stores.files.poll(sent.id, vector_store_id=store.id)
    await client.files.delete(sent.id)
    for store in stores:
        assert (await client.vector_stores.search(store.id, query="bread")).data == []
        assert [each async for each in client.vector_stores.files.list(store.id)] == []


async def test_a_busy_machine_is_waited_for(client: AsyncOpenAI, stand: StoresStand) -> None:
    stand.lines.fails = [LoadingError("the model is loading", retry_after_s=0.01)]
    store = await client.vector_stores.create()
    file = await client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=SEA)
    assert (file.status, stand.lines.taken) == ("completed", ["sea.md", "sea.md"])


async def test_files_may_take_so_many_bytes(client: AsyncOpenAI) -> None:
    half = b"h" * 600_000
    first = await client.files.create(file=("a", half), purpose="assistants")
    again = await client.files.create(file=("b", half), purpose="assistants")
    with pytest.raises(openai.ConflictError):
        await client.files.create(file=("c", half[1:]), purpose="assistants")
    await client.files.delete(first.id)
    with pytest.raises(openai.ConflictError):
        await client.files.create(file=("c", half[1:]), purpose="assistants")
    await client.files.delete(again.id)
    await client.files.create(file=("c", half[1:]), purpose="assistants")
