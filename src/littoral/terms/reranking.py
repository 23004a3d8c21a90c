"""The port of models that sort passages by how well they answer a question."""

from collections.abc import Sequence
from typing import Protocol

from littoral.terms.ids import ModelName
from littoral.terms.values import Caller

__all__ = ["Reranker"]


class Reranker(Protocol):
    """Scores passages."""

    def check(self, model: ModelName) -> None:
        """See that a model can be asked for this.

        Raises:
            UnknownModelError: there is no such model.
            UnsupportedError: it does not do it.
        """

    async def scores(
        self, model: ModelName, question: str, texts: Sequence[str], caller: Caller
    ) -> Sequence[float]:
        """How well each text answers the question, in their order; higher is better.

        Raises:
            UnknownModelError, UnsupportedError: as `check`.
            NotAllowedError: the caller's key does not name this model.
            RateLimitedError, BudgetExhaustedError: the caller's limits have no room for it.
            NodeError, UpstreamFailedError, UpstreamTimeoutError: it gave no scores.
        """
