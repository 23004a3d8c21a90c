"""What a server has to do to keep a collection: as little as the servers have in common.

`served.py` makes a `terms.collections.Collection` of it, and is the same for all: what is checked,
in which order writes are done, what a filter means, which hits are best. A shelf says how its
server is asked.

Rules
- Filters come as `memory.marks.Sought`: a shelf translates them exactly, or says that it does not.
- Foreign exceptions do not leave a shelf.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from littoral.memory.marks import Sought
from littoral.terms.limits import SERVED_PAGE_RECORDS
from littoral.terms.memory import CollectionSpec, Record, Sparse, VectorField

__all__ = ["Candidates", "Shelf"]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Records that may be among the best."""

    records: Sequence[Record]
    """With the vectors that were compared."""
    plan: str
    """How they were found, in words."""
    whole: bool = False
    """There are no others."""
    scores: Sequence[float] | None = None
    """The server's own, where it computes what we would; then in their order, equal ones by id."""


class Shelf(ABC):
    """One collection as its server keeps it. Any thread may call; one at a time writes."""

    numbers_kept = False
    """The server compares each number of a field of several (see `marks.sought`)."""
    filters_exact = True
    """The server evaluates all of `Sought`; otherwise it may find more than is sought."""
    found_max = 100_000_000
    """Records that one question brings at most; who needs more looks at every record."""
    page_records = SERVED_PAGE_RECORDS

    def __init__(self, spec: CollectionSpec) -> None:
        self.spec = spec

    def writing(self) -> AbstractContextManager[object]:
        """Everything within is done, or nothing, where the server can do that."""
        return nullcontext()

    def check(self, record: Record) -> None:  # noqa: B027 - most servers keep all that we do
        """Refuse what this server can't keep. Raises BadRequestError."""

    @abstractmethod
    def through(self) -> int:
        """The number of the last change."""

    @abstractmethod
    def advance(self, count: int) -> int:
        """Take numbers for so many changes, before they are made; gives the last."""

    @abstractmethod
    def put(self, records: Sequence[Record]) -> None:
        """Keep these, whole, instead of what is there under their ids; each id comes once."""

    @abstractmethod
    def remove(self, ids: Sequence[str]) -> None:
        """Forget these. They are there."""

    @abstractmethod
    def there(self, ids: Sequence[str]) -> Sequence[str]:
        """Those of the ids that have a record."""

    @abstractmethod
    def get(self, ids: Sequence[str], *, with_vectors: bool) -> Iterable[Record]:
        """Those that are there, in any order."""

    @abstractmethod
    def page(
        self, wanted: Sought, after: str, limit: int, *, with_vectors: bool
    ) -> Sequence[Record]:
        """So many with ids above one, in their order; fewer only where there are no more."""

    @abstractmethod
    def count(self, wanted: Sought) -> int:
        """How many there are."""

    @abstractmethod
    def nearest(
        self, field: VectorField, vector: bytes, wanted: Sought, limit: int, *, exact: bool
    ) -> Candidates | None:
        """The nearest; None where the server can't say it exactly, and that is asked for."""

    def sparse(self, field: str, vector: Sparse, wanted: Sought, limit: int) -> Candidates:
        """Those of the highest dot product."""
        raise NotImplementedError

    def words(self, words: Sequence[str], wanted: Sought, limit: int) -> Candidates:
        """The best by BM25."""
        raise NotImplementedError
