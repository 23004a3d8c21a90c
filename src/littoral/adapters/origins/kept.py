"""The credentials of a home, and origins that are asked with those that it has now.

    HOME/credentials.json   by `host` or `host:port`, mode 0600, written whole

Rules
- A file that others can read is refused: what is in it is no secret any more.
- Whoever asks an origin does so with what the file has by then: nothing is to be started again.
- Nothing but the file and what the origin is shown ever holds a secret.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from littoral.adapters.files import read_secret, write_whole
from littoral.adapters.origins import Origins, OriginsSettings
from littoral.adapters.origins.credentials import Credential
from littoral.terms.errors import BadRequestError, HomeUnwritableError, IdentityError
from littoral.terms.limits import CREDENTIALS_MAX
from littoral.terms.ports import Origin

__all__ = ["CredentialFile", "OriginsNow", "host_named"]

_HOST: Final = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:]{2,45}\])(:\d{1,5})?"
)


class _Row(msgspec.Struct, frozen=True, omit_defaults=True):
    secret: str
    user: str | None = None


class _Kept(msgspec.Struct, frozen=True):
    """The file."""

    hosts: dict[str, _Row] = {}


def host_named(text: str) -> str:
    """`HOST` or `HOST:PORT`, as an operator writes it, or out of an address.

    Raises:
        BadRequestError: it is neither.
    """
    host = (urlsplit(text).netloc if "://" in text else text).lower()
    if not _HOST.fullmatch(host):
        raise BadRequestError(
            f"{text[:100]!r} is no server", advice="write HOST or HOST:PORT, as in its addresses"
        )
    return host


_decode: Final = msgspec.json.Decoder(_Kept).decode


class CredentialFile:
    """`credentials.json` of one home. All methods block briefly.

    All of them raise IdentityError where others can read the file, or it is damaged.
    """

    def __init__(self, home: Path) -> None:
        """Read nothing yet."""
        self._path = home / "credentials.json"

    def stamp(self) -> tuple[int, ...]:
        """Another one whenever the file is another; empty where there is none."""
        with suppress(OSError):
            found = self._path.stat()
            return found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode
        return ()

    def read(self) -> dict[str, Credential]:
        """What it has, by host."""
        try:
            data = read_secret(self._path, otherwise="log in anew with new tokens")
            kept = _decode(data)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise IdentityError(f"{self._path} can't be read ({error.strerror})") from None
        except msgspec.MsgspecError:
            raise IdentityError(
                f"{self._path} is damaged", advice="remove it, and log in anew"
            ) from None
        return {host: Credential(row.secret, row.user) for host, row in kept.hosts.items()}

    def put(self, host: str, credential: Credential) -> None:
        """Keep what a server is to be shown, in the place of what it was shown before.

        Raises:
            BadRequestError: there are CREDENTIALS_MAX already.
            HomeUnwritableError: it can't be written.
        """
        known = self.read()
        known[host] = credential
        if len(known) > CREDENTIALS_MAX:
            raise BadRequestError(
                f"{CREDENTIALS_MAX} servers are known already", advice="log out of some first"
            )
        self._write(known)

    def drop(self, host: str) -> bool:
        """Show a server nothing any more; whether it was shown anything before.

        Raises:
            HomeUnwritableError: it can't be written.
        """
        known = self.read()
        if known.pop(host, None) is None:
            return False
        self._write(known)
        return True

    def _write(self, known: Mapping[str, Credential]) -> None:
        rows = {host: _Row(each.secret, each.user) for host, each in sorted(known.items())}
        try:
            write_whole(self._path, msgspec.json.encode(_Kept(rows)), mode=0o600)
        except OSError as error:
            raise HomeUnwritableError(f"{self._path} can't be written ({error.strerror})") from None


class OriginsNow:
    """All origins, asked with the credentials that the home has when they are asked."""

    def __init__(
        self, settings: OriginsSettings, file: CredentialFile, packages: Origin | None = None
    ) -> None:
        """Ask nobody yet.

        Args:
            settings: with credentials that count where the file has none for a server.
            file: looked at each time.
            packages: reads what `package:` names; None where nobody does.
        """
        self._settings = settings
        self._file = file
        self._packages = packages
        self._stamp: tuple[int, ...] = ()
        self._origins = Origins(settings, packages)

    def origin_for(self, reference: str) -> Origin:
        """Who reads what this names; see Origins.

        Raises:
            BadRequestError: it names nothing, or what nobody reads here.
            IdentityError: the credentials can't be read.
        """
        stamp = self._file.stamp()
        if stamp != self._stamp:
            known = {**self._settings.credentials, **self._file.read()}
            self._origins.close()
            self._origins = Origins(replace(self._settings, credentials=known), self._packages)
            self._stamp = stamp
        return self._origins.origin_for(reference)

    def close(self) -> None:
        """Close every connection that is kept; reads under way end by themselves."""
        self._origins.close()
