"""What is done behind the searches: once, in turn, and some of it when nothing happens."""

from collections.abc import Iterator
from threading import Event

import pytest

from littoral.adapters.memory.embedded.upkeep import Upkeep

LONG_S = 3_600.0


@pytest.fixture
def upkeep() -> Iterator[Upkeep]:
    made = Upkeep()
    yield made
    made.close()


def busy(upkeep: Upkeep) -> Event:
    """It is at work until this is set."""
    begun, begin = Event(), Event()

    def work() -> None:
        begun.set()
        begin.wait(60)

    upkeep.ask("busy", work)
    assert begun.wait(60)
    return begin


def test_what_is_asked_for_while_it_waits_is_done_once(upkeep: Upkeep) -> None:
    done, begin = list[str](), busy(upkeep)
    for name in ("one", "other", "one"):
        upkeep.ask(name, lambda name=name: done.append(name))  # type: ignore[misc]
    begin.set()
    assert upkeep.settle(60)
    assert done == ["one", "other"]


def test_what_can_wait_is_done_when_nobody_has_asked_for_it_for_a_while(upkeep: Upkeep) -> None:
    done = list[str]()
    upkeep.ask_later("far", lambda: done.append("far"), LONG_S)
    upkeep.ask_later("near", lambda: done.append("near"), 0.01)
    upkeep.ask_later("nearer", lambda: done.append("nearer"), 0.0)
    upkeep.ask("at once", lambda: done.append("at once"))
    assert upkeep.settle(60)
    assert "at once" in done
    upkeep.ask_later("far", lambda: done.append("not so far"), 0.02)
    assert upkeep.settle(60, later=True)
    assert sorted(done) == ["at once", "near", "nearer", "not so far"]


def test_who_asks_again_puts_off_what_can_wait(upkeep: Upkeep) -> None:
    done, begin = list[str](), busy(upkeep)
    upkeep.ask_later("it", lambda: done.append("too soon"), 0.0)
    upkeep.ask_later("it", lambda: done.append("too late"), LONG_S)
    begin.set()
    assert upkeep.settle(60)
    assert not upkeep.settle(0, later=True)
    assert not done


def test_what_can_wait_is_not_done_again_where_it_was_done_at_once(upkeep: Upkeep) -> None:
    done, begin = list[str](), busy(upkeep)
    upkeep.ask_later("it", lambda: done.append("later"), 0.0)
    upkeep.ask("it", lambda: done.append("now"))
    upkeep.ask_later("it", lambda: done.append("later"), 0.0)
    begin.set()
    assert upkeep.settle(60, later=True)
    assert done == ["now"]


def test_at_the_end_nothing_waits_any_more() -> None:
    upkeep, done = Upkeep(), list[str]()
    upkeep.ask_later("it", lambda: done.append("later"), LONG_S)
    upkeep.close()
    upkeep.ask_later("it", lambda: done.append("after the end"), 0.0)
    upkeep.ask("it", lambda: done.append("after the end"))
    assert upkeep.settle(0, later=True)
    assert not done


def test_what_fails_does_not_keep_the_rest_from_being_done(upkeep: Upkeep) -> None:
    done = list[str]()

    def fail() -> None:
        raise OSError("the disk is full")

    upkeep.ask("one", fail)
    upkeep.ask("other", lambda: done.append("other"))
    assert upkeep.settle(60)
    assert done == ["other"]
