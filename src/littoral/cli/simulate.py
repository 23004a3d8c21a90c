"""`littoral simulate`: what a network would do, before anybody builds it."""

from pathlib import Path
from typing import Annotated

import typer

from littoral.cli.show import JsonOption, Show, command
from littoral.sim.network import read_network
from littoral.sim.placed import Placed, placed
from littoral.sim.policies import POLICIES
from littoral.sim.report import Report, SiteReport
from littoral.sim.run import simulate as simulated
from littoral.terms.errors import BadRequestError

__all__ = ["register"]

_LINE_EVERY = 0.25
"""Part of a run between two lines of progress, away from a terminal."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate")(simulate)


def simulate(
    file: Annotated[Path, typer.Argument(help="Description of the network (TOML).")],
    policy: Annotated[
        list[str] | None,
        typer.Option(help=f"How to choose among PoPs, repeatable: {', '.join(POLICIES)} (all)."),
    ] = None,
    hours: Annotated[
        float | None, typer.Option(min=0.01, help="Simulated hours, instead of the file's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all chance: the same seed, the same result.")] = 1,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say which machine is to have which model, and how.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate a network of sites and PoPs, and say how requests would fare."""
    with command(as_json=as_json) as show:
        names = policy or list(POLICIES)
        for name in names:
            if name not in POLICIES:
                raise BadRequestError(
                    f"there is no policy {name!r}", advice=f"choose from {', '.join(POLICIES)}"
                )
        network, plan_made = placed(read_network(file))
        reports = (
            []
            if plan
            else [
                simulated(network, name, seed, hours or network.hours, _Progress(show, name))
                for name in names
            ]
        )
        show.data({"plan": plan_made, "reports": reports})
        if plan_made.planned or plan:
            _print_plan(show, plan_made)
        if plan:
            show.line("so that it is so (a name stands for the model's reference):")
            for one in plan_made.commands:
                show.line(one)
        else:
            _print(show, reports)


class _Progress:
    """A line on standard error now and then; a run that is over at once has none."""

    def __init__(self, show: Show, name: str) -> None:
        self._show = show
        self._name = name
        self._told = 0.0

    def __call__(self, part: float) -> None:
        if part >= self._told + _LINE_EVERY:
            self._told = part
            self._show.note(f"{self._name}: {part:.0%}")


def _print_plan(show: Show, plan: Placed) -> None:
    whole = sum(plan.copies.values())
    show.line(
        f"{plan.planned:,} of {whole:,} machines named no model; with what they get there are"
    )
    show.line(", ".join(f"{count:,} x {model}" for model, count in plan.copies.items()))
    show.line(
        f"expected: the most loaded site has {plan.load_max_over_mean:.2f} of the mean load\n"
    )
    rows = [(each.site, f"{each.load:.1%}", _has(each.models)) for each in plan.sites]
    show.table(("site", "load", "has"), rows)
    show.line()


def _has(models: dict[str, int]) -> str:
    most = sorted(models.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{n} x {model}" if n > 1 else model for model, n in most) or "-"


def _print(show: Show, reports: list[Report]) -> None:
    hours = reports[0].simulated_hours
    show.line(f"{hours:g} hours simulated, seed {reports[0].seed}\n")
    columns = (
        "policy", "requests", "first token p50", "p90", "p99", "whole p50", "p99", "kept",
        "elsewhere", "GB between", "load", "max/mean", "late", "refused",
    )  # fmt: skip
    show.table(columns, [_row(one.policy, one.total, one.load_max_over_mean) for one in reports])
    for report in reports:
        show.line(f"\n{report.policy}, by site")
        mean = report.total.load
        rows = [_row(site.site, site, site.load / mean if mean else 0.0) for site in report.sites]
        show.table(("site", *columns[1:11], "of mean", *columns[12:]), rows)


def _row(name: str, one: SiteReport, spread: float) -> tuple[str, ...]:
    return (
        name,
        f"{one.requests:,}",
        _seconds(one.first_token_p50_s),
        _seconds(one.first_token_p90_s),
        _seconds(one.first_token_p99_s),
        _seconds(one.whole_p50_s),
        _seconds(one.whole_p99_s),
        f"{one.prompt_kept:.1%}",
        f"{one.elsewhere:.1%}",
        f"{one.bytes_between_sites / 1e9:,.2f}",
        f"{one.load:.1%}",
        f"{spread:.2f}",
        f"{one.late:,}",
        f"{one.refused:,}",
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
