"""Receipts in batches: what is signed together, when, and who hears of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from littoral.adapters.identity import verify
from littoral.adapters.store import Store, open_store
from littoral.node.scribe import Scribe
from littoral.terms.errors import DiskShortError, InternalError, LittoralError
from littoral.terms.facts import Fact, ReceiptLost, ReceiptsHalted
from littoral.terms.limits import RECEIPT_BATCH_MAX, RECEIPT_BATCH_S
from littoral.trust.issuing import Issuer
from littoral.trust.receipts import decode_document, stated
from littoral.trust.saved import SavedAnswer
from littoral.trust.verification import Verdict, verify_answer
from tests.trust.made import SIGNER, STREAM, draft


class Loop:
    """Time that goes on when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        self.due.append((when, callback))

    def run(self) -> None:
        """Go to the next call."""
        (when, callback), *self.due = self.due
        self.now = max(self.now, when)
        callback()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def facts() -> list[Fact]:
    return []


@pytest.fixture
def defects() -> list[BaseException]:
    return []


@pytest.fixture
def scribe(store: Store, loop: Loop, facts: list[Fact], defects: list[BaseException]) -> Scribe:
    return Scribe(store.receipts, Issuer(SIGNER), loop, facts.append, defects.append)


Heard = list[bytes | LittoralError]


def documents(heard: Heard) -> list[bytes]:
    assert all(isinstance(each, bytes) for each in heard)
    return [each for each in heard if isinstance(each, bytes)]


def kept(scribe: Scribe, number: int) -> bytes:
    """The document of one that does not wait for others."""
    heard: Heard = []
    scribe.keep(draft(number=number), heard.append)
    return documents(heard)[0]


def full(*_: object, **__: object) -> None:
    raise DiskShortError("the disk is full")


def checked(document: bytes) -> Verdict:
    return verify_answer(SavedAnswer(STREAM, document), verify=verify, trusted=[SIGNER.public_key])


def test_what_ended_together_is_signed_together_and_each_is_proven(
    scribe: Scribe, loop: Loop
) -> None:
    heard: Heard = []
    for number in range(5):
        scribe.write(draft(number=number), heard.append)
    assert heard == []
    loop.run()
    made = documents(heard)
    assert [stated(each).seq for each in made] == [1, 2, 3, 4, 5]
    assert len({decode_document(each).envelope for each in made}) == 1
    for each in made:
        verdict = checked(each)
        assert verdict.accepted
        assert verdict.claims[0].text.startswith("Ed25519 over 5 receipts")


def test_another_receipt_does_not_pass_for_one_of_those_signed_together(
    scribe: Scribe, loop: Loop
) -> None:
    heard: Heard = []
    for number in range(3):
        scribe.write(draft(number=number), heard.append)
    loop.run()
    first, second, _ = map(decode_document, documents(heard))
    assert first.batched is not None
    assert second.batched is not None
    forged = [
        replace(first, batched=replace(first.batched, payload=second.batched.payload)),
        replace(first, batched=replace(first.batched, index=1)),
        replace(first, batched=replace(first.batched, path="")),
        replace(first, batched=None),
        replace(first, envelope=decode_document(kept(scribe, 9)).envelope),
    ]
    for each in forged:
        verdict = checked(each.encode())
        assert not verdict.intact
        assert verdict.claims[0].name == "signature"


def test_one_alone_is_signed_alone(scribe: Scribe, loop: Loop) -> None:
    heard: Heard = []
    scribe.write(draft(), heard.append)
    loop.run()
    assert decode_document(documents(heard)[0]).batched is None


def test_after_a_pause_it_goes_at_once_and_else_at_most_so_often(
    scribe: Scribe, loop: Loop
) -> None:
    scribe.write(draft(number=1))
    assert loop.due[0][0] <= loop.now
    loop.run()
    scribe.write(draft(number=2))
    scribe.write(draft(number=3))
    assert [when for when, _ in loop.due] == [loop.now + RECEIPT_BATCH_S]


def test_a_full_batch_does_not_wait(scribe: Scribe) -> None:
    heard: Heard = []
    for number in range(RECEIPT_BATCH_MAX):
        scribe.write(draft(number=number), heard.append)
    assert len(documents(heard)) == RECEIPT_BATCH_MAX


def test_one_that_cannot_wait_takes_those_before_it_along(scribe: Scribe, loop: Loop) -> None:
    heard: Heard = []
    scribe.write(draft(number=1), heard.append)
    assert stated(kept(scribe, 2)).seq == 2
    assert [stated(each).seq for each in documents(heard)] == [1]
    loop.run()
    assert len(heard) == 1


def test_what_cannot_be_kept_is_told_to_each_and_to_the_metrics(
    store: Store, scribe: Scribe, facts: list[Fact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.receipts, "append", full)
    heard: Heard = []
    scribe.write(draft(number=1), heard.append)
    scribe.keep(draft(number=2), heard.append)
    assert [type(each) for each in heard] == [DiskShortError, DiskShortError]
    assert [type(each) for each in facts] == [ReceiptsHalted, ReceiptLost, ReceiptLost]
    monkeypatch.undo()
    assert stated(kept(scribe, 3)).seq == 1


def test_who_fails_when_told_keeps_nothing_from_the_others(
    store: Store,
    scribe: Scribe,
    defects: list[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_: bytes | LittoralError) -> None:
        raise KeyError("a defect")

    heard: Heard = []
    for number, told in enumerate((heard.append, fails, heard.append)):
        scribe.write(draft(number=number), told)
    scribe.flush()
    assert len(documents(heard)) == 2
    monkeypatch.setattr(store.receipts, "append", full)
    for told in (fails, heard.append):
        scribe.write(draft(), told)
    scribe.flush()
    assert isinstance(heard[-1], DiskShortError)
    assert [type(each) for each in defects] == [KeyError, KeyError]


def test_what_fails_to_be_made_is_a_defect_and_each_is_told(
    scribe: Scribe, facts: list[Fact], defects: list[BaseException]
) -> None:
    heard: Heard = []
    scribe.write(replace(draft(number=1), ended_unix_ns=None), heard.append)
    scribe.write(draft(number=2), heard.append)
    scribe.flush()
    assert [type(each) for each in heard] == [InternalError, InternalError]
    assert [type(each) for each in facts] == [ReceiptLost, ReceiptLost]
    assert [type(each) for each in defects] == [ValueError]
    assert stated(kept(scribe, 3)).seq == 1
