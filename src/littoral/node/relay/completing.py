"""A batch of texts to embed that is there in part: an upstream is asked for the rest."""

from littoral.adapters.upstreams.words import Begun
from littoral.node.relay.desk import Order
from littoral.node.relay.flight import Flight
from littoral.node.relay.keeping import Keeping, Question
from littoral.node.vectors import Recalled
from littoral.serving.outcome import Outcome
from littoral.terms.errors import LittoralError, UpstreamFailedError
from littoral.terms.values import Usage

__all__ = ["Completing"]


class Completing:
    """Hears the answer for the rest, and tells the flight of the whole one."""

    def __init__(
        self,
        flight: Flight,
        keeping: Keeping,
        question: Question,
        order: Order,
        recalled: Recalled,
    ) -> None:
        """Hear nothing yet.

        Args:
            flight: who waits for the whole answer.
            keeping: keeps what is computed.
            question: the request, as the cache sees it.
            order: the request.
            recalled: what is there of it.
        """
        self._flight = flight
        self._keeping = keeping
        self._question = question
        self._order = order
        self._recalled = recalled

    def begun(self, _: Begun) -> None:
        """A stream, which nobody asked for."""
        self._flight.failed(UpstreamFailedError("the upstream streams embeddings"))

    def data(self, _: bytes) -> None:
        """More of what nobody asked for."""

    def ended(self, _: Outcome) -> None:
        """That is over."""

    def whole(self, begun: Begun, body: bytes, outcome: Outcome) -> None:
        """The rest is here, or it was refused."""
        if begun.status != 200:
            self._flight.whole(begun, body, outcome)
            return
        recalled, used = self._recalled, outcome.usage or Usage()
        all_of_it = self._keeping.completed(
            recalled, self._question, self._order, begun, outcome, body
        )
        if all_of_it is None:
            text = f"{begun.target} has not answered with one vector for each text"
            self._flight.failed(UpstreamFailedError(text))
            return
        usage = Usage(used.prompt_tokens + recalled.tokens, 0, recalled.tokens)
        whole = Outcome(outcome.finish, usage, recalled.tokens, outcome.parent)
        self._flight.whole(begun, all_of_it, whole)

    def failed(self, error: LittoralError) -> None:
        """There is no rest, so there is no whole."""
        self._flight.failed(error)
