"""`littoral pull`: bring something here, from neighbours and its origin, in verified pieces."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from littoral.cli.operate import ask, tell, untell
from littoral.cli.show import HomeOption, JsonOption, Show, command, sized
from littoral.node.config import Config, load_config
from littoral.terms.delivery import (
    PlanShown,
    PullShown,
    PullStage,
    PullWanted,
    WishesShown,
    WishRow,
    WishWanted,
)
from littoral.terms.errors import BadRequestError, NotFoundError, OriginError
from littoral.web.delivery import DELIVERY

__all__ = ["register"]

_LOOK_S: Final = 0.25
_LINE_EVERY: Final = 0.25
"""Away from a terminal, a line is printed each time this part more has come."""
_BAR_CELLS: Final = 24

_Report = Callable[[PullShown], None]


def register(app: typer.Typer) -> None:
    """Add `pull` to the command line."""
    app.command("pull")(pull)


def pull(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REFERENCE",
            help="What: hf:OWNER/REPO[:FILE][@REVISION], https://…, s3://…, oci:…, ollama:…, "
            "file:PATH, a built-in model, or an artifact's name.",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="What to call the model here.")] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="What it is derived from and is here: neighbours send what differs. "
            "Without it: what its origin says."
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(help="A site, or a PoP: have it there instead, now and from then on."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what would be fetched from where.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Begin it and come back; the PoP goes on.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a model, or any artifact, to this machine. Ctrl-C stops it; run it again to go on."""
    with command(as_json=as_json) as show:
        if to is not None and (name or base or plan or detach):
            raise BadRequestError(
                "with --to nothing else can be said: those who are to have it see to the rest",
                advice="leave out --name, --base, --plan and --detach",
            )
        config, wanted = load_config({"home": home}), PullWanted(reference, name, base)
        if plan:
            _show_plan(show, tell(config, f"{DELIVERY}/plan", wanted, PlanShown))
            return
        if to is not None:
            _send(show, config, reference, to)
            return
        begun = tell(config, f"{DELIVERY}/pulls", wanted, PullShown)
        ended = begun if detach else _followed(show, config, begun)
        show.data(ended)
        if ended.stage is PullStage.FAILED:
            raise OriginError(ended.error, advice=ended.advice)
        _conclude(show, ended)


def _send(show: Show, config: Config, reference: str, to: str) -> None:
    """Wish it to be somewhere, and wait until it is."""
    path, is_pop = f"{DELIVERY}/wishes", to.startswith("pop-")
    wanted = WishWanted(reference, pops=(to,)) if is_pop else WishWanted(reference, sites=(to,))
    row = tell(config, path, wanted, WishRow)
    if not row.chosen:
        raise NotFoundError(
            f"there is no PoP at {to} that has room", advice="`littoral pops` lists sites and PoPs"
        )
    show.note(f"{sized(row.size_bytes)} go to {', '.join(row.chosen)}; Ctrl-C leaves it to them")
    pause = threading.Event()
    while not set(row.chosen) <= set(row.having):
        pause.wait(_LOOK_S)
        known = ask(config, path, WishesShown).wishes
        row = next((each for each in known if each.reference == row.reference), row)
    show.data(row)
    show.line(f"{row.reference} is at {', '.join(row.chosen)}")


def _followed(show: Show, config: Config, pull: PullShown) -> PullShown:
    """The pull once it is over; its progress is shown meanwhile."""
    path = f"{DELIVERY}/pulls/{pull.id}"
    pause = threading.Event()
    with _progress(show) as report:
        try:
            while not pull.stage.over:
                report(pull)
                pause.wait(_LOOK_S)
                pull = ask(config, path, PullShown)
            report(pull)
        except KeyboardInterrupt:
            pull = untell(config, path, PullShown)
            show.note("stopped; run it again to go on from what has come")
    return pull


def _conclude(show: Show, pull: PullShown) -> None:
    if pull.stage is not PullStage.DONE:
        show.line(f"{pull.reference}: {pull.stage.value} ({pull.id})")
        return
    show.line(f"{pull.reference} is here: {pull.artifact}")
    parts = [
        ("from its origin", pull.origin_bytes),
        ("here already", pull.reused_bytes),
        ("from neighbours", pull.neighbour_bytes),
    ]
    told = ", ".join(f"{sized(count)} {where}" for where, count in parts if count)
    if pull.spared_bytes:
        told += f" (in {sized(pull.spared_bytes)} less)"
    show.line(f"{sized(pull.size_bytes)}: {told}" if told else sized(pull.size_bytes))
    if pull.model is not None:
        show.line(f"ask it with: littoral run {pull.model}")


def _show_plan(show: Show, plan: PlanShown) -> None:
    show.data(plan)
    known = plan.artifact or "not known yet: no PoP that can be reached has it"
    show.line(f"{plan.reference}, {sized(plan.size_bytes)} in {len(plan.files)} files")
    show.line(f"artifact: {known}")
    rows = [("here already", plan.here_bytes), ("origin", plan.origin_bytes), *plan.sources]
    show.table(("from", "bytes"), [(where, sized(count)) for where, count in rows if count])
    least, most = plan.neighbours_least_bytes, sum(count for _, count in plan.sources)
    if least < most:
        show.line(f"over slow links neighbours send that in {sized(least)} to {sized(most)}")
    if plan.estimated_s:
        show.line(f"some {plan.estimated_s:,.0f} s at the rates seen so far")


@contextmanager
def _progress(show: Show) -> Iterator[_Report]:
    if show.err.is_terminal:
        with Live(console=show.err, auto_refresh=False) as live:
            yield lambda pull: live.update(_drawn(pull), refresh=True)
    else:
        yield _Lines(show).report


def _drawn(pull: PullShown) -> Group:
    """What a terminal shows of a pull."""
    bar = ProgressBar(total=max(pull.size_bytes, 1), completed=pull.here_bytes, width=_BAR_CELLS)
    lines: list[RenderableType] = [bar, Text(_told(pull))]
    for each in pull.sources:
        rate = f", {sized(int(each.bytes_per_s))}/s" if each.bytes_per_s else ""
        lines.append(Text(f"  {each.source:20} {sized(each.fetched_bytes)}{rate}", style="dim"))
    return Group(*lines)


def _told(pull: PullShown) -> str:
    """A pull in one line."""
    if not pull.size_bytes:
        return f"{pull.reference}: {pull.stage.value}"
    parts = [f"{pull.stage.value}: {sized(pull.here_bytes)} of {sized(pull.size_bytes)}"]
    if pull.bytes_per_s:
        parts.append(f"{sized(int(pull.bytes_per_s))}/s")
    if pull.left_s is not None and pull.stage is PullStage.FETCHING:
        parts.append(f"{pull.left_s:,.0f} s left")
    if pull.neighbour_bytes:
        less = f" in {sized(pull.spared_bytes)} less" if pull.spared_bytes else ""
        parts.append(f"{sized(pull.neighbour_bytes)} from neighbours{less}")
    if pull.reused_bytes:
        parts.append(f"{sized(pull.reused_bytes)} here already")
    return ", ".join(parts)


class _Lines:
    """One line for each stage, and for every quarter of what is fetched."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._stage: PullStage | None = None
        self._part = 0.0

    def report(self, pull: PullShown) -> None:
        """Print it, if enough has happened."""
        part = pull.here_bytes / pull.size_bytes if pull.size_bytes else 0.0
        if pull.stage is not self._stage or part >= self._part + _LINE_EVERY:
            self._stage, self._part = pull.stage, part
            self._show.note(_told(pull))
