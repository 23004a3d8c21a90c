"""How `littoral demo --deliver` is told to a person: what came from where, and what it took."""

from typing import Final, assert_never

from littoral.cli.demo_telling import Telling, without_time
from littoral.cli.show import Show, sized
from littoral.node.demo import (
    MODEL,
    Arrived,
    Asked,
    Begins,
    Caught,
    Delivered,
    DeliveryStep,
    Lacking,
    Mended,
    Resumed,
    Shared,
)

__all__ = ["DeliveryTeller"]

_HEADINGS: Final = (
    "Three machines at two sites, and none has the model",
    "All three want it at once",
    "A fine-tune of it: one machine is killed in the middle",
    "A bit flips on its disk, and another wants the fine-tune from it",
    "The bit is found and mended, and the third gets the fine-tune",
    "The model is asked at every PoP",
)
_WORK: Final = (
    *("starting three PoPs", "pulling", "pulling, and killed", "pulling", "hashing every byte"),
    "asking",
)


class DeliveryTeller(Telling):
    """Prints it as it comes."""

    def __init__(self, show: Show) -> None:
        """Print nothing yet."""
        beginning = "Three PoPs and an origin, on this machine and for this while."
        super().__init__(show, beginning, _HEADINGS, _WORK)

    def hear(self, step: DeliveryStep) -> None:
        """Print a step."""
        self._rest()
        match step:
            case Begins(number):
                self._begin(number)
            case Lacking():
                self._lacking(step)
            case Shared():
                self._shared(step)
            case Resumed():
                self._resumed(step)
            case Caught():
                self._caught(step)
            case Mended():
                self._mended(step)
            case Asked():
                self._asked(step)
            case _:
                assert_never(step)

    def ended(self, told: Delivered) -> None:
        """Print all figures, once everything has ended."""
        size = told.shared.arrived[0].size_bytes
        rows = [
            (f"three copies of {sized(size)} arrived", f"{_slowest(told.shared):.1f} s"),
            ("of them, left the origin", f"{told.shared.copies:.2f} copies"),
            ("killed, it went on from", sized(told.resumed.arrived.reused_bytes)),
            ("a wrong chunk", "caught, named, fetched anew"),
            ("the fine-tune, where the model was", sized(_fetched(told.mended.third))),
            ("in all", f"{told.seconds:.1f} s"),
        ]
        self._show.line()
        self._table(("what", "measured"), rows)
        self._end(told)

    # --- the steps ------------------------------------------------------------------------------

    def _lacking(self, step: Lacking) -> None:
        self._names = {each.pop: each.name for each in step.machines}
        self._table(("pop", "site"), [(each.name, each.site) for each in step.machines])
        self._say(
            f"They knew each other after {step.seconds:.1f} s. Links to the origin and to lyon "
            f"take {step.delay_ms:g} ms each way, at {step.bytes_per_s / 1e6:g} MB/s a connection."
        )
        self._say(f"Asked for {step.model}, {step.machines[0].name} says: {step.refused}")

    def _shared(self, step: Shared) -> None:
        self._arrivals(*step.arrived)
        self._say(
            f"{sized(step.left_bytes)} have left the origin, as it counts them: "
            f"{step.copies:.2f} copies for three machines.",
            style="green",
        )

    def _resumed(self, step: Resumed) -> None:
        name, came = step.arrived.name, step.arrived
        self._say(
            f"Nobody has the fine-tune yet. {name.capitalize()} had {sized(step.killed_at_bytes)} "
            f"of it when it was killed (kill -9), and was started again."
        )
        self._arrivals(came)
        self._say(
            f"{sized(came.reused_bytes)} were committed by then, and were not fetched again.",
            style="green",
        )

    def _caught(self, step: Caught) -> None:
        self._say(
            f"The fine-tune differs from the model in {step.tensor}, {sized(step.tensor_bytes)}. "
            f"On the disk of paris 1, one bit of it is flipped, at byte {step.at:,}."
        )
        self._arrivals(step.arrived)
        log = self._renamed(without_time(step.log))
        self._say(f"{step.arrived.name} logs: {log}", deep=True, style="dim")
        self._say(
            "The wrong chunk was dropped, and came from the origin instead; the rest of the model "
            "was there.",
            style="green",
        )

    def _mended(self, step: Mended) -> None:
        for line in step.rotten:
            self._say(f"`littoral store verify` on paris 1: {_short(line)}", deep=True)
        self._arrivals(step.mended, step.third)
        self._say(
            f"The fine-tune has cost {step.third.name} {sized(_fetched(step.third))} of "
            f"{sized(step.third.size_bytes)}.",
            style="green",
        )

    def _asked(self, step: Asked) -> None:
        for answer in step.answers:
            self._say(f"{answer.by}, in {answer.whole_ms:,.0f} ms: {answer.text}")
        self._say(f"{MODEL} runs from the delivered file, at each of them.", style="green")

    # --- their parts ----------------------------------------------------------------------------

    def _arrivals(self, *arrived: Arrived) -> None:
        rows = [
            (
                each.name,
                sized(each.origin_bytes),
                sized(each.neighbour_bytes),
                sized(each.reused_bytes),
                f"{each.seconds:.1f} s",
            )
            for each in arrived
        ]
        self._table(("pop", "from the origin", "from neighbours", "was there", "took"), rows)


def _fetched(arrived: Arrived) -> int:
    return arrived.origin_bytes + arrived.neighbour_bytes


def _slowest(shared: Shared) -> float:
    return max(each.seconds for each in shared.arrived)


def _short(line: str) -> str:
    """A line on a chunk, its artifact named as far as a person reads."""
    artifact, _, rest = line.partition(" ")
    return f"{artifact[:19]}… {rest}"
