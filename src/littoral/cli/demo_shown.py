"""How `littoral demo` is told to a person: a heading, what came, what it took, and why."""

import re
from collections.abc import Sequence
from typing import Final, assert_never

from littoral.cli.demo_telling import Telling, named, without_time
from littoral.cli.show import Show
from littoral.cli.welcome import python_lines
from littoral.node.demo import (
    LARGER,
    MODEL,
    Answer,
    Begins,
    FailedOver,
    Formed,
    Nearest,
    Proven,
    Refused,
    Repeated,
    Step,
    Story,
    Told,
)

__all__ = ["Teller"]

_HEADINGS: Final = (
    "Three machines become one network",
    "A client asks edge 1, which has no model",
    "The same question again",
    "The nearest PoP with the model dies",
    "Somebody wants in who may not",
    "The answer, and its receipt",
)
_WORK: Final = ("starting three PoPs", "asking", "", "", "trying to get in", "")
_STYLES: Final = {"proven": "green", "REJECTED": "red"}
_PREDICTED: Final = re.compile(
    r"(?P<pop>pop-[0-9a-f]+) site \S+: (?P<first>.*?)(, then [0-9.]+ s of answer)?"
    r"(?P<more>[,;].*)? \(weighs [^)]*\)"
)


class Teller(Telling):
    """Prints it as it comes."""

    def __init__(self, show: Show) -> None:
        """Print nothing yet."""
        beginning = "Three PoPs in two sites, on this machine and for this while."
        super().__init__(show, beginning, _HEADINGS, _WORK)

    def hear(self, step: Step) -> None:
        """Print a step."""
        self._rest()
        match step:
            case Begins(number):
                self._begin(number)
            case Formed():
                self._formed(step)
            case Nearest(answer, larger):
                self._nearest(answer, larger)
            case Repeated(answer):
                self._repeated(answer)
            case FailedOver():
                self._failed_over(step)
            case Refused():
                self._refused(step)
            case Proven():
                self._proven(step)
            case _:
                assert_never(step)

    def ended(self, told: Told) -> None:
        """Print all figures, once everything has ended."""
        self._sum_up(told)
        self._end(told)

    def kept(self, told: Told, story: Story) -> None:
        """Print all figures, and how to use what runs."""
        gateway = story.gateway
        self._rest()
        self._sum_up(told)
        self._show.data(
            {
                "told": told,
                "url": f"{gateway.url}/v1",
                "key": gateway.key,
                "homes": {each.name: str(each.home) for each in story.all},
            }
        )
        line = self._show.line
        line()
        line("The three PoPs run until Ctrl-C. From another terminal:", style="bold")
        line()
        for each in python_lines(gateway.url, gateway.key, MODEL):
            line(each, style="cyan")
        line()
        line(f"littoral pops --home {gateway.home}", style="cyan")
        line(f"littoral route explain {MODEL} --home {gateway.home}", style="cyan")

    # --- the steps ------------------------------------------------------------------------------

    def _formed(self, formed: Formed) -> None:
        self._names = {each.pop: each.name for each in formed.machines}
        rows = [
            (
                each.name,
                each.site,
                each.zone,
                "" if each.rtt_ms is None else f"{each.rtt_ms:.1f} ms",
                f"{each.ready_s:.1f} s",
                MODEL if MODEL in each.models else "none",
            )
            for each in formed.machines
        ]
        self._table(("pop", "site", "zone", "from edge 1", "started in", "model"), rows)
        larger = [name for each in formed.machines for name in each.models if name != MODEL]
        for model in larger:
            self._say(f"The origin has {model} as well.")
        if not larger:
            self._say(
                f"The origin has {MODEL} too; `littoral models add {LARGER}` gives it a better one."
            )
        self._say(
            f"The origin made the owner {formed.owner} and a ticket for each edge, and they joined "
            f"by it. Each knows the others {formed.seconds:.1f} s after the first was started. The "
            f"link to the origin takes {formed.delay_ms:g} ms each way, at "
            f"{formed.bytes_per_s / 1e6:g} MB/s."
        )

    def _nearest(self, answer: Answer, larger: Answer | None) -> None:
        self._answer(answer)
        self._took(answer, f"by {named(answer.by)}, passed on by edge 1")
        self._why(answer)
        if larger is not None:
            self._show.line()
            self._say(f"And {larger.model}, which only {named(larger.by)} has:")
            self._answer(larger)
            self._took(larger, f"by {named(larger.by)}, passed on by edge 1")
            self._why(larger)

    def _repeated(self, answer: Answer) -> None:
        self._answer(answer)
        self._took(answer, f"by the cache of {answer.by}")
        self._say(f"cache-status: {answer.cache_status}", style="dim")

    def _failed_over(self, step: FailedOver) -> None:
        gone = _milliseconds(step.gone_ms)
        self._say(f"{step.killed.capitalize()} was killed (kill -9). Edge 1 knew after {gone}.")
        self._answer(step.answer)
        self._took(step.answer, f"by {named(step.answer.by)}, over the slow link")
        self._why(step.answer)

    def _refused(self, step: Refused) -> None:
        self._say("With edge 2's name in a certificate, but of an authority of its own:")
        self._say(f"it asks edge 1: {step.dialled}", deep=True)
        self._say(f"it says state to edge 1: {step.said}; no link came to be", deep=True)
        self._say(f"edge 1 logs: {without_time(step.log)}", deep=True, style="dim")
        self._say("With edge 1's ticket, which has been used:")
        self._say(f"it is told: {step.stolen}", deep=True)
        self._say(f"the origin logs: {without_time(step.stolen_log)}", deep=True, style="dim")

    def _proven(self, proven: Proven) -> None:
        self._say(f"Of the first answer, {proven.receipt}:")
        self._lines([(each.standing, each.name, each.text) for each in proven.lines])
        self._say("accepted" if proven.accepted else "not accepted", style="green")
        self._say("With another word in the answer:")
        self._lines([(each.standing, each.name, each.text) for each in proven.altered])

    def _sum_up(self, told: Told) -> None:
        nearest, failed_over = told.nearest, told.failed_over
        rows = [
            ("three machines are one network", f"{told.formed.seconds:.1f} s"),
            (f"first token, by {nearest.answer.by}", _milliseconds(nearest.answer.first_ms)),
            ("first token, by the cache", _milliseconds(told.repeated.answer.first_ms)),
            ("a dead PoP is known to be gone", _milliseconds(failed_over.gone_ms)),
            (
                f"first token, by {named(failed_over.answer.by)} instead",
                _milliseconds(failed_over.answer.first_ms),
            ),
            ("a forged PoP, a ticket used again", "refused"),
            ("the receipt, the altered answer", "accepted, rejected"),
            ("in all", f"{told.seconds:.1f} s"),
        ]
        if nearest.larger is not None:
            larger = nearest.larger
            row = (f"first token of {larger.model}", _milliseconds(larger.first_ms))
            rows.insert(2, row)
        self._show.line()
        self._table(("what", "measured"), rows)

    # --- their parts ----------------------------------------------------------------------------

    def _answer(self, answer: Answer) -> None:
        self._show.line()
        self._show.line(f"   > {answer.prompt}", style="cyan")
        for line in answer.text.splitlines():
            self._show.line(f"     {line}")
        self._show.line()

    def _took(self, answer: Answer, whence: str) -> None:
        first, whole = _milliseconds(answer.first_ms), _milliseconds(answer.whole_ms)
        self._say(f"first token {first}, all {whole}; {whence}", style="green")

    def _why(self, answer: Answer) -> None:
        self._say("why: what edge 1 predicts until the first token", style="dim")
        for reason in answer.reasons:
            parts = _PREDICTED.fullmatch(reason)
            said = reason
            if parts is not None:
                name = self._names.get(parts["pop"], parts["pop"])
                said = f"{name:8} {parts['first']}{parts['more'] or ''}"
            self._say(said, deep=True, style="dim")

    def _lines(self, lines: Sequence[tuple[str, str, str]]) -> None:
        for standing, name, text in lines:
            said = f"{standing:<9} {name:<10} {self._renamed(text)}"
            self._say(said, deep=True, style=_STYLES.get(standing))


def _milliseconds(value: float) -> str:
    return f"{value:.1f} ms" if value < 10 else f"{value:,.0f} ms"
