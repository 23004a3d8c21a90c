"""What the collector of garbage goes through once a process is ready."""

import gc
import weakref

from littoral.node.garbage import OBJECTS, set_aside


class Cycle:
    """Something that only the collector frees."""

    def __init__(self) -> None:
        self.itself = self


def test_what_was_there_is_not_gone_through_and_what_comes_is_collected_still() -> None:
    before = gc.get_threshold()
    try:
        set_aside()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() == (OBJECTS, *before[1:])
        gone = weakref.ref(Cycle())
        kept = [Cycle() for _ in range(2 * OBJECTS)]
        assert gone() is None
        assert len(kept) == 2 * OBJECTS
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
