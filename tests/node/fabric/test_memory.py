"""What a PoP remembers of the fabric, and that a bad memory is none."""

from pathlib import Path

import pytest

from littoral.node.fabric.memory import KnownPop, Memory, known_of, recall, remember
from littoral.routing.fleet import Fleet
from littoral.terms.errors import HomeUnwritableError
from littoral.terms.limits import KNOWN_POPS_MAX
from tests.routing.pops import member, name, pop

MEMORY = Memory("10.0.0.1", 7, ("10.0.0.2:7402",), (KnownPop("spiffe://x", "https://p", "p:1"),))


def test_what_is_remembered_is_recalled_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    (tmp_path / "fabric").mkdir()
    remember(tmp_path, MEMORY)
    assert recall(tmp_path) == MEMORY
    assert (tmp_path / "fabric" / "known.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"boot": "x"}', b"0" * 100_000])
def test_a_memory_that_can_not_be_read_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "fabric").mkdir()
    (tmp_path / "fabric" / "known.json").write_bytes(data)
    assert recall(tmp_path) == Memory()
    assert recall(tmp_path / "nowhere") == Memory()


def test_what_can_not_be_remembered_is_said(tmp_path: Path) -> None:
    with pytest.raises(HomeUnwritableError):
        remember(tmp_path / "nowhere", MEMORY)


def test_issuers_come_first_and_all_are_bounded() -> None:
    fleet = Fleet({name(number): pop(number) for number in range(KNOWN_POPS_MAX + 9)})
    known = known_of(fleet, name(0), frozenset({name(KNOWN_POPS_MAX + 5)}))
    assert known[0].name == member(KNOWN_POPS_MAX + 5).name
    assert known[0].issuer
    assert len(known) == KNOWN_POPS_MAX
    assert member(0).name not in {each.name for each in known}
