"""A fetch is over once all that is waited for is here, however much more it would bring."""

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.fetches import Fetches
from littoral.terms.ids import PopId
from littoral.terms.values import Instant

ONE, OTHER = PopId("pop-1"), PopId("pop-2")
NONE = ChunkSet()


def test_one_that_brings_its_last_chunk_ends_by_itself() -> None:
    fetches = Fetches()
    under = fetches.begin(ONE, ChunkSet.of((3, 4)), NONE, want=False, now=Instant(0))
    assert fetches.landed(under.id, 3) == fetches.landed(under.id, 4) == []
    assert not len(fetches)


def test_one_that_would_bring_what_is_asked_elsewhere_is_to_be_dropped() -> None:
    fetches = Fetches()
    under = fetches.begin(ONE, ChunkSet.of((3, 4, 5)), NONE, want=False, now=Instant(0))
    under.trim(ChunkSet.of((9,)))
    assert not under.trimmed
    under.trim(ChunkSet.of((4, 5)))
    assert fetches.landed(under.id, 3) == [under.id]
    assert fetches.landed(under.id, 4) == [], "it was under way already, and is no surprise"
    assert not len(fetches)


def test_the_last_to_be_asked_of_both_drops_the_other() -> None:
    fetches, both = Fetches(), ChunkSet.of((7,))
    slow = fetches.begin(ONE, both, NONE, want=True, now=Instant(0))
    quick = fetches.begin(OTHER, both, both, want=True, now=Instant(1))
    assert fetches.landed(quick.id, 7) == [slow.id]
    assert not len(fetches)
