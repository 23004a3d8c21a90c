"""The state directory of one PoP: where everything lies, and who holds it.

    HOME/identity.key   the PoP's Ed25519 key, mode 0600
    HOME/identity.pub   its public half, to give to whoever verifies receipts
    HOME/littoral.toml  settings that the operator wrote, if any
    HOME/littoral.db    keys (hashed), usage, receipts, members of the fabric
    HOME/owner/         the owner's keys that are here, if this PoP issues certificates
    HOME/fabric/        the TLS key and certificate by which other PoPs know this one
    HOME/credentials.json   what origins are shown, mode 0600; `littoral origins`
    HOME/cache.db       answers that are given again, and cache.epoch, by which a purge is seen
    HOME/models/NAME/   one directory a model
    HOME/artifacts/     what was delivered: files in chunks, and what they belong to
    HOME/stores.db      vector stores and the files in them; HOME/files/ what clients have sent
    HOME/memory/        collections of passages; HOME/replicas/ copies of other PoPs' ones,
                        offers.json, segments.json and segments/ what of it goes to others
    HOME/added.db       which file each document of a collection was last added from
    HOME/logs/          one bounded log for each engine
    HOME/run/           lock, sockets and `pop.json`, of the PoP that runs now

One PoP runs on a home at a time: it holds an exclusive lock that the system drops when the process
ends, however it ends. What lies in `run/` is that PoP's, and is removed when it stops, or by the
next one when it was killed.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from littoral.adapters.arriving import unmounted
from littoral.terms.errors import HomeHeldError, HomeUnwritableError

__all__ = ["Home", "RunningPop"]


class RunningPop(msgspec.Struct, frozen=True):
    """What a running PoP says of itself to commands on the same machine (`run/pop.json`, 0600)."""

    pid: int
    url: str
    key: str
    """An operator key of this run only; it is worth nothing once the PoP has stopped."""
    certificate: str = ""
    """The TLS certificate that it shows, if it speaks TLS: the one to trust, whatever its name."""


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one state directory."""

    path: Path

    @property
    def models(self) -> Path:
        """One directory a model."""
        return self.path / "models"

    @property
    def artifacts(self) -> Path:
        """What was delivered."""
        return self.path / "artifacts"

    @property
    def logs(self) -> Path:
        """Engines' logs."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """What exists only while a PoP runs."""
        return self.path / "run"

    @property
    def arriving(self) -> Path:
        """Files that are still on their way, as a mount."""
        return self.run / "arriving"

    def make(self) -> None:
        """Make what is missing, readable by its owner only.

        Raises:
            HomeUnwritableError: it can't be made or written.
        """
        try:
            for folder in (self.path, self.models, self.logs, self.run):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.touch(mode=0o600)
            probe.unlink()
        except OSError as error:
            raise HomeUnwritableError(
                f"the state directory {self.path} can't be used: {error.strerror}"
            ) from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the one PoP of this home.

        Raises:
            HomeHeldError: another process is; the message says which.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise self._held_by(os.pread(descriptor, 32, 0)) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            self._clear_run()
            try:
                yield
            finally:
                self._clear_run()
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def announce(self, pop: RunningPop) -> None:
        """Tell commands on this machine where the PoP is."""
        target = self.run / "pop.json"
        draft = target.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(pop))
        draft.replace(target)

    def running(self) -> RunningPop | None:
        """The PoP that runs on this home now, if one does."""
        try:
            pop = msgspec.json.decode((self.run / "pop.json").read_bytes(), type=RunningPop)
            descriptor = os.open(self.path / "lock", os.O_RDWR)
        except (OSError, msgspec.DecodeError):
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return pop  # somebody holds the lock: it is alive
        finally:
            os.close(descriptor)
        return None

    def _held_by(self, pid: bytes) -> HomeHeldError:
        who = f"process {pid.decode()}" if pid.strip().isdigit() else "another process"
        pop = None
        with suppress(OSError, msgspec.DecodeError):
            pop = msgspec.json.decode((self.run / "pop.json").read_bytes(), type=RunningPop)
        where = f", serving {pop.url}" if pop else ""
        return HomeHeldError(
            f"{self.path} is held by {who}{where}",
            advice="use that one, stop it, or give this one its own with --home",
        )

    def _clear_run(self) -> None:
        unmounted(self.arriving)
        for leftover in self.run.iterdir():
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
