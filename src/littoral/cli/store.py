"""`littoral store`: what was delivered to this machine, and what may become of it."""

from typing import Annotated

import typer

from littoral.cli.operate import ask, tell
from littoral.cli.show import HomeOption, JsonOption, Show, command, sized
from littoral.node.config import load_config
from littoral.terms.delivery import ArtifactRow, Freed, Nothing, PinWanted, StoreShown, Verified
from littoral.terms.ids import artifact_id
from littoral.web.delivery import DELIVERY

__all__ = ["register"]

_store = typer.Typer(no_args_is_help=True, help="What was delivered to this machine.")

ArtifactArgument = Annotated[
    str, typer.Argument(metavar="ARTIFACT", help="Its name, as `littoral store stats` shows it.")
]


def register(app: typer.Typer) -> None:
    """Add `store` to the command line."""
    app.add_typer(_store, name="store")


@_store.command("stats")
def stats(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List artifacts, what of them is here, and what they take."""
    with command(as_json=as_json) as show:
        store = ask(load_config({"home": home}), f"{DELIVERY}/store", StoreShown)
        show.data(store)
        shared = f", {sized(store.shared_bytes)} saved by sharing" if store.shared_bytes else ""
        bound = f" of {sized(store.bytes_max)}" if store.bytes_max else ""
        show.line(f"{sized(store.disk_bytes)}{bound} on disk at {store.path}{shared}")
        columns = ("artifact", "from", "here", "of", "files", "kept", "asked for")
        show.table(columns, [_row(each) for each in store.artifacts])


@_store.command("pin")
def pin(artifact: ArtifactArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Keep an artifact whatever room is needed."""
    _pin(PinWanted(artifact_id(artifact)), home, as_json=as_json)


@_store.command("unpin")
def unpin(artifact: ArtifactArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Let an artifact go when room is needed."""
    _pin(PinWanted(artifact_id(artifact), pinned=False), home, as_json=as_json)


@_store.command("verify")
def verify(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Hash every byte again; what is damaged is dropped, and fetched when it is needed."""
    with command(as_json=as_json) as show:
        found = tell(load_config({"home": home}), f"{DELIVERY}/verify", Nothing(), Verified)
        show.data(found)
        for line in found.rotten:
            show.line(line, style="red")
        state = f"{len(found.rotten)} chunks were damaged" if found.rotten else "all good"
        show.line(f"{sized(found.checked_bytes)} checked: {state}")


@_store.command("gc")
def collect(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Remove what nothing needs."""
    with command(as_json=as_json) as show:
        freed = tell(load_config({"home": home}), f"{DELIVERY}/gc", Nothing(), Freed)
        show.data(freed)
        show.line(f"{sized(freed.freed_bytes)} freed, {freed.files} files removed")


def _pin(wanted: PinWanted, home: str | None, *, as_json: bool) -> None:
    with command(as_json=as_json) as show:
        row = tell(load_config({"home": home}), f"{DELIVERY}/pins", wanted, ArtifactRow)
        show.data(row)
        _said(show, row)


def _said(show: Show, row: ArtifactRow) -> None:
    state = "stays, whatever room is needed" if row.pinned else "may go when room is needed"
    show.line(f"{row.reference or row.artifact} {state}")


def _row(row: ArtifactRow) -> tuple[str, ...]:
    kept = ", ".join(
        word for word, true in (("pinned", row.pinned), ("in use", row.in_use)) if true
    )
    return (
        row.artifact,
        row.reference,
        sized(row.here_bytes),
        sized(row.size_bytes),
        str(row.files),
        kept,
        str(row.asked),
    )
