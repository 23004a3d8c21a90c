"""`littoral memory replicate` and `replicas`: copies of collections at other PoPs."""

from typing import Annotated

import typer

from littoral.cli.memory import NameArgument
from littoral.cli.operate import ask, tell
from littoral.cli.show import HomeOption, JsonOption, command
from littoral.node.config import load_config
from littoral.terms.ids import PopId, SiteName
from littoral.terms.replicas import OfferRow, OffersShown, ReplicaWanted
from littoral.web.memory.replicas import REPLICAS

__all__ = ["register"]


def register(memory_app: typer.Typer) -> None:
    """Add the commands to `littoral memory`."""
    memory_app.command("replicate")(replicate)
    memory_app.command("replicas")(replicas)


def replicate(
    name: NameArgument,
    *,
    sites: Annotated[
        str, typer.Option(help="Sites, with commas between: every PoP there keeps a copy.")
    ] = "",
    pops: Annotated[str, typer.Option(help="PoPs, with commas between, that keep a copy.")] = "",
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Nobody is to keep a copy any more.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep copies of a collection at other sites or PoPs of this owner, up to date."""
    with command(as_json=as_json) as show:
        wanted = ReplicaWanted(
            tuple(SiteName(each) for each in _parts(sites)),
            tuple(PopId(each) for each in _parts(pops)),
            withdraw,
        )
        row = tell(load_config({"home": home}), f"{REPLICAS}/{name}", wanted, OfferRow)
        show.data(row)
        if withdraw:
            show.line(f"{row.name} is offered no more; copies are dropped as PoPs hear of it")
            return
        show.line(f"{row.name} goes to {', '.join((*row.sites, *row.pops))}")
        if row.zone:
            show.line(f"and to no PoP outside the zone {row.zone}")


def replicas(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List what this PoP offers to others, and who follows it now."""
    with command(as_json=as_json) as show:
        found = ask(load_config({"home": home}), REPLICAS, OffersShown)
        show.data(found)
        if not found.offers:
            show.line("nothing is offered; `littoral memory replicate NAME --sites SITE`")
            return
        columns = ("collection", "goes to", "zone", "followed by")
        show.table(columns, [_row(each) for each in found.offers])


def _parts(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def _row(row: OfferRow) -> tuple[str, ...]:
    places = ", ".join((*row.sites, *row.pops))
    return row.name, places, row.zone or "any", ", ".join(row.followers) or "nobody"
