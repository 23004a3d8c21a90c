"""What copies of a collection cost on the wire, and how soon they have what was written.

Real PoPs that joined by ticket, each on a host of its own: bytes are all that leave both hosts
meanwhile, as the kernel counts them: with headers, the questions that wait, and what PoPs say of
themselves. Rows' own bytes are those of their vectors, texts and ids, which are UUIDs. A change is
visible when a search at the copy finds it; the clock runs from the home's answer to the write,
which comes after its commit.

Where no hosts can be made, PoPs are on loopback: what needs bytes has no value and says why.
"""

import base64
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.stand.embedding import documents, texts_of, why_absent
from bench.stand.growing import fleet
from bench.stand.native import StandError
from bench.stand.parts import Part
from bench.stand.pops import FabricPop
from bench.stand.report import at_most, note
from tests.faults.network import UNAVAILABLE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["copies", "first_copies"]

NAME: Final = "copied"
PATH: Final = f"/v1/memory/{NAME}"
BATCH: Final = 1_000
ONES: Final = 5
"""Records that are written alone in each round."""
WAIT_S: Final = 120.0
LOOK_AGAIN_S: Final = 0.005
MOST_OF_ROWS: Final = 1.1
MOST_KB: Final = 10.0
MOST_S: Final = 1.0
MOST_OF_ONE: Final = 1.3
"""What a home sends for first copies, of what one copy is."""
LINK_MBIT: Final = 100.0
"""Of each PoP then: it takes a while, as it does between sites."""
REST_S: Final = 3.0


@dataclass(slots=True)
class _Taken:
    """Of each round."""

    of_rows: list[float] = field(default_factory=list)
    """Bytes on the wire, of the new rows' own."""
    batch_s: list[float] = field(default_factory=list)
    gone_kb: list[float] = field(default_factory=list)
    gone_s: list[float] = field(default_factory=list)
    one_s: list[float] = field(default_factory=list)


class _Copied:
    """A home and its copies, and rows to write that nobody has yet."""

    def __init__(self, home: FabricPop, *copies: FabricPop) -> None:
        self.home = home
        self.copies = copies
        self.records = 0
        self._vectors: Floats = documents()
        self._texts = texts_of("documents")
        self._next = 0
        self._oldest = 0

    def begin(self, rows: int) -> tuple[float, float, float]:
        """First copies of so many rows.

        Returns: all bytes that were sent and those that the home sent, of the rows' own; seconds.
        """
        spec = {"name": NAME, "vectors": [{"dimensions": self._vectors.shape[1]}]}
        _done(self.home.ask("POST", "/v1/memory", spec))
        own = sum(self.write(BATCH) for _ in range(rows // BATCH))
        before, alone = self.sent(), _sent(self.home)
        offer = {"sites": [copy.place.name for copy in self.copies]}
        _done(self.home.ask("POST", f"/v1/replicas/{NAME}", offer))
        took_s = _until(self.is_whole, "first copies")
        return (self.sent() - before) / own, (_sent(self.home) - alone) / own, took_s

    def sent(self) -> int:
        """Bytes that have left all of them; 0 where nobody counts them."""
        return sum(map(_sent, (self.home, *self.copies)))

    def write(self, count: int) -> int:
        """Write so many new rows at the home; their own bytes."""
        records, own = list[dict[str, object]](), 0
        for number in range(self._next, self._next + count):
            data, text = self._vectors[number].tobytes(), self._texts[number]
            vectors = {"": base64.b64encode(data).decode()}
            records.append({"id": _id(number), "text": text, "vectors": vectors})
            own += len(data) + len(text.encode()) + len(_id(number))
        self._next += count
        self.records += count
        self._change({"type": "upsert", "records": records})
        return own

    def forget(self, count: int) -> None:
        """Delete the oldest so many."""
        ids = [_id(number) for number in range(self._oldest, self._oldest + count)]
        self._oldest += count
        self.records -= count
        self._change({"type": "delete", "ids": ids})

    def is_whole(self) -> bool:
        """Whether each copy has as many records as the home."""
        answers = (copy.ask("GET", PATH) for copy in self.copies)
        return all(
            status == 200 and isinstance(shown, dict) and shown["records"] == self.records
            for status, shown in answers
        )

    def has_last(self) -> bool:
        """Whether a search at the first copy finds the record that was written last."""
        vector = base64.b64encode(self._vectors[self._next - 1].tobytes()).decode()
        query = {"type": "nearest", "vector": vector}
        body = {"query": query, "limit": 5, "with_content": False}
        found: Any = _done(self.copies[0].ask("POST", f"{PATH}/search", body))
        return _id(self._next - 1) in {hit["record"]["id"] for hit in found["hits"]}

    def _change(self, write: dict[str, object]) -> None:
        _done(self.home.ask("POST", f"{PATH}/write", {"writes": [write]}))


def copies(folder: Path, rounds: int, rows: int) -> Part:
    """Write and delete at the home, and look at the copy.

    Args:
        folder: for the PoPs' homes.
        rounds: how many.
        rows: there are at the beginning; each round a twentieth comes and a hundredth goes.
    """
    why = why_absent()
    if why:
        return _part(_Taken(), rows, {}, why)
    taken = _Taken()
    with fleet(folder, 2) as pops:
        pops.grow(2)
        home, copy = pops.pops
        pair = _Copied(home, copy)
        note(f"a copy of {rows:,} rows")
        first, _, first_s = pair.begin(rows)
        before, began_s = pair.sent(), time.monotonic()
        time.sleep(REST_S)
        rest = (pair.sent() - before) / (time.monotonic() - began_s)
        for turn in range(rounds):
            note(f"changes at the home: round {turn + 1} of {rounds}")
            _round(pair, taken, rows)
    figures = {"first_copy_s": round(first_s, 2)}
    if not UNAVAILABLE:
        figures |= {"first_copy_of_rows": round(first, 3), "at_rest_bytes_s": round(rest)}
    return _part(taken, rows, figures, "")


def first_copies(folder: Path, rows: int, count: int) -> Part:
    """First copies at several sites at once: what their home sends, of what one copy is.

    Args:
        folder: for the PoPs' homes.
        rows: there are.
        count: of copies.
    """
    name = f"bytes that a home sends for first copies at {count} PoPs, of the rows' own"
    why = why_absent() or (UNAVAILABLE and f"nobody counts one PoP's bytes: {UNAVAILABLE}")
    if why:
        return Part([at_most(name, [], MOST_OF_ONE, "x", why)])
    with fleet(folder, count + 1) as pops:
        pops.grow(count + 1)
        home, *others = pops.pops
        assert pops.hosts is not None, "there is a network"
        for each in pops.pops:
            pops.hosts.narrow(each.place.name, LINK_MBIT)
        note(f"{count} first copies of {rows:,} rows")
        everything, of_home, took_s = _Copied(home, *others).begin(rows)
    table = [(name, of_home), ("all PoPs together", everything), ("seconds", took_s)]
    figures = {"home_x": round(of_home, 3), "all_x": round(everything, 3), "took_s": took_s}
    promise = at_most(name, [of_home], MOST_OF_ONE, "x")
    return Part([promise], ("first copies", "value"), table, figures)


def _round(pair: _Copied, taken: _Taken, rows: int) -> None:
    before = pair.sent()
    own = pair.write(rows // 20)
    taken.batch_s.append(_until(pair.has_last, "new rows are found"))
    _until(pair.is_whole, "all new rows are there")
    taken.of_rows.append((pair.sent() - before) / own)
    for _ in range(ONES):
        pair.write(1)
        taken.one_s.append(_until(pair.has_last, "a new row is found"))
    _until(pair.is_whole, "the last row is there")
    before = pair.sent()
    pair.forget(rows // 100)
    taken.gone_s.append(_until(pair.is_whole, "deleted rows are gone"))
    taken.gone_kb.append((pair.sent() - before) / 1e3)


def _part(taken: _Taken, rows: int, figures: dict[str, float], why: str) -> Part:
    counted = why or (UNAVAILABLE and f"on loopback nobody counts one PoP's bytes: {UNAVAILABLE}")
    new, gone = f"{rows // 20:,} new rows", f"{rows // 100:,} of {rows:,} rows"
    of_rows, gone_kb = ([], []) if counted else (taken.of_rows, taken.gone_kb)
    promises = [
        at_most(f"bytes that ship {new}, of their own", of_rows, MOST_OF_ROWS, "x", counted),
        at_most(f"bytes that ship the deletion of {gone}", gone_kb, MOST_KB, "KB", counted),
        at_most("a new row is found at the copy", taken.one_s, MOST_S, "s", why),
        at_most(f"{new} are found at the copy", taken.batch_s, MOST_S, "s", why),
        at_most(f"{gone} are gone at the copy", taken.gone_s, MOST_S, "s", why),
    ]
    rounds = {
        "of_rows": of_rows,
        "gone_kb": gone_kb,
        "one_s": taken.one_s,
        "batch_s": taken.batch_s,
        "gone_s": taken.gone_s,
    }
    table = [
        (each.name, each.value, max(values, default=None))
        for each, values in zip(
            promises, (of_rows, gone_kb, taken.one_s, taken.batch_s, taken.gone_s), strict=True
        )
    ]
    shown = {name: [round(value, 3) for value in values] for name, values in rounds.items()}
    columns = ("replication", "median", "worst")
    return Part(promises, columns, [] if why else table, {**figures, **shown})


def _sent(pop: FabricPop) -> int:
    """Bytes that have left a PoP's host; 0 where nobody counts them."""
    return 0 if UNAVAILABLE else pop.place.sent_bytes()


def _id(number: int) -> str:
    """As long as ids usually are, and nothing that packs well."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def _until(done: Callable[[], bool], what: str) -> float:
    """Wait for a condition; the seconds that it took.

    Raises:
        StandError: it took too long.
    """
    began_s = time.monotonic()
    while not done():
        if time.monotonic() - began_s > WAIT_S:
            raise StandError(f"not within {WAIT_S:g} s: {what}")
        time.sleep(LOOK_AGAIN_S)
    return time.monotonic() - began_s


def _done(answered: tuple[int, object]) -> object:
    status, answer = answered
    if status >= 300:
        raise StandError(f"{status}: {json.dumps(answer)[:300]}")
    return answer
