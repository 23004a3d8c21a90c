"""`littoral place`: say where something is to be; the network keeps it true."""

from typing import Annotated

import typer

from littoral.cli.operate import ask, tell
from littoral.cli.show import HomeOption, JsonOption, Show, command, sized
from littoral.node.config import load_config
from littoral.terms.delivery import WishesShown, WishRow, WishWanted
from littoral.web.delivery import DELIVERY

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add `place` to the command line."""
    app.command("place")(place)


def place(
    reference: Annotated[
        str | None, typer.Argument(help="What, as for `littoral pull`. Without it: list wishes.")
    ] = None,
    sites: Annotated[
        str, typer.Option(help="Sites, with commas between: a copy in each, at least.")
    ] = "",
    pops: Annotated[str, typer.Option(help="PoPs, with commas between: a copy at each.")] = "",
    replicas: Annotated[int, typer.Option(min=0, help="Copies in all, at least.")] = 0,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="It need not be anywhere any more.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wish that copies of something are at sites, or that there are so many."""
    with command(as_json=as_json) as show:
        config = load_config({"home": home})
        if reference is None:
            known = ask(config, f"{DELIVERY}/wishes", WishesShown)
            show.data(known)
            _tabulate(show, known)
            return
        wanted = WishWanted(reference, _parts(sites), _parts(pops), replicas, withdraw)
        row = tell(config, f"{DELIVERY}/wishes", wanted, WishRow)
        show.data(row)
        if withdraw:
            show.line(f"{row.reference} need not be anywhere; copies stay until room is needed")
        else:
            chosen = ", ".join(row.chosen) or "nobody yet: this PoP is alone, or nobody has room"
            show.line(f"{row.reference} ({sized(row.size_bytes)}) goes to {chosen}")


def _parts(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def _tabulate(show: Show, known: WishesShown) -> None:
    if not known.wishes:
        show.line("nothing is wished; `littoral place REFERENCE --sites A,B` or `--replicas N`")
        return
    columns = ("what", "where", "copies", "size", "is at", "goes to")
    show.table(columns, [_row(each) for each in known.wishes])


def _row(row: WishRow) -> tuple[str, ...]:
    missing = sorted(set(row.chosen) - set(row.having))
    return (
        row.reference,
        ", ".join((*row.sites, *row.pops)) or "any",
        str(max(row.replicas, len(row.sites) + len(row.pops))),
        sized(row.size_bytes),
        ", ".join(row.having) or "nowhere",
        ", ".join(missing) or "-",
    )
