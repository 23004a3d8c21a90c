"""`littoral origins`: what servers that artifacts come from are shown, to let this PoP in."""

from pathlib import Path
from typing import Annotated, Final

import typer

from littoral.adapters.origins.credentials import Credential
from littoral.adapters.origins.kept import CredentialFile, host_named
from littoral.cli.show import HomeOption, JsonOption, command
from littoral.node.config import load_config
from littoral.node.home import Home
from littoral.terms.errors import BadRequestError, NotFoundError

__all__ = ["register"]

_TOKEN_CHARS_MAX: Final = 4096

_origins = typer.Typer(no_args_is_help=True, help="What origins are shown to let this PoP in.")

HostArgument = Annotated[
    str, typer.Argument(metavar="HOST", help="HOST or HOST:PORT: shown to that server alone.")
]


def register(app: typer.Typer) -> None:
    """Add `origins` to the command line."""
    app.add_typer(_origins, name="origins")


@_origins.command("login")
def login(
    host: HostArgument,
    token_file: Annotated[
        Path, typer.Option(help="File with the token, or with --user the password or secret key.")
    ],
    user: Annotated[
        str | None, typer.Option(help="User or access key, for servers that want a pair.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep what a server is shown. A PoP that runs heeds it at once."""
    with command(as_json=as_json) as show:
        place = Home(load_config({"home": home}).home)
        place.make()
        named = host_named(host)
        CredentialFile(place.path).put(named, Credential(_secret_of(token_file), user))
        show.line(f"{named} is shown the {'pair' if user else 'token'} from now on")
        show.data({"host": named})


@_origins.command("list")
def list_hosts(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show which servers are shown something, and never what."""
    with command(as_json=as_json) as show:
        known = CredentialFile(load_config({"home": home}).home).read()
        rows = [(host, "pair" if each.user else "token") for host, each in sorted(known.items())]
        show.data({"hosts": [{"host": host, "shown": shown} for host, shown in rows]})
        if rows:
            show.table(("server", "is shown a"), rows)
        else:
            show.line("no server is shown anything; `littoral origins login HOST --token-file F`")


@_origins.command("logout")
def logout(host: HostArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show a server nothing any more."""
    with command(as_json=as_json) as show:
        named = host_named(host)
        if not CredentialFile(load_config({"home": home}).home).drop(named):
            raise NotFoundError(
                f"{named} is shown nothing", advice="`littoral origins list` says who is"
            )
        show.line(f"{named} is shown nothing any more")
        show.data({"host": named})


def _secret_of(path: Path) -> str:
    try:
        with path.open() as file:
            secret = file.read(_TOKEN_CHARS_MAX).strip()
    except (OSError, UnicodeDecodeError):
        raise BadRequestError(
            f"{path} can't be read", advice="check the path and its permissions"
        ) from None
    if not secret or not secret.isprintable():
        raise BadRequestError(f"{path} holds no token", advice="it is to hold one, in one line")
    return secret
