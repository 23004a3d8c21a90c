"""This PoP's own certificate: had at the start, and renewed at half its life.

Rules
- A PoP that may issue writes its own; any other asks the issuers that it sees, one after the other.
- One whose certificate has run out (a machine that slept) comes back by its receipt key, to an
  issuer that it remembers. If none is there, it goes on trying, and the PoP serves its own clients
  meanwhile.
- What can't be renewed is tried again every RENEW_RETRY_S; open connections never notice.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from littoral.adapters.identity import Identity
from littoral.adapters.owner import FabricFiles, issuer_request
from littoral.node.fabric.calls import Calls
from littoral.node.fabric.joining import RENEW, RenewRequest, come_back
from littoral.node.fabric.memory import KnownPop, recall
from littoral.node.fabric.newcomer import accept
from littoral.node.fabric.registrar import Registrar
from littoral.terms.errors import LittoralError, UpstreamFailedError
from littoral.terms.ids import SiteName, ZoneName
from littoral.terms.limits import RENEW_RETRY_S
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND
from littoral.trust.joining import JoinAnswer, KeyRequests
from littoral.trust.members import Member

__all__ = ["Certificate"]

log = logging.getLogger("littoral")


class Certificate:
    """Of one PoP."""

    def __init__(
        self,
        home: Path,
        identity: Identity,
        clock: Clock,
        registrar: Callable[[], Registrar | None],
        place: tuple[ZoneName, SiteName],
    ) -> None:
        """Look at nothing yet.

        Args:
            home: its files are in it.
            identity: of the PoP.
            clock: for ages.
            registrar: the issuing side, where this PoP may issue.
            place: zone and site of the first PoP of an owner.
        """
        self._home = home
        self._files = FabricFiles(home)
        self._identity = identity
        self._clock = clock
        self._registrar = registrar
        self._place = place

    @property
    def had(self) -> bool:
        """Whether there is one, good or not."""
        return self._files.own() is not None

    @property
    def place(self) -> tuple[ZoneName, SiteName]:
        """Zone and site: as the certificate says, or, before there is one, as was said."""
        own = self._files.own()
        return self._place if own is None else (own.member.zone, own.member.site)

    def left_s(self) -> int:
        """Seconds until it runs out; 0 where there is none, less where it has."""
        own = self._files.own()
        return 0 if own is None else own.expires_unix_s - self._clock.unix_ns() // SECOND

    def due(self) -> bool:
        """Whether half of its life is over."""
        own = self._files.own()
        return own is None or self.left_s() < (own.expires_unix_s - own.begins_unix_s) // 2

    def found(self) -> None:
        """Make this PoP the first of its owner, or renew what this PoP itself issued.

        Raises:
            As `Registrar.found` does.
        """
        registrar = self._registrar()
        assert registrar is not None, "the first PoP issues"
        zone, site = self.place
        answer = registrar.found(self._identity.public_key, zone, site, self._keys())
        self._accept(answer, registrar.owner.fingerprint)

    async def renew(self, there: Sequence[KnownPop], calls: Calls) -> None:
        """Have a new one, from this PoP itself, or from an issuer that is there or remembered.

        Args:
            there: PoPs that are seen now.
            calls: the way to them.

        Raises:
            UpstreamFailedError: none of them gives one.
        """
        if self._registrar() is not None:
            self.found()
            return
        refusals: list[str] = []
        known = {each.name: each for each in (*recall(self._home).pops, *there)}
        for issuer in (each for each in known.values() if each.issuer):
            try:
                if self.left_s() <= 0:
                    await come_back(issuer, self._identity, self._home, self._clock)
                else:
                    answer = await self._renewed_by(issuer, calls)
                    self._accept(answer, self._files.fingerprint())
            except LittoralError as error:
                refusals.append(f"{Member.of_name(issuer.name).pop}: {error}")
            else:
                return
        why = "; ".join(refusals) or "no issuer is known"
        raise UpstreamFailedError(f"the certificate can't be renewed ({why})")

    async def renewals(
        self, there: Callable[[], Sequence[KnownPop]], calls: Calls
    ) -> AsyncIterator[None]:
        """Renew it whenever it is due, without an end; each step of the iteration is a new one.

        Args:
            there: PoPs that are seen now.
            calls: the way to them.
        """
        while True:
            # Not all at once, where many were started together: each opens its links anew then.
            await asyncio.sleep(RENEW_RETRY_S * (0.5 + self._clock.random_bytes(1)[0] / 256))
            if not self.due():
                continue
            try:
                await self.renew(there(), calls)
            except LittoralError as error:
                log.warning("%s", error)
            else:
                yield

    async def come_back(self, calls: Calls, then: Callable[[], Awaitable[object]]) -> None:
        """Have a new one for the one that ran out, however long it takes; then go on with that."""
        while True:
            try:
                await self.renew((), calls)
                await then()
            except LittoralError as error:
                log.warning("this PoP is not in the fabric for now: %s", error)
            else:
                return
            await asyncio.sleep(RENEW_RETRY_S)

    async def _renewed_by(self, issuer: KnownPop, calls: Calls) -> JoinAnswer:
        keys = self._keys()
        wanted = msgspec.json.encode(RenewRequest(keys.csr, keys.issuer_csr))
        answer = await calls.ask(issuer.name, issuer.url, "POST", RENEW, wanted)
        try:
            return msgspec.json.decode(answer, type=JoinAnswer)
        except (msgspec.DecodeError, UnicodeError):
            raise UpstreamFailedError("its answer is not understood") from None

    def _keys(self) -> KeyRequests:
        pop = self._identity.pop_id
        csr = issuer_request(self._home, pop, self._clock)
        return self._files.requests(pop, self._clock, issuer_csr=csr)

    def _accept(self, answer: JoinAnswer, fingerprint: bytes) -> None:
        accept(
            self._home,
            answer,
            pop=self._identity.pop_id,
            fingerprint=fingerprint,
            clock=self._clock,
        )
