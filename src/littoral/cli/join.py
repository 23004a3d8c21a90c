"""`littoral join TICKET`: make this machine a PoP of somebody's fabric, and run it."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer

from littoral.adapters.clock import SystemClock
from littoral.adapters.identity import open_identity
from littoral.adapters.owner import FabricFiles, set_owner_aside
from littoral.adapters.store import open_store
from littoral.cli.options import with_settings
from littoral.cli.show import JsonOption, command
from littoral.cli.up import run_until_stopped
from littoral.node.config import Config
from littoral.node.fabric.joining import Joined
from littoral.node.fabric.joining import join as join_by
from littoral.node.fabric.memory import recall, remember
from littoral.node.home import Home
from littoral.terms.errors import ConflictError
from littoral.trust.tickets import Ticket

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("join")(with_settings(join))


def join(
    ticket: Annotated[str, typer.Argument(help="What `littoral invite` printed.")],
    config: Config,
    only: Annotated[bool, typer.Option("--only", help="Join, and do not run the PoP yet.")] = False,
    as_json: JsonOption = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what happens to standard error.")
    ] = False,
) -> None:
    """Join a fabric by a ticket, then run the PoP until Ctrl-C, as `littoral up` does from then on.

    The keys are made here and never leave this machine; the ticket's secret is not sent either.
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    with command(as_json=as_json) as show:
        joined = asyncio.run(_join(config, Ticket.of_text(ticket)))
        member = joined.member
        show.note(
            f"joined {member.owner} as {member.pop}, in zone {member.zone}, site {member.site}"
        )
        if only:
            show.data({"name": member.name, "pop": member.pop})
            return
        run_until_stopped(config, show)


async def _join(config: Config, ticket: Ticket) -> Joined:
    clock, home = SystemClock(), Home(config.home)
    home.make()
    with home.held():
        _check_alone(config.home, ticket)
        identity = open_identity(config.home, clock)
        with open_store(config.home) as store:
            would_issue = not config.fabric_dials_out
            joined = await join_by(ticket, identity, config.home, clock, would_issue=would_issue)
            store.members.keep(joined.answer.admission)
        memory = recall(config.home)
        remember(
            config.home,
            type(memory)(
                host=joined.host,
                boot=memory.boot,
                seeds=joined.answer.seeds,
            ),
        )
    return joined


def _check_alone(home: Path, ticket: Ticket) -> None:
    """See that this home is no member of another fabric, nor the owner of one.

    Raises:
        ConflictError: it is.
    """
    own = FabricFiles(home).own()
    if own is None:
        set_owner_aside(home)
    elif own.member.owner != ticket.owner:
        raise ConflictError(
            f"this home is a PoP of {own.member.owner} already",
            advice="join with another home (--home), or remove this one's folder `fabric`",
        )
