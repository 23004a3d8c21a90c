"""Who wants to be taken for a member: with its name in a certificate of an authority of its own.

It has all that is public: the name of the PoP that it poses as, and the owner's root certificate.
It lacks what is not: a key that any issuer of that owner has signed.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from littoral.adapters.addresses import free_port
from littoral.adapters.fabric import FabricPlace, ZenohNames
from littoral.adapters.identity import open_identity
from littoral.adapters.owner import FabricFiles
from littoral.adapters.owner.certificates import (
    Authority,
    make_issuer,
    make_key,
    make_leaf,
    make_root,
    pem_of,
)
from littoral.adapters.owner.key_files import write_key
from littoral.adapters.owner.tls import client_context
from littoral.routing.fleet import PopState, encoded
from littoral.terms.errors import DemoFailedError
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND
from littoral.trust import records
from littoral.trust.members import Member
from littoral.trust.records import RecordKind

__all__ = ["Forger"]

_HOST: Final = "127.0.0.1"
_WAIT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Forger:
    """One such."""

    poses: Member
    home: Path
    clock: Clock

    @property
    def _files(self) -> FabricFiles:
        return FabricFiles(self.home)

    def forge(self, real: FabricFiles) -> None:
        """Make keys and certificates as a member has them, by an authority of its own.

        Args:
            real: of any member, for the owner's root certificate.
        """
        files, clock = self._files, self.clock
        unix_s = clock.unix_ns() // SECOND
        files.folder.mkdir(mode=0o700, parents=True)
        root_key, issuer_key, key = (make_key(clock) for _ in range(3))
        root = Authority(make_root(root_key, clock, unix_s), root_key, clock)
        issued = make_issuer(self.poses.pop, issuer_key.public_key(), root, unix_s)
        issuer = Authority(issued, issuer_key, clock)
        leaf = make_leaf(self.poses, key.public_key(), issuer, unix_s)
        write_key(files.key, key)
        files.chain.write_bytes(pem_of(leaf, issued, root.certificate))
        for own, theirs in ((files.bundle, real.bundle), (files.root, real.root)):
            own.write_bytes(theirs.read_bytes())

    async def dial(self, port: int) -> str:
        """Shake hands with a PoP, and ask; what came of it.

        Raises:
            DemoFailedError: it was answered, or nobody is there.
        """
        context = client_context(self._files, self.poses.owner)
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(_WAIT_S):
                reader, writer = await asyncio.open_connection(_HOST, port, ssl=context)
                writer.write(b"GET /v1/models HTTP/1.1\r\nhost: littoral\r\n\r\n")
                await reader.readuntil(b"\r\n")
        except ssl.SSLError as error:
            return (error.reason or str(error)).lower().replace("_", " ")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return "closed without a word"
        except (OSError, TimeoutError) as error:
            raise DemoFailedError(f"nobody refuses a forged PoP: {error}") from None
        finally:
            if writer is not None:
                writer.transport.abort()
                with suppress(OSError, ssl.SSLError):
                    await writer.wait_closed()
        raise DemoFailedError("a forged PoP was let in")

    @asynccontextmanager
    async def saying(self, state_port: int) -> AsyncIterator[ZenohNames]:
        """Try to say state as who it poses as, again and again while the context is open.

        Args:
            state_port: of the PoP that is to hear it.
        """
        identity = open_identity(self.home, self.clock)
        place = FabricPlace(
            host=_HOST,
            port=free_port(_HOST),
            chain=self._files.chain,
            key=self._files.key,
            roots=self._files.root,
            seeds=(f"{_HOST}:{state_port}",),
        )
        names = ZenohNames(identity.pop_id, place)
        state = PopState(identity.pop_id, 1, 1)
        try:
            await names.open(lambda _: None)
            record = records.signed(RecordKind.STATE, encoded(state), identity)
            names.say(records.topic(RecordKind.STATE, identity.pop_id), record)
            yield names
        finally:
            await names.close()
