"""The signed words of owners as this PoP keeps and passes them on: who is admitted, who may what.

Rules
- A word is checked before it is kept, and only one that changes something is passed on, once.
- One that is kept already is not checked again: with three issuers each is heard three times, and
  again by whoever asks them.
- Issuers say every word that they keep. Others say only those against somebody: who is removed or
  revoked is to be known when every issuer is gone. So a fleet at rest has as many words as members,
  and not their square.
- A foreign owner's admissions are that owner's to say; what it may do here is ours.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from littoral.adapters.owner import Bundle, FabricFiles
from littoral.adapters.store import MemberBook
from littoral.node.delivery.words import Dealing
from littoral.node.fabric.peers import Peers
from littoral.node.neighbours import Admission as MayAsk
from littoral.terms.errors import ConflictError, IdentityError
from littoral.terms.ids import ModelName, OwnerId, PopId
from littoral.terms.ports import Signer
from littoral.terms.values import KeyLimits
from littoral.trust.admission import ADMISSION, Admission, Membership, OwnerPolicy, Signed
from littoral.trust.members import Member
from littoral.trust.names import pop_id
from littoral.trust.records import Record, RecordKind, signed, topic

__all__ = ["Words"]

_OWN: Final = MayAsk()
_NOTHING: Final = Dealing(gets=False, gives=False)


class Words:
    """Of one PoP."""

    def __init__(
        self, book: MemberBook, files: FabricFiles, peers: Peers, owner: OwnerId, signer: Signer
    ) -> None:
        """Begin with what the book has.

        Args:
            book: of this home.
            files: of this home; its bundle follows the owners that are let in.
            peers: check what comes.
            owner: of this PoP.
            signer: of this PoP, for what it passes on.
        """
        self._book = book
        self._files = files
        self._peers = peers
        self._owner = owner
        self._signer = signer
        self._pop = pop_id(signer.public_key)
        self._policies: Mapping[OwnerId, tuple[OwnerPolicy, MayAsk]] = {}
        self._serving = frozenset((owner,))
        self._kept: frozenset[bytes] = frozenset()
        self._said: dict[str, bytes] = {}
        """What was passed on of each topic."""
        self.reread()

    def reread(self) -> None:
        """The book has changed."""
        words = self._all()
        self._kept = frozenset(each.encoded() for each in words)
        policies = (OwnerPolicy.of_payload(each.payload) for each in words if _is_policy(each))
        self._policies = {each.owner: (each, _may_ask(each)) for each in policies}
        others = (
            owner
            for owner, (policy, _) in self._policies.items()
            if policy.may_serve and not policy.revoked
        )
        self._serving = frozenset((self._owner, *others))

    @property
    def policies(self) -> Mapping[OwnerId, OwnerPolicy]:
        """What other owners may do."""
        return {owner: policy for owner, (policy, _) in self._policies.items()}

    def standing(self, pop: PopId) -> Admission | None:
        """How a PoP stands, if there was word of it."""
        return self._book.roll().admissions.get(pop)

    def drained(self, pop: PopId) -> bool:
        """Whether it is to get no new requests."""
        standing = self.standing(pop)
        return standing is not None and standing.status is Membership.DRAINED

    def issuers(self) -> frozenset[PopId]:
        """Who may issue certificates of this owner."""
        return frozenset(
            pop
            for pop, each in self._book.roll().admissions.items()
            if each.good and each.issuer and each.member.owner == self._owner
        )

    def shut_out(self) -> frozenset[PopId]:
        """Who is removed or revoked."""
        admissions = self._book.roll().admissions
        return frozenset(pop for pop, each in admissions.items() if not each.good)

    # --- what members may ---

    def may_ask(self, member: Member) -> MayAsk | None:
        """What a member may ask here; None is nothing."""
        standing = self.standing(member.pop)
        if standing is not None and not standing.good:
            return None
        if member.owner == self._owner:
            return _OWN
        known = self._policies.get(member.owner)
        if known is None or known[0].revoked or not known[0].may_ask:
            return None
        return known[1]

    def deals(self, member: Member) -> Dealing:
        """Whether a member may fetch artifacts here, and be asked for its own.

        Who may ask for answers may ask for what anybody has from its origin; so the models that it
        may ask for do not matter. Fetching from a member says what is wanted here: so only where
        requests may go too. Drained ones give what they have on to others.
        """
        standing = self.standing(member.pop)
        if standing is not None and not standing.good:
            return _NOTHING
        if member.owner == self._owner:
            return Dealing()
        known = self._policies.get(member.owner)
        if known is None or known[0].revoked:
            return _NOTHING
        policy = known[0]
        gives = policy.may_serve and _is_among(member.zone, policy.zones)
        return Dealing(gets=policy.may_ask, gives=gives)

    def may_serve(self, member: Member, model: ModelName) -> bool:
        """Whether requests for a model may be sent to a member."""
        standing = self.standing(member.pop)
        if standing is not None and standing.status is not Membership.ADMITTED:
            return False
        if member.owner == self._owner:
            return True
        known = self._policies.get(member.owner)
        if known is None or known[0].revoked or not known[0].may_serve:
            return False
        policy = known[0]
        return _is_among(model, policy.models) and _is_among(member.zone, policy.zones)

    def owners(self) -> frozenset[OwnerId]:
        """Whose PoPs may be sent anything."""
        return self._serving

    # --- what comes and goes ---

    def keeps(self, record: Record) -> bool:
        """Whether a word that another PoP passes on was checked and kept already, as it is."""
        return record.payload in self._kept

    def hear(self, record: Record) -> bool:
        """Take a word that another PoP passes on; says whether it changed anything.

        One that is no good is dropped: whoever passed it on is a member, and may not have looked.
        """
        try:
            word = Signed.of_bytes(record.payload)
            self._peers.word(word, self._owner)
            changed = self._book.keep(word)
        except (IdentityError, ConflictError):
            return False
        if changed:
            self.take(word)
        return changed

    def take(self, word: Signed) -> None:
        """A word was kept in the book."""
        self.reread()
        if word.kind != ADMISSION:
            self._trust()

    def to_say(self, *, issuing: bool) -> Mapping[str, bytes]:
        """What is to be passed on to all and was not yet, by topic.

        Args:
            issuing: whether this PoP may issue.
        """
        said: dict[str, bytes] = {}
        for word in self._all():
            kind, subject, against = _about(word)
            about, payload = topic(kind, self._pop, subject), word.encoded()
            if (issuing or against) and self._said.get(about) != payload:
                self._said[about] = payload
                said[about] = signed(kind, payload, self._signer)
        return said

    def _all(self) -> Sequence[Signed]:
        return (*self._book.admissions(), *self._book.policies())

    def _trust(self) -> None:
        """Have the bundle hold the roots of the owners that are let in, and no others."""
        own = Bundle.read(self._files.root)
        let_in = (each.root for each, _ in self._policies.values() if not each.revoked)
        Bundle((*own.roots, *let_in)).write(self._files.bundle)
        self._peers.renewed()


def _may_ask(policy: OwnerPolicy) -> MayAsk:
    limits = KeyLimits(
        requests_per_minute=policy.requests_per_minute, tokens_per_minute=policy.tokens_per_minute
    )
    return MayAsk(limits, policy.models)


def _is_among(name: str, names: Sequence[str] | None) -> bool:
    """Whether it is one of those that are named; None names all."""
    return names is None or name in names


def _is_policy(word: Signed) -> bool:
    return word.kind != ADMISSION


def _about(word: Signed) -> tuple[RecordKind, str, bool]:
    """What kind of record passes a word on, of whom it is, and whether it is against them."""
    if word.kind == ADMISSION:
        admission = Admission.of_payload(word.payload)
        return RecordKind.ADMISSION, admission.member.pop, not admission.good
    policy = OwnerPolicy.of_payload(word.payload)
    return RecordKind.OWNER, policy.owner, policy.revoked
