"""What the ways of a request must know of other PoPs: whether it goes there, and may stay here.

The fabric answers (fabric/elsewhere.py).
"""

from collections.abc import Sequence
from typing import Protocol

from littoral.adapters.upstreams.words import Errand
from littoral.terms.values import Caller, ModelEntry

__all__ = ["Elsewhere"]


class Elsewhere(Protocol):
    """Of one PoP."""

    def guest(self, entry: ModelEntry) -> ModelEntry | None:
        """The same model at other PoPs, if this PoP has it too and they have the same weights."""

    def sooner(self, errand: Errand, caller: Caller, entry: ModelEntry, other: ModelEntry) -> bool:
        """Whether another PoP is to be asked.

        Args:
            errand: the request, with its passage.
            caller: whose it is.
            entry: the model, as it is here.
            other: the same, as others have it.

        Raises:
            RequirementUnmetError: neither this PoP nor another has what is required.
        """

    def check(self, caller: Caller, entry: ModelEntry) -> None:
        """See that a request may be answered here.

        Raises:
            RequirementUnmetError: it may not.
        """

    def explain(self, errand: Errand, entry: ModelEntry) -> Sequence[str]:
        """How the PoPs that have the model stand, in words."""
