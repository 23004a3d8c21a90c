"""Joining, renewing and coming back, as the issuing side and the one that asks see it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
import pytest

from littoral.adapters.identity import Identity
from littoral.adapters.owner import (
    Bundle,
    Checked,
    Checker,
    FabricFiles,
    Owner,
    issuer_request,
    open_owner,
)
from littoral.adapters.store import Store, open_store
from littoral.node.fabric.newcomer import accept
from littoral.node.fabric.registrar import Registrar
from littoral.terms.errors import (
    ConflictError,
    IdentityError,
    JoinRejectedError,
    LittoralError,
    NotFoundError,
    OwnerKeyAwayError,
    TicketRejectedError,
)
from littoral.terms.facts import Fact, JoinRefused, MemberJoined, MemberRenewed, StandingChanged
from littoral.terms.ids import PopId
from littoral.terms.limits import JOIN_NONCE_S, LEAF_S
from littoral.trust.admission import Admission, Membership, OwnerPolicy
from littoral.trust.joining import (
    JoinAnswer,
    JoinRequest,
    KeyRequests,
    come_back_request,
    join_request,
)
from littoral.trust.tickets import Ticket
from tests.adapters.owner.made import SetClock, identity, owner_at

DAY_S = 86_400
SEEDS = ("tls/pop.example:7447",)


@dataclass
class Fabric:
    """An owner's first PoP, and what it takes for others to join it."""

    home: Path
    clock: SetClock
    owner: Owner
    store: Store
    facts: list[Fact] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registrar = self.registrar_of(self.owner)

    def registrar_of(self, owner: Owner) -> Registrar:
        return Registrar(
            owner, self.store.members, self.clock, self.facts.append, seeds=lambda: SEEDS
        )

    def place(self, number: int) -> Path:
        return self.home / f"pop{number}"

    def keys(self, number: int) -> KeyRequests:
        home, pop = self.place(number), identity(number).pop_id
        csr = issuer_request(home, pop, self.clock)
        return FabricFiles(home).requests(pop, self.clock, issuer_csr=csr)

    def ticket(self, *, uses: int = 1, issuer: bool = True) -> Ticket:
        return self.registrar.invite(["pop.example:8443"], "eu", "attic", uses=uses, issuer=issuer)

    def request(self, ticket: Ticket, number: int, signer: Identity | None = None) -> JoinRequest:
        who = signer or identity(number)
        return join_request(ticket, who, nonce=self.registrar.nonce(), keys=self.keys(number))

    def accepted(self, answer: JoinAnswer, number: int) -> Admission:
        _, admission = accept(
            self.place(number),
            answer,
            pop=identity(number).pop_id,
            fingerprint=self.owner.fingerprint,
            clock=self.clock,
        )
        return admission

    def join(self, number: int, ticket: Ticket | None = None) -> Admission:
        ticket = Ticket.of_text((ticket or self.ticket()).text())
        return self.accepted(self.registrar.join(self.request(ticket, number)), number)

    def peer(self, number: int) -> Checked:
        """What this PoP's certificate proves now."""
        shown = FabricFiles(self.place(number)).shown()
        return Checker(Bundle([self.owner.root])).checked(shown, self.clock.unix_s)

    def known(self, number: int) -> Admission | None:
        """What the book says of who shows this PoP's certificate."""
        peer = self.peer(number)
        return self.store.members.roll().check(peer.member, peer.issuer)

    def come_back(self, number: int, registrar: Registrar | None = None) -> JoinAnswer:
        registrar = registrar or self.registrar
        who, nonce = identity(number), registrar.nonce()
        keys = self.keys(number)
        request = come_back_request(self.owner.owner_id, who, nonce=nonce, keys=keys)
        return registrar.come_back(request)


@pytest.fixture
def fabric(tmp_path: Path) -> Iterator[Fabric]:
    clock = SetClock()
    with open_store(tmp_path) as store:
        yield Fabric(tmp_path, clock, owner_at(tmp_path, clock), store)


def refused(call: Callable[[], object], kind: type[LittoralError] = JoinRejectedError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value.details["reason"])


def pop(number: int) -> PopId:
    return identity(number).pop_id


def test_a_pop_with_a_ticket_becomes_a_member(fabric: Fabric) -> None:
    ticket = fabric.ticket()
    answer = fabric.registrar.join(fabric.request(ticket, 2))
    admission = fabric.accepted(answer, 2)
    assert fabric.peer(2).member == admission.member
    assert (admission.member.zone, admission.member.site) == ("eu", "attic")
    assert (answer.seeds, answer.unix_s) == (SEEDS, fabric.clock.unix_s)
    assert Bundle(answer.bundle).owners == (fabric.owner.owner_id,)
    assert fabric.known(2) == admission
    assert fabric.facts == [
        MemberJoined(pop(2), admission.member.zone, admission.member.site, True)
    ]


def test_the_first_pop_admits_itself_and_may_move(fabric: Fabric) -> None:
    def found(site: str) -> Admission:
        keys = fabric.keys(1)
        key = identity(1).public_key
        return fabric.accepted(fabric.registrar.found(key, "eu", site, keys), 1)

    assert found("attic").issuer
    assert found("attic").version == 1
    assert (found("cellar").version, found("cellar").member.site) == (2, "cellar")
    assert fabric.peer(1).member.site == "cellar"
    fabric.registrar.set_status(pop(1), Membership.REVOKED)
    with pytest.raises(ConflictError, match="was revoked"):
        found("attic")


def test_the_first_two_that_join_may_issue_and_no_more(fabric: Fabric) -> None:
    fabric.registrar.found(identity(1).public_key, "eu", "attic", fabric.keys(1))
    ticket = fabric.ticket(uses=4)
    fabric.join(2, fabric.ticket(issuer=False))
    assert [fabric.join(number, ticket).issuer for number in (3, 4, 5)] == [True, True, False]
    with pytest.raises(OwnerKeyAwayError):
        open_owner(fabric.place(2), fabric.clock)
    with pytest.raises(OwnerKeyAwayError):
        open_owner(fabric.place(5), fabric.clock)
    fabric.registrar.set_status(pop(3), Membership.REMOVED)
    assert fabric.join(6, ticket).issuer


def test_without_the_root_at_hand_nobody_becomes_an_issuer(fabric: Fabric) -> None:
    fabric.owner.take_root_offline(fabric.home / "root.key")
    assert not fabric.join(2).issuer


def test_certificates_are_renewed_when_the_first_machine_is_gone(
    fabric: Fabric, tmp_path: Path
) -> None:
    fabric.join(2)
    fabric.join(3, fabric.ticket(issuer=False))
    second = fabric.registrar_of(open_owner(fabric.place(2), fabric.clock))
    fabric.clock.unix_s += LEAF_S // 2
    renewed = second.renew(fabric.peer(3), fabric.keys(3).csr)
    fabric.accepted(renewed, 3)
    assert fabric.peer(3).issuer == pop(2)
    fabric.clock.unix_s += LEAF_S + 1
    fabric.accepted(fabric.come_back(3, second), 3)
    assert fabric.facts[-2:] == [MemberRenewed(pop(3), False), MemberRenewed(pop(3), True)]
    ticket = second.invite(["pop.example:8443"], "us", "shed")
    request = join_request(ticket, identity(4), nonce=second.nonce(), keys=fabric.keys(4))
    assert fabric.accepted(second.join(request), 4).member.zone == "us"


def test_an_issuers_own_certificate_is_renewed_with_its_leaf(fabric: Fabric) -> None:
    fabric.join(2)
    fabric.clock.unix_s += 20 * DAY_S
    answer = fabric.come_back(2)
    assert answer.issuer_certificate
    fabric.accepted(answer, 2)
    fabric.clock.unix_s += 20 * DAY_S
    second = fabric.registrar_of(open_owner(fabric.place(2), fabric.clock))
    fabric.accepted(fabric.come_back(2, second), 2)


def test_one_who_did_not_hear_the_answer_asks_again(fabric: Fabric) -> None:
    ticket = fabric.ticket()
    first = fabric.registrar.join(fabric.request(ticket, 2))
    again = fabric.registrar.join(fabric.request(ticket, 2))
    assert again.admission == first.admission
    assert fabric.accepted(again, 2).issuer
    assert open_owner(fabric.place(2), fabric.clock).pop == pop(2)
    assert refused(lambda: fabric.join(3, ticket), TicketRejectedError) == "used_up"
    assert [type(fact) for fact in fabric.facts] == [MemberJoined, JoinRefused]


def test_a_pop_that_joins_elsewhere_has_moved(fabric: Fabric) -> None:
    fabric.join(2)
    ticket = fabric.registrar.invite(["pop.example:8443"], "us", "shed", issuer=False)
    moved = fabric.join(2, ticket)
    assert (moved.version, moved.member.zone, moved.issuer) == (2, "us", True)


def test_a_ticket_that_opens_nothing_changes_nothing(fabric: Fabric) -> None:
    stranger = Ticket(("pop.example:1",), fabric.owner.fingerprint, bytes(16))
    assert refused(lambda: fabric.join(2, stranger), TicketRejectedError) == "unknown"
    ticket = fabric.ticket()
    fabric.store.members.withdraw(ticket.ticket_id)
    assert refused(lambda: fabric.join(2, ticket), TicketRejectedError) == "unknown"
    late = fabric.ticket()
    fabric.clock.unix_s += DAY_S
    assert refused(lambda: fabric.join(2, late), TicketRejectedError) == "expired"
    assert not fabric.store.members.admissions()
    assert not FabricFiles(fabric.place(2)).shown()


def test_each_thing_that_is_not_proven_has_its_own_reason(fabric: Fabric) -> None:
    ticket, other = fabric.ticket(), fabric.ticket()
    right = fabric.request(ticket, 2)
    wrong_ticket = msgspec.structs.replace(right, ticket_id=other.ticket_id)
    unproven = msgspec.structs.replace(right, proof=bytes(32))

    def with_keys(keys: KeyRequests, signer: Identity | None = None) -> JoinRequest:
        nonce = fabric.registrar.nonce()
        return join_request(ticket, signer or identity(2), nonce=nonce, keys=keys)

    def with_nonce(nonce: bytes) -> JoinRequest:
        return join_request(ticket, identity(2), nonce=nonce, keys=fabric.keys(2))

    two, three = fabric.keys(2), fabric.keys(3)
    forged = msgspec.structs.replace(right.asking, signature=bytes(64))
    cases = [
        (wrong_ticket, "proof"),
        (unproven, "proof"),
        (with_nonce(b""), "nonce"),
        (with_nonce(bytes(56)), "nonce"),
        (msgspec.structs.replace(right, asking=forged), "signature"),
        (with_keys(three), "csr"),
        (with_keys(two, identity(3)), "csr"),
        (with_keys(msgspec.structs.replace(two, spki=three.spki)), "csr"),
        (with_keys(msgspec.structs.replace(two, csr=b"nonsense")), "csr"),
        (with_keys(msgspec.structs.replace(two, issuer_csr=three.issuer_csr)), "csr"),
    ]
    for request, why in cases:
        fabric.facts.clear()
        assert refused(partial(fabric.registrar.join, request)) == why
        assert fabric.facts == [JoinRefused("join", why)]
    fabric.clock.unix_s += JOIN_NONCE_S + 1
    assert refused(lambda: fabric.registrar.join(right)) == "late"
    assert not fabric.store.members.admissions()
    assert [each.uses_left for each in fabric.store.members.tickets()] == [1, 1]


def test_a_request_that_is_sent_again_by_another_gets_what_only_the_first_can_use(
    fabric: Fabric,
) -> None:
    request = fabric.request(fabric.ticket(), 2)
    first, second = fabric.registrar.join(request), fabric.registrar.join(request)
    fabric.accepted(first, 2)
    thief = FabricFiles(fabric.place(3))
    thief.requests(pop(3), fabric.clock)
    with pytest.raises(IdentityError, match="another key than ours"):
        thief.keep(second, fabric.clock)
    assert len(fabric.store.members.admissions()) == 1


def test_one_who_is_revoked_gets_no_certificate_in_any_way(fabric: Fabric) -> None:
    fabric.join(2)
    peer, keys = fabric.peer(2), fabric.keys(2)
    signed = fabric.registrar.set_status(pop(2), Membership.REVOKED, "stolen")
    admission = Checker(Bundle([fabric.owner.root])).admission(signed, fabric.clock.unix_s)
    assert (admission.note, admission.issuer, admission.version) == ("stolen", False, 2)
    assert refused(lambda: fabric.registrar.renew(peer, keys.csr)) == "revoked"
    assert refused(lambda: fabric.come_back(2)) == "revoked"
    ticket = fabric.ticket()
    assert refused(lambda: fabric.join(2, ticket)) == "revoked"
    assert fabric.store.members.ticket(ticket.ticket_id) is not None
    assert StandingChanged(pop(2), "revoked") in fabric.facts
    with pytest.raises(ConflictError, match="for ever"):
        fabric.registrar.set_status(pop(2), Membership.ADMITTED)


def test_one_who_was_removed_is_out_until_it_is_invited_again(fabric: Fabric) -> None:
    fabric.join(2)
    peer, keys = fabric.peer(2), fabric.keys(2)
    fabric.registrar.set_status(pop(2), Membership.REMOVED)
    assert refused(lambda: fabric.registrar.renew(peer, keys.csr)) == "removed"
    assert refused(lambda: fabric.come_back(2)) == "removed"
    assert fabric.join(2).version == 3


def test_one_who_is_drained_stays_a_member(fabric: Fabric) -> None:
    fabric.join(2)
    fabric.registrar.set_status(pop(2), Membership.DRAINED)
    answer = fabric.registrar.renew(fabric.peer(2), fabric.keys(2).csr)
    assert fabric.accepted(answer, 2).status is Membership.DRAINED


def test_what_a_revoked_pop_has_issued_is_not_renewed_but_its_holder_comes_back(
    fabric: Fabric,
) -> None:
    fabric.join(2)
    fabric.join(3)
    second = fabric.registrar_of(open_owner(fabric.place(2), fabric.clock))
    fabric.accepted(second.renew(fabric.peer(3), fabric.keys(3).csr), 3)
    fabric.registrar.set_status(pop(2), Membership.REVOKED)
    peer = fabric.peer(3)
    with pytest.raises(IdentityError, match="which was revoked"):
        fabric.known(3)
    assert refused(lambda: fabric.registrar.renew(peer, fabric.keys(3).csr)) == "issuer"
    fabric.accepted(fabric.come_back(3), 3)
    assert fabric.known(3) is not None


def test_strangers_and_other_owners_pops_get_no_certificate(fabric: Fabric) -> None:
    assert refused(lambda: fabric.come_back(2)) == "stranger"
    fabric.join(2)
    peer = fabric.peer(2)
    other = owner_at(fabric.home / "other", fabric.clock, 7)
    registrar = fabric.registrar_of(other)
    assert refused(lambda: registrar.renew(peer, fabric.keys(2).csr)) == "owner"
    with pytest.raises(NotFoundError):
        fabric.registrar.set_status(pop(9), Membership.REVOKED)
    with pytest.raises(NotFoundError):
        registrar.set_status(pop(2), Membership.REVOKED)


def test_a_foreign_owner_is_trusted_as_far_as_its_policy_says(fabric: Fabric) -> None:
    other = owner_at(fabric.home / "other", fabric.clock, 7)
    policy = OwnerPolicy(other.owner_id, other.root, 1, 0, may_ask=True)
    for version in (1, 2):
        signed = fabric.registrar.set_policy(policy)
        checker = Checker(Bundle([fabric.owner.root]))
        kept = checker.policy(signed, fabric.owner.owner_id, fabric.clock.unix_s)
        assert (kept.version, kept.may_ask, kept.at) == (version, True, fabric.clock.unix_s * 1000)
    assert other.owner_id in fabric.registrar.bundle().owners
    fabric.join(2)
    assert other.owner_id in Bundle.read(FabricFiles(fabric.place(2)).bundle).owners
    fabric.registrar.set_policy(msgspec.structs.replace(policy, revoked=True))
    assert fabric.registrar.bundle().owners == (fabric.owner.owner_id,)
    with pytest.raises(ConflictError, match="for ever"):
        fabric.registrar.set_policy(policy)
    wrong = OwnerPolicy(other.owner_id, fabric.owner.root, 1, 0)
    with pytest.raises(IdentityError, match="not that of"):
        fabric.registrar.set_policy(wrong)


def test_a_newcomer_believes_only_the_owner_it_asked(fabric: Fabric) -> None:
    other = owner_at(fabric.home / "other", fabric.clock, 7)
    answer = fabric.registrar.join(fabric.request(fabric.ticket(), 2))
    replace = msgspec.structs.replace
    stolen = fabric.registrar.join(fabric.request(fabric.ticket(), 3))
    for changed, why in [
        (replace(answer, root=other.root), "another owner"),
        (replace(answer, chain=answer.chain[:1]), "vouches"),
        (replace(answer, chain=stolen.chain), "not for this PoP"),
        (replace(answer, admission=stolen.admission), "not for this PoP"),
        (replace(answer, bundle=(other.root,)), "trusts others"),
        (replace(answer, unix_s=answer.unix_s + 4000), "4000 s behind"),
        (replace(answer, unix_s=answer.unix_s - 4000), "4000 s ahead of"),
        (replace(answer, issuer_certificate=stolen.issuer_certificate), "not for this PoP's key"),
    ]:
        with pytest.raises(IdentityError, match=why):
            fabric.accepted(changed, 2)
        assert not FabricFiles(fabric.place(2)).shown()
        with pytest.raises(OwnerKeyAwayError):
            open_owner(fabric.place(2), fabric.clock)
    assert fabric.accepted(answer, 2).good


def test_an_issuer_that_has_run_out_takes_no_use_of_a_ticket(fabric: Fabric) -> None:
    ticket = fabric.registrar.invite(["pop.example:8443"], "eu", "attic", life_s=29 * DAY_S)
    fabric.join(2)
    second_home = fabric.place(2)
    fabric.clock.unix_s += 31 * DAY_S
    second = fabric.registrar_of(open_owner(second_home, fabric.clock))
    late = second.invite(["pop.example:8443"], "eu", "attic")
    request = join_request(late, identity(4), nonce=second.nonce(), keys=fabric.keys(4))
    with pytest.raises(OwnerKeyAwayError, match="ran out"):
        second.join(request)
    assert fabric.facts[-1] == JoinRefused("join", "owner_key_away")
    left = {each.ticket_id: each.uses_left for each in fabric.store.members.tickets()}
    assert left == {late.ticket_id: 1}
    assert ticket.ticket_id not in left
