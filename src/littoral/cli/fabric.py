"""`littoral invite`, `pops`, `owners`, `route`: the fabric, by the PoP that runs on this home."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from littoral.adapters.clock import SystemClock
from littoral.adapters.owner import open_owner
from littoral.cli.keys import life_s
from littoral.cli.operate import ask, tell
from littoral.cli.show import HomeOption, JsonOption, Show, command, sized
from littoral.node.config import load_config
from littoral.terms.errors import BadRequestError
from littoral.terms.fabric import (
    Act,
    ActOn,
    AdmitOwner,
    FabricShown,
    InviteWanted,
    ModelRow,
    PopRow,
    RootShown,
    RouteShown,
    RouteWanted,
    TicketShown,
)
from littoral.web.fabric import FABRIC

__all__ = ["register"]

_pops = typer.Typer(help="Look at the PoPs of the fabric, and say what may become of them.")
_owners = typer.Typer(no_args_is_help=True, help="Owners whose PoPs are let in, and how far.")
_route = typer.Typer(no_args_is_help=True, help="Where a request would go, and why.")

NoteOption = Annotated[str, typer.Option(help="Why; it is kept and shown.")]
PopArgument = Annotated[str, typer.Argument(metavar="POP", help="Its name, or the start of it.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("invite")(invite)
    app.add_typer(_pops, name="pops")
    app.add_typer(_owners, name="owners")
    app.add_typer(_route, name="route")


def invite(
    site: Annotated[
        str | None, typer.Option(help="Where the newcomer will be. Default: this PoP's site.")
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help="The zone of that site. Default: this PoP's zone.")
    ] = None,
    uses: Annotated[int, typer.Option(min=1, help="How many PoPs may join by it.")] = 1,
    expires: Annotated[str, typer.Option(help="Life of the ticket: 30m, 12h, 7d.")] = "1h",
    issuer: Annotated[
        bool | None,
        typer.Option(
            "--issuer/--no-issuer",
            help="May issue certificates. Default: yes, until three may.",
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a ticket by which another machine joins: `littoral join TICKET` there."""
    with command(as_json=as_json) as show:
        wanted = InviteWanted(site, zone, uses, life_s(expires), issuer)
        made = tell(load_config({"home": home}), f"{FABRIC}/invites", wanted, TicketShown)
        show.data(made)
        show.line(made.ticket)
        if not as_json:
            until = datetime.fromtimestamp(made.expires_unix_s, UTC)
            times = "once" if made.uses == 1 else f"{made.uses} times"
            show.note(
                f"for site {made.site} in zone {made.zone}, to be used {times} until "
                f"{until:%Y-%m-%d %H:%M} UTC, at {', '.join(made.addresses)}"
            )
            show.note("on the other machine: littoral join TICKET")
            if made.warning:
                show.note(f"note: {made.warning}", style="yellow")


@_pops.callback(invoke_without_command=True)
def pops(context: typer.Context, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List sites, PoPs, models, load and link times."""
    if context.invoked_subcommand is not None:
        return
    with command(as_json=as_json) as show:
        known = ask(load_config({"home": home}), FABRIC, FabricShown)
        show.data(known)
        if known.pops:
            _tabulate(show, known.pops)
        else:
            show.line(f"{known.pop} is alone; `littoral invite` lets others join")


@_pops.command("approve")
def approve(
    pop: PopArgument, note: NoteOption = "", home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Let a PoP in that was drained or removed."""
    _act(pop, ActOn(Act.APPROVE, note), home, as_json=as_json)


@_pops.command("drain")
def drain(
    pop: PopArgument, note: NoteOption = "", home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Send it no new requests; answers under way end."""
    _act(pop, ActOn(Act.DRAIN, note), home, as_json=as_json)


@_pops.command("remove")
def remove(
    pop: PopArgument, note: NoteOption = "", home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Let it go: it gets no further certificate. It may join again by a new ticket."""
    _act(pop, ActOn(Act.REMOVE, note), home, as_json=as_json)


@_pops.command("revoke")
def revoke(
    pop: PopArgument, note: NoteOption = "", home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Trust it no more, on every PoP, at once and for ever."""
    _act(pop, ActOn(Act.REVOKE, note), home, as_json=as_json)


def _act(pop: str, wanted: ActOn, home: str | None, *, as_json: bool) -> None:
    with command(as_json=as_json) as show:
        row = tell(load_config({"home": home}), f"{FABRIC}/pops/{pop}", wanted, PopRow)
        show.data(row)
        show.line(f"{row.pop} is {row.status}")


@_owners.command("list")
def list_owners(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the owners that are let in, this one first."""
    with command(as_json=as_json) as show:
        _show_owners(show, ask(load_config({"home": home}), FABRIC, FabricShown))


@_owners.command("export")
def export(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print this owner's root certificate, which another owner admits."""
    with command(as_json=as_json) as show:
        root = ask(load_config({"home": home}), f"{FABRIC}/owners/own", RootShown)
        show.data(root)
        show.line(root.root_pem.rstrip())


@_owners.command("admit")
def admit(
    file: Annotated[Path, typer.Argument(help="What `littoral owners export` printed there.")],
    may_ask: Annotated[
        bool, typer.Option("--may-ask", help="Its PoPs may send requests here.")
    ] = False,
    may_serve: Annotated[
        bool, typer.Option("--may-serve", help="Requests from here may go to its PoPs.")
    ] = False,
    model: Annotated[
        list[str] | None, typer.Option(help="Only this model; repeat. Default: all.")
    ] = None,
    zone: Annotated[
        list[str] | None, typer.Option(help="Send only to its PoPs in this zone; repeat.")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Of all of its PoPs together.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Of all of its PoPs together.")
    ] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(help="HOST:PORT of the state of one of its PoPs, to find them by; repeat."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let in another owner's PoPs, or change how far. What is not said is not allowed."""
    with command(as_json=as_json) as show:
        wanted = AdmitOwner(
            root_pem=_text_of(file),
            may_ask=may_ask,
            may_serve=may_serve,
            models=tuple(model) if model else None,
            zones=tuple(zone) if zone else None,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            addresses=tuple(address or ()),
        )
        _show_owners(
            show, tell(load_config({"home": home}), f"{FABRIC}/owners", wanted, FabricShown)
        )


@_owners.command("root-away")
def root_away(
    file: Annotated[
        Path, typer.Argument(help="Where to: another disk, say. Nothing may be there.")
    ],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move this owner's root key out of the home. PoPs join and renew without it."""
    with command(as_json=as_json) as show:
        owner = open_owner(load_config({"home": home}).home, SystemClock())
        owner.take_root_offline(file)
        show.line(f"the root key of {owner.owner_id} is in {file}, and no longer in the home")
        show.data({"owner": owner.owner_id, "file": str(file)})


@_owners.command("root-back")
def root_back(
    file: Annotated[Path, typer.Argument(help="Where `root-away` has put it; it stays there.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the root key back: to make PoPs issuers, and to renew what issuers have for 30 days."""
    with command(as_json=as_json) as show:
        owner = open_owner(load_config({"home": home}).home, SystemClock())
        owner.bring_root_back(file)
        show.line(f"the root key of {owner.owner_id} is in the home again")
        show.data({"owner": owner.owner_id, "file": str(file)})


@_route.command("explain")
def explain(
    model: Annotated[str, typer.Argument(help="The model that is asked for.")],
    prompt: Annotated[str, typer.Argument(help="What it would be asked.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where a request would go now, and why."""
    with command(as_json=as_json) as show:
        wanted = RouteWanted(model, prompt)
        shown = tell(load_config({"home": home}), f"{FABRIC}/route", wanted, RouteShown)
        show.data(shown)
        for number, line in enumerate(shown.candidates, 1):
            show.line(f"{number}. {line}", style="bold" if number == 1 else None)
        for line in shown.ruled_out:
            show.line(f"-  {line}", style="dim")


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadRequestError(
            f"{file} can't be read: {reason}",
            advice="give the file that `littoral owners export` made on the other side",
        ) from None


def _show_owners(show: Show, known: FabricShown) -> None:
    show.data({"owners": known.owners})
    show.table(
        ("owner", "whose", "fingerprint of its root", "what its PoPs may do here"),
        [
            (each.owner, "this PoP's" if each.own else "another's", each.fingerprint, each.policy)
            for each in known.owners
        ],
    )


def _tabulate(show: Show, pops: Sequence[PopRow]) -> None:
    columns = ("zone", "site", "pop", "status", "reach", "link", "load", "models")
    show.table(columns, [_row(each) for each in pops])


def _row(pop: PopRow) -> tuple[str, ...]:
    working = sum(model.in_flight for model in pop.models)
    waiting = sum(model.waiting for model in pop.models)
    slots = sum(model.slots for model in pop.models if model.warmth == "warm")
    load = f"{working}/{slots}" + (f" +{waiting}" if waiting else "")
    link = "" if pop.rtt_ms is None else f"{pop.rtt_ms:.1f} ms"
    if pop.bytes_per_s:
        link += f", {sized(pop.bytes_per_s)}/s"
    status = f"{pop.status}, issuer" if pop.issuer else pop.status
    models = ", ".join(_model(each) for each in pop.models) or "none"
    return (pop.zone, pop.site, pop.pop, status, pop.reach, link, load, models)


def _model(model: ModelRow) -> str:
    said = [] if model.warmth == "warm" else [model.warmth]
    if model.price_in or model.price_out:
        said.append(f"{model.price_in:g}/{model.price_out:g} units")
    return f"{model.name} ({', '.join(said)})" if said else model.name
