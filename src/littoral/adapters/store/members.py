"""The book of members: who was admitted, which owners are worked with, which tickets are out.

Rules
- Words are kept as they were signed, and merged as trust/admission.py says, in one transaction.
  Whoever gives them to this book has checked them (adapters/owner/checking.py).
- A use of a ticket is taken, and what it was taken for is kept, in one transaction: of two that
  take the last one, in whatever processes, one gets it, and none is lost to a crash in between.
- A ticket's secret is not kept, only the key by which proofs of it are checked.
"""

from collections.abc import Callable, Sequence
from typing import Final

from littoral.adapters.store.database import Database, Row
from littoral.terms.errors import BadRequestError, ConflictError
from littoral.terms.ids import OwnerId, PopId, TicketId
from littoral.terms.limits import (
    MEMBERS_MAX,
    OWNERS_MAX,
    TICKET_LIFE_S_MAX,
    TICKET_USES_MAX,
    TICKETS_MAX,
)
from littoral.trust.admission import ADMISSION, Admission, OwnerPolicy, Roll, Signed, merged_signed
from littoral.trust.tickets import TicketRecord, ticket_refused

__all__ = ["MemberBook"]

_TICKET: Final = "ticket_id, proof_key, zone, site, uses_left, expires_unix_s, issuer"


class MemberBook:
    """Members, owners and tickets, as one PoP knows them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._roll: Roll | None = None
        self._seen = -1

    def roll(self) -> Roll:
        """Every admission, as of now: also what another process has written."""
        version = self._database.changes_by_others()
        if self._roll is None or version != self._seen:
            self._roll = Roll(Admission.of_payload(each.payload) for each in self.admissions())
            self._seen = version
        return self._roll

    def admissions(self) -> Sequence[Signed]:
        """Every admission as it was signed, to pass on."""
        rows = self._database.read("SELECT signed FROM admissions ORDER BY pop")
        return [Signed.of_bytes(signed) for (signed,) in rows]

    def admission(self, pop: PopId) -> Signed | None:
        """That of one PoP, if there is one."""
        return self._signed("SELECT signed FROM admissions WHERE pop = ?", pop)

    def policies(self) -> Sequence[Signed]:
        """What every foreign owner may do, as it was signed."""
        rows = self._database.read("SELECT signed FROM owners ORDER BY owner")
        return [Signed.of_bytes(signed) for (signed,) in rows]

    def policy(self, owner: OwnerId) -> Signed | None:
        """That for one owner, if there is one."""
        return self._signed("SELECT signed FROM owners WHERE owner = ?", owner)

    def keep(self, signed: Signed) -> bool:
        """Merge an admission or a policy that was checked; says whether anything has changed.

        Raises:
            IdentityError: it is neither.
            ConflictError: there is no room for one more PoP or owner.
        """
        with self._database.transaction():
            return self._merge(signed)

    def add_ticket(self, record: TicketRecord, unix_s: int) -> None:
        """Keep a ticket that is given out.

        Raises:
            BadRequestError: it may be used too often, too long, or not at all.
            ConflictError: there are TICKETS_MAX that are good.
        """
        life_s = record.expires_unix_s - unix_s
        if not 0 < life_s <= TICKET_LIFE_S_MAX or not 0 < record.uses_left <= TICKET_USES_MAX:
            raise BadRequestError(
                f"a ticket is good for {TICKET_LIFE_S_MAX // 86_400} days and {TICKET_USES_MAX} "
                "uses at most",
                advice="give out several",
            )
        with self._database.transaction():
            self._database.write("DELETE FROM tickets WHERE expires_unix_s <= ?", (unix_s,))
            ((count,),) = self._database.read("SELECT count(*) FROM tickets")
            if count >= TICKETS_MAX:
                raise ConflictError(
                    f"{TICKETS_MAX} tickets are out, the most that may be",
                    advice="withdraw some, or give out one with more uses",
                )
            self._database.write(
                f"INSERT INTO tickets ({_TICKET}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - fixed text
                (
                    record.ticket_id,
                    record.proof_key,
                    record.zone,
                    record.site,
                    record.uses_left,
                    record.expires_unix_s,
                    int(record.issuer),
                ),
            )

    def ticket(self, ticket_id: TicketId) -> TicketRecord | None:
        """A ticket that was given out here, also one that has run out lately."""
        rows = self._database.read(
            f"SELECT {_TICKET} FROM tickets WHERE ticket_id = ?",  # noqa: S608 - fixed text
            (ticket_id,),
        )
        return _record(rows[0]) if rows else None

    def tickets(self) -> Sequence[TicketRecord]:
        """All of them, those first that run out first."""
        rows = self._database.read(
            f"SELECT {_TICKET} FROM tickets ORDER BY expires_unix_s, ticket_id"  # noqa: S608 - fixed text
        )
        return list(map(_record, rows))

    def withdraw(self, ticket_id: TicketId) -> bool:
        """Make a ticket worthless; says whether there was one."""
        with self._database.transaction():
            gone = self._database.write("DELETE FROM tickets WHERE ticket_id = ?", (ticket_id,))
        return gone > 0

    def admit(
        self,
        ticket_id: TicketId,
        pop: PopId,
        unix_s: int,
        decide: Callable[[TicketRecord, Signed | None, Roll], Signed | None],
    ) -> tuple[Signed, bool]:
        """Take one use of a ticket for a PoP, and keep its admission; both or neither.

        Gives the admission, and whether it is a new one.

        Args:
            ticket_id: the ticket, of which the PoP has given proof.
            pop: who joins.
            unix_s: now.
            decide: from the ticket, what was said of this PoP before and of all, makes the new
                admission, signed; or None to leave it as it is, which takes no use.

        Raises:
            TicketRejectedError: it is unknown, expired, or used up; nothing has changed.
            ConflictError: there is no room for one more PoP.
        """
        with self._database.transaction():
            record = self.ticket(ticket_id)
            if record is None:
                raise ticket_refused("unknown")
            if unix_s >= record.expires_unix_s:
                raise ticket_refused("expired")
            before = self.admission(pop)
            signed = decide(record, before, self.roll())
            if signed is None:
                assert before is not None, "it can only be left if it is there"
                return before, False
            taken = self._database.write(
                "UPDATE tickets SET uses_left = uses_left - 1 "
                "WHERE ticket_id = ? AND uses_left > 0",
                (ticket_id,),
            )
            if not taken:
                raise ticket_refused("used_up")
            self._merge(signed)
            return signed, True

    def _merge(self, signed: Signed) -> bool:
        if signed.kind == ADMISSION:
            table, key, most = "admissions", "pop", MEMBERS_MAX
            name: str = Admission.of_payload(signed.payload).member.pop
        else:
            table, key, most = "owners", "owner", OWNERS_MAX
            name = OwnerPolicy.of_payload(signed.payload).owner
        before = self._signed(f"SELECT signed FROM {table} WHERE {key} = ?", name)  # noqa: S608 - fixed text
        kept = signed if before is None else merged_signed(before, signed)
        if kept == before:
            return False
        if before is None:
            ((count,),) = self._database.read(f"SELECT count(*) FROM {table}")  # noqa: S608 - fixed text
            if count >= most:
                raise ConflictError(
                    f"{most} {table} are kept, and there is no room for more",
                    advice="split the fabric among owners",
                )
        self._database.write(
            f"INSERT OR REPLACE INTO {table} ({key}, signed) VALUES (?, ?)",  # noqa: S608 - fixed text
            (name, kept.encoded()),
        )
        self._roll = None
        return True

    def _signed(self, sql: str, name: str) -> Signed | None:
        rows = self._database.read(sql, (name,))
        return Signed.of_bytes(rows[0][0]) if rows else None


def _record(row: Row) -> TicketRecord:
    ticket_id, proof_key, zone, site, uses_left, expires_unix_s, issuer = row
    return TicketRecord(
        ticket_id, proof_key, zone, site, uses_left, expires_unix_s, issuer=bool(issuer)
    )
