"""The flights that may be joined, by what they answer."""

from littoral.adapters.upstreams.words import Begun
from littoral.node.relay.desk import Order
from littoral.node.relay.flight import Flight
from littoral.node.relay.keeping import Keeping, Question
from littoral.serving.outcome import Outcome

__all__ = ["Flights"]


class Flights:
    """Those under way."""

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight] = {}
        """By question."""

    def get(self, key: bytes) -> Flight | None:
        """The one that answers this question."""
        return self._flights.get(key)

    def flight(self, question: Question, order: Order, keeping: Keeping) -> Flight:
        """One that the same request joins from now on, and whose answer is kept."""

        def done(flight: Flight, begun: Begun, outcome: Outcome, body: bytes) -> None:
            if not flight.kept:
                keeping.keep(question, order, begun, outcome, body, flight.origin)

        flight = Flight(question.key, done, self._landed)
        if question.joins:
            self._flights[question.key] = flight
        return flight

    def _landed(self, flight: Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
