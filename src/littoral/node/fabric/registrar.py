"""The issuing side: gives out tickets, admits PoPs, renews their certificates, shuts them out.

Rules
- Everything is checked before anything is done. A use of a ticket and the admission that it was
  taken for are one transaction; certificates are made before it and mean nothing without it.
- A PoP that has been admitted and did not hear the answer asks again: that takes no further use.
- Up to limits.ISSUERS_MAX PoPs of an owner may issue, so that certificates go on when a machine is
  gone. Those that join first are made issuers, if the root key is at hand and the ticket allows it.
- Whoever is refused is told why, in an error whose `details["reason"]` is one word; it is a fact
  too, without names, since whoever is refused may have made them up.

It knows no HTTP: whoever calls `renew` has seen the peer's certificate (adapters/owner/tls.py).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec import structs

from littoral.adapters.identity import verify
from littoral.adapters.owner import Bundle, Checked, Owner, Requested, read_request
from littoral.adapters.store import MemberBook
from littoral.terms.errors import (
    ConflictError,
    IdentityError,
    JoinRejectedError,
    LittoralError,
    NotFoundError,
)
from littoral.terms.facts import JoinRefused, MemberJoined, MemberRenewed, StandingChanged
from littoral.terms.ids import PopId, SiteName, ZoneName, place_name
from littoral.terms.limits import ISSUERS_MAX, TICKET_LIFE_S
from littoral.terms.ports import Clock, Observe
from littoral.terms.values import SECOND
from littoral.trust.admission import (
    ADMISSION,
    POLICY,
    Admission,
    Membership,
    OwnerPolicy,
    Roll,
    Signed,
)
from littoral.trust.joining import (
    NONCE_RANDOM_BYTES,
    Asking,
    ComeBackRequest,
    JoinAnswer,
    JoinRequest,
    KeyRequests,
    check_nonce,
    check_proof,
    check_signature,
    make_nonce,
)
from littoral.trust.members import Member
from littoral.trust.names import pop_id
from littoral.trust.tickets import TICKET_RANDOM_BYTES, Ticket, TicketRecord, ticket_refused

__all__ = ["Registrar"]

_MILLISECOND: Final = 1_000_000


class Registrar:
    """Acts for an owner, with this PoP's issuer key."""

    def __init__(
        self,
        owner: Owner,
        book: MemberBook,
        clock: Clock,
        observe: Observe,
        *,
        seeds: Callable[[], Sequence[str]],
    ) -> None:
        """Act for this owner.

        Args:
            owner: its keys that are here.
            book: of this home.
            clock: for times, nonces and secrets.
            observe: takes facts.
            seeds: gives the endpoints at which the state of the fabric can be joined now.
        """
        self.owner = owner
        self._book = book
        self._clock = clock
        self._observe = observe
        self._seeds = seeds

    def nonce(self) -> bytes:
        """What a request to join or come back must answer, within limits.JOIN_NONCE_S."""
        random = self._clock.random_bytes(NONCE_RANDOM_BYTES)
        return make_nonce(self.owner.nonce_key, self._unix_s(), random)

    def invite(
        self,
        addresses: Sequence[str],
        zone: str,
        site: str,
        *,
        uses: int = 1,
        life_s: int = TICKET_LIFE_S,
        issuer: bool = True,
    ) -> Ticket:
        """Give out a ticket; its text is a secret.

        Args:
            addresses: `host:port` of fabric listeners that can admit, 1 to 4.
            zone: of the PoPs that join by it.
            site: of those.
            uses: how many may join by it.
            life_s: how long it is good.
            issuer: they may be made issuers, while there are too few.

        Raises:
            BadRequestError: a part of it is out of range.
            ConflictError: too many tickets are out.
        """
        secret = self._clock.random_bytes(TICKET_RANDOM_BYTES)
        ticket = Ticket(tuple(addresses), self.owner.fingerprint, secret)
        now_s = self._unix_s()
        record = TicketRecord(
            ticket.ticket_id,
            ticket.proof_key,
            ZoneName(place_name(zone, "zone")),
            SiteName(place_name(site, "site")),
            uses,
            now_s + life_s,
            issuer,
        )
        self._book.add_ticket(record, now_s)
        return ticket

    def found(self, receipt_key: bytes, zone: str, site: str, keys: KeyRequests) -> JoinAnswer:
        """Admit the PoP that this registrar runs on: the owner's first, or one that moved.

        Raises:
            BadRequestError: the zone or site can't be a name.
            JoinRejectedError: the request for a certificate is not this PoP's.
            ConflictError: this PoP was revoked, or there is no room.
        """
        pop, unix_s = self.owner.pop, self._unix_s()
        places = ZoneName(place_name(zone, "zone")), SiteName(place_name(site, "site"))
        member = Member(self.owner.owner_id, *places, pop)
        requested = read_request(keys.csr, pop)
        chain = self.owner.issue(member, requested, unix_s)
        signed = self._book.admission(pop)
        before = None if signed is None else Admission.of_payload(signed.payload)
        if before is not None and before.status is Membership.REVOKED:
            raise ConflictError(f"{pop} was revoked", advice="make a new home for a new PoP")
        if signed is None or before is None or not before.good or before.member != member:
            signed = self._sign(member, receipt_key, before, issuer=True)
            self._book.keep(signed)
            self._joined(Admission.of_payload(signed.payload))
        return self._answer(chain, signed, b"")

    def join(self, request: JoinRequest) -> JoinAnswer:
        """Admit a PoP that has a ticket.

        Raises:
            TicketRejectedError: unknown, expired or used up.
            JoinRejectedError: what was sent does not prove what it must, or the PoP was revoked.
            ConflictError: there is no room.
            OwnerKeyAwayError: this issuer's own certificate has run out.
        """
        with self._refusals_told("join"):
            asking, unix_s = request.asking, self._unix_s()
            check_nonce(self.owner.nonce_key, asking.nonce, unix_s)
            ticket = self._book.ticket(request.ticket_id)
            if ticket is None:
                raise ticket_refused("unknown")
            check_proof(request, self.owner.owner_id, ticket.proof_key)
            requested = self._requested(request)
            member = Member(self.owner.owner_id, ticket.zone, ticket.site, requested.pop)
            chain = self.owner.issue(member, requested, unix_s)
            issuer = self._issuer_certificate(asking.issuer_csr, requested.pop) or b""
            offered = issuer if ticket.issuer else b""

            def decide(_: TicketRecord, before: Signed | None, roll: Roll) -> Signed | None:
                return self._decided(asking, member, before, roll, may_issue=bool(offered))

            signed, new = self._book.admit(ticket.ticket_id, member.pop, unix_s, decide)
            admission = Admission.of_payload(signed.payload)
            if new:
                self._joined(admission)
            return self._answer(chain, signed, offered if admission.issuer else b"")

    def renew(self, peer: Checked, csr: bytes, issuer_csr: bytes = b"") -> JoinAnswer:
        """A new certificate for a member whose present one was checked.

        Args:
            peer: whom the certificate names, as `tls.peer` gives it.
            csr: for the TLS key.
            issuer_csr: for its issuer's key, to renew that certificate too, if it may issue.

        Raises:
            JoinRejectedError: it is no member (any more), or its certificate was issued by a PoP
                that was revoked: then it must come back; or the request is malformed.
            OwnerKeyAwayError: this issuer's own certificate has run out.
        """
        with self._refusals_told("renew"):
            if peer.member.owner != self.owner.owner_id:
                raise _rejected("owner", "a PoP asks its own owner for certificates")
            by = self._book.roll().admissions.get(peer.issuer)
            if by is not None and by.status is Membership.REVOKED:
                raise _rejected("issuer", f"{peer.issuer}, which issued this certificate, is out")
            signed, admission = self._good(peer.member.pop)
            return self._renewed(signed, admission, csr, issuer_csr, returned=False)

    def come_back(self, request: ComeBackRequest) -> JoinAnswer:
        """A new certificate for a member whose last one has run out, by its receipt key.

        Raises:
            JoinRejectedError, OwnerKeyAwayError: as `renew`; or the proof does not hold.
        """
        with self._refusals_told("come_back"):
            asking = request.asking
            check_nonce(self.owner.nonce_key, asking.nonce, self._unix_s())
            requested = self._requested(request)
            signed, admission = self._good(requested.pop)
            if admission.receipt_key != asking.receipt_key:
                raise _rejected("signature", "another key is known of this PoP")
            return self._renewed(signed, admission, asking.csr, asking.issuer_csr, returned=True)

    def set_status(self, pop: PopId, status: Membership, note: str = "") -> Signed:
        """Say how a PoP stands from now on. The word is kept here, and is to be passed on.

        Raises:
            NotFoundError: no such PoP was admitted.
            ConflictError: it was revoked, which is for ever.
            OwnerKeyAwayError: this issuer's own certificate has run out.
        """
        before = self._book.roll().admissions.get(pop)
        if before is None or before.member.owner != self.owner.owner_id:
            raise NotFoundError(f"no PoP {pop} was admitted", advice="check its id")
        if before.status is Membership.REVOKED and status is not Membership.REVOKED:
            raise ConflictError(
                f"{pop} was revoked, which is for ever",
                advice="give that machine a new home, and invite it anew",
            )
        issuer = before.issuer and status in (Membership.ADMITTED, Membership.DRAINED)
        signed = self._sign(
            before.member, before.receipt_key, before, issuer=issuer, status=status, note=note
        )
        self._book.keep(signed)
        self._observe(StandingChanged(pop, status.value))
        return signed

    def set_policy(self, policy: OwnerPolicy) -> Signed:
        """Say what a foreign owner may do; version and time are set here.

        Raises:
            IdentityError: the root in it is not that owner's.
            ConflictError: its owner was revoked, which is for ever, or there is no room.
            OwnerKeyAwayError: this issuer's own certificate has run out.
        """
        if Bundle([policy.root]).owners != (policy.owner,) or policy.owner == self.owner.owner_id:
            raise IdentityError(
                f"the root that came is not that of {policy.owner}, or it is our own",
                advice="have the bundle of that owner sent again",
            )
        signed = self._book.policy(policy.owner)
        before = None if signed is None else OwnerPolicy.of_payload(signed.payload)
        if before is not None and before.revoked and not policy.revoked:
            raise ConflictError(f"{policy.owner} was revoked, which is for ever")
        version = 1 if before is None else before.version + 1
        dated = structs.replace(policy, version=version, at=self._unix_ms())
        made = self.owner.sign(POLICY, dated.encoded(), self._unix_s())
        self._book.keep(made)
        return made

    def bundle(self) -> Bundle:
        """The roots of all owners that are trusted here, ours among them."""
        policies = (OwnerPolicy.of_payload(each.payload) for each in self._book.policies())
        return Bundle([self.owner.root, *(each.root for each in policies if not each.revoked)])

    def _requested(self, request: JoinRequest | ComeBackRequest) -> Requested:
        """What is asked for, by whom, proven by both keys."""
        asking = request.asking
        check_signature(request, self.owner.owner_id, verify)
        requested = read_request(asking.csr, pop_id(asking.receipt_key))
        if requested.spki != asking.spki:
            raise _rejected("csr", "the request for a certificate is for another key than signed")
        return requested

    def _decided(
        self, asking: Asking, member: Member, before: Signed | None, roll: Roll, *, may_issue: bool
    ) -> Signed | None:
        """The admission of a PoP that joins; None if it is admitted so already."""
        old = None if before is None else Admission.of_payload(before.payload)
        if old is not None:
            if old.receipt_key != asking.receipt_key:
                raise _rejected("signature", "another key is known of this PoP")
            if old.status is Membership.REVOKED:
                raise _rejected("revoked", f"{member.pop} was revoked, which is for ever")
            if old.good and old.member == member:
                return None
        others = sum(
            each.good and each.issuer and each.member.owner == member.owner
            for pop, each in roll.admissions.items()
            if pop != member.pop
        )
        was = old is not None and old.good and old.issuer
        return self._sign(
            member, asking.receipt_key, old, issuer=was or (may_issue and others < ISSUERS_MAX)
        )

    def _sign(
        self,
        member: Member,
        receipt_key: bytes,
        before: Admission | None,
        *,
        issuer: bool,
        status: Membership = Membership.ADMITTED,
        note: str = "",
    ) -> Signed:
        """The next admission of a PoP."""
        version = 1 if before is None else before.version + 1
        admission = Admission(
            member.name, receipt_key, version, status, issuer, self._unix_ms(), note
        )
        return self.owner.sign(ADMISSION, admission.encoded(), self._unix_s())

    def _good(self, pop: PopId) -> tuple[Signed, Admission]:
        """The admission of a member.

        Raises:
            JoinRejectedError: it is none.
        """
        signed = self._book.admission(pop)
        if signed is None:
            raise _rejected("stranger", f"{pop} was never admitted here")
        admission = Admission.of_payload(signed.payload)
        if not admission.good:
            raise _rejected(admission.status.value, f"{pop} was {admission.status.value}")
        return signed, admission

    def _renewed(
        self, signed: Signed, admission: Admission, csr: bytes, issuer_csr: bytes, *, returned: bool
    ) -> JoinAnswer:
        member = admission.member
        chain = self.owner.issue(member, read_request(csr, member.pop), self._unix_s())
        may = admission.issuer
        issuer = self._issuer_certificate(issuer_csr, member.pop) if may else None
        self._observe(MemberRenewed(member.pop, returned))
        return self._answer(chain, signed, issuer or b"")

    def _issuer_certificate(self, issuer_csr: bytes, pop: PopId) -> bytes | None:
        """For a PoP that may issue, if it asks and the root is at hand."""
        if not issuer_csr or not self.owner.has_root:
            return None
        return self.owner.certify_issuer(read_request(issuer_csr, pop), self._unix_s())

    def _answer(self, chain: tuple[bytes, bytes], signed: Signed, issuer: bytes) -> JoinAnswer:
        return JoinAnswer(
            chain=chain,
            root=self.owner.root,
            bundle=self.bundle().roots,
            admission=signed,
            seeds=tuple(self._seeds()),
            unix_s=self._unix_s(),
            issuer_certificate=issuer,
        )

    def _joined(self, admission: Admission) -> None:
        member = admission.member
        self._observe(MemberJoined(member.pop, member.zone, member.site, admission.issuer))

    @contextmanager
    def _refusals_told(self, asked: str) -> Iterator[None]:
        try:
            yield
        except LittoralError as error:
            self._observe(JoinRefused(asked, str(error.details.get("reason", error.code))))
            raise

    def _unix_s(self) -> int:
        return self._clock.unix_ns() // SECOND

    def _unix_ms(self) -> int:
        return self._clock.unix_ns() // _MILLISECOND


def _rejected(reason: str, message: str) -> JoinRejectedError:
    return JoinRejectedError(message, details={"reason": reason})
