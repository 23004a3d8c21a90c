"""The cache against the plainest model of it: a table of what was put last and not purged since."""

from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.cache.answers import Selector, StoredAnswer
from littoral.terms.ids import KeyId, ModelName
from tests.adapters.answers.made import MODEL, SETTLE_S, answer, key, opened

NUMBERS = st.integers(0, 5)
OWNERS = st.sampled_from(["kone", "ktwo"])
MODELS = st.sampled_from(["tiny", "big"])
puts = st.tuples(st.just("put"), NUMBERS, OWNERS, MODELS, st.integers(0, 9_000))
late_puts = st.tuples(st.just("late"), NUMBERS)
gets = st.tuples(st.just("get"), NUMBERS)
purges = st.tuples(
    st.just("purge"),
    st.builds(
        Selector,
        answer=st.none() | NUMBERS.map(key),
        key_id=st.none() | OWNERS.map(KeyId),
        model=st.none() | MODELS.map(ModelName),
    ),
)
settling = st.just(("settle",))
step = st.tuples(st.integers(0, 1), puts | gets | purges | late_puts | settling)


def selected(selector: Selector, entry: StoredAnswer) -> bool:
    return (
        selector.answer in (None, entry.key)
        and selector.key_id in (None, entry.key_id)
        and selector.model in (None, entry.model)
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(step, max_size=30), st.sampled_from([0, 20_000, 1_000_000]))
def test_two_users_of_one_cache_get_what_was_put_and_not_purged_or_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[int, tuple[object, ...]]],
    memory_bytes: int,
) -> None:
    home = tmp_path_factory.mktemp("home")
    with ExitStack() as stack:
        stores = [stack.enter_context(opened(home, memory_bytes=memory_bytes)) for _ in range(2)]
        began, purged = stores[0].epoch, list[Selector]()
        allowed: dict[bytes, list[StoredAnswer]] = {}
        for who, action in steps:
            store = stores[who]
            match action:
                case "put", int(number), str(owner), str(model), int(size):
                    made = answer(number, size, key_id=KeyId(owner), model=ModelName(model))
                    assert store.put(made, epoch=store.epoch)
                    allowed.setdefault(made.key, []).append(made)
                case "late", int(number):
                    made = answer(number)
                    assert store.put(made, epoch=began)
                    if not any(selected(one, made) for one in purged):
                        allowed.setdefault(made.key, []).append(made)
                case "get", int(number):
                    found = store.get(key(number), MODEL)
                    assert found is None or found in allowed.get(key(number), [])
                case "purge", Selector() as selector:
                    store.purge(selector)
                    purged.append(selector)
                    for name, entries in allowed.items():
                        allowed[name] = [one for one in entries if not selected(selector, one)]
                case _:
                    assert store.settled(SETTLE_S)
        for store in stores:
            assert store.settled(SETTLE_S)
        for number in range(6):
            ways = allowed.get(key(number), [])
            for store in stores:
                found = store.get(key(number), MODEL)
                assert found is None or found in ways
