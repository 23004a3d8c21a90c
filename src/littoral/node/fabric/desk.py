"""What an operator asks and tells of the fabric (web/fabric.py), answered by a membership."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from littoral.adapters.owner import Bundle, make_owner
from littoral.adapters.upstreams.words import Errand
from littoral.node.entries import KnownModels, entry_for
from littoral.node.fabric.membership import Membership
from littoral.node.fabric.registrar import Registrar
from littoral.node.fabric.standing import Standing
from littoral.node.onward import Onward
from littoral.node.opened import Opened
from littoral.routing.fleet import Known, ModelState
from littoral.routing.prices import UNIT
from littoral.terms.errors import BadRequestError, ConflictError, IdentityError, NotFoundError
from littoral.terms.fabric import (
    Act,
    ActOn,
    AdmitOwner,
    FabricShown,
    InviteWanted,
    ModelRow,
    OwnerRow,
    PopRow,
    RootShown,
    RouteShown,
    RouteWanted,
    TicketShown,
)
from littoral.terms.ids import PopId, SiteName, ZoneName, model_name, place_name
from littoral.terms.limits import TICKET_LIFE_S_MAX
from littoral.terms.values import SECOND, Caller, Kind
from littoral.trust.admission import Admission, OwnerPolicy
from littoral.trust.admission import Membership as Status

__all__ = ["Desk"]

_T = TypeVar("_T")

_STATUS: Final = {
    Act.APPROVE: Status.ADMITTED,
    Act.DRAIN: Status.DRAINED,
    Act.REMOVE: Status.REMOVED,
    Act.REVOKE: Status.REVOKED,
}
_LOOPBACK: Final = ("127.", "[::1]", "localhost")
_APIS: Final = {
    Kind.CHAT: "chat.completions",
    Kind.COMPLETE: "completions",
    Kind.EMBED: "embeddings",
    Kind.RERANK: "rerank",
}


class Desk:
    """See web.fabric.FabricDesk."""

    def __init__(
        self,
        membership: Membership,
        opened: Opened,
        models: KnownModels,
        onward: Onward,
    ) -> None:
        """Answer for this membership.

        Args:
            membership: of this PoP.
            opened: its home's.
            models: that it knows.
            onward: what goes with a request to others.
        """
        self._membership = membership
        self._opened = opened
        self._models = models
        self._onward = onward

    def show(self) -> FabricShown:
        """What this PoP knows of the fabric."""
        registrar = self._membership.registrar()
        root = "here" if registrar is not None and registrar.owner.has_root else "elsewhere"
        standing = self._membership.standing
        here = self._opened.identity.pop_id
        if standing is None:
            return FabricShown(here, (), (), root)
        roll = self._opened.store.members.roll().admissions
        fleet = standing.view.fleet.pops
        names = sorted(roll.keys() | fleet.keys())
        rows = (self._row(standing, pop, roll.get(pop), fleet.get(pop)) for pop in names)
        return FabricShown(
            here,
            self._owners(standing),
            tuple(sorted(rows, key=lambda row: (row.owner, row.zone, row.site, row.pop))),
            root,
        )

    async def invite(self, wanted: InviteWanted) -> TicketShown:
        """Make a ticket."""
        if not 0 < wanted.expires_s <= TICKET_LIFE_S_MAX:
            raise BadRequestError(
                f"a ticket lives for 1 s to {TICKET_LIFE_S_MAX // 86_400} d", param="expires_s"
            )
        if not self._membership.certificate.had:
            make_owner(self._opened.home, self._opened.identity.pop_id, self._opened.clock)
        registrar = self._registrar()
        if self._membership.dials_out:
            raise ConflictError(
                "who is invited must reach the PoP that invites, and this one can't be dialled",
                advice="invite at a PoP that can be; `littoral pops` shows which",
            )
        zone, site = self._membership.certificate.place
        zone = ZoneName(place_name(wanted.zone or zone, "zone"))
        site = SiteName(place_name(wanted.site or site, "site"))
        standing = await self._membership.turn_on()
        address = standing.place.url.removeprefix("https://")
        ticket = registrar.invite(
            [address],
            zone,
            site,
            uses=wanted.uses,
            life_s=wanted.expires_s,
            issuer=wanted.issuer is not False,
        )
        return TicketShown(
            ticket=ticket.text(),
            expires_unix_s=self._opened.clock.unix_ns() // SECOND + wanted.expires_s,
            uses=wanted.uses,
            addresses=(address,),
            site=site,
            zone=zone,
            warning=_warning(address),
        )

    async def act(self, pop: PopId, wanted: ActOn) -> PopRow:
        """Approve of, drain, remove or revoke a PoP."""
        registrar, standing = self._registrar(), self._standing()
        found = self._found(pop)
        word = registrar.set_status(found, _STATUS[wanted.act], wanted.note)
        standing.words.take(word)
        self._membership.words_changed()
        roll = self._opened.store.members.roll().admissions
        return self._row(standing, found, roll.get(found), standing.view.fleet.pops.get(found))

    def route(self, wanted: RouteWanted, caller: Caller) -> RouteShown:
        """Where a request would go now."""
        name = model_name(wanted.model)
        entry = entry_for(self._models, name, caller)
        standing = self._membership.standing
        if standing is None:
            return RouteShown(name, ("this PoP, which is alone",), ())
        chat = {"messages": [{"role": "user", "content": wanted.prompt}]}
        body = chat if Kind.CHAT in entry.kinds else {"input": wanted.prompt}
        errand = Errand(
            api=_APIS[entry.kinds[0]],
            body=msgspec.json.encode({"model": name, **body}),
            model=name,
            stream=True,
            passage=self._onward.passage(caller, ""),
        )
        lines = standing.ranking.explain(errand, name, entry.digest)
        out = tuple(line for line in lines if ": not asked, " in line)
        return RouteShown(name, tuple(line for line in lines if line not in out), out)

    async def admit(self, wanted: AdmitOwner) -> FabricShown:
        """Let in another owner's PoPs, or change what they may do."""
        registrar = self._registrar()
        bundle = Bundle.of_pem(wanted.root_pem.encode())
        if len(bundle.owners) != 1:
            raise IdentityError("one root certificate is wanted", advice="give one owner's alone")
        standing = await self._membership.turn_on()
        word = registrar.set_policy(
            OwnerPolicy(
                owner=bundle.owners[0],
                root=bundle.roots[0],
                version=1,
                at=0,
                may_ask=wanted.may_ask,
                may_serve=wanted.may_serve,
                models=_all(wanted.models, model_name),
                zones=_all(wanted.zones, lambda text: ZoneName(place_name(text, "zone"))),
                requests_per_minute=wanted.requests_per_minute,
                tokens_per_minute=wanted.tokens_per_minute,
            )
        )
        standing.words.take(word)
        self._membership.words_changed()
        await self._membership.trust_changed(wanted.addresses)
        return self.show()

    def root(self) -> RootShown:
        """This owner's root certificate."""
        return RootShown(Bundle([self._registrar().owner.root]).pem().decode())

    # --- parts ----------------------------------------------------------------------------------

    def _registrar(self) -> Registrar:
        registrar = self._membership.registrar()
        if registrar is not None:
            return registrar
        standing = self._membership.standing
        issuers = () if standing is None else sorted(standing.words.issuers())
        where = f"on {', '.join(issuers)}" if issuers else "on the owner's first PoP"
        raise ConflictError("this PoP does not act for its owner", advice=f"say it {where}")

    def _standing(self) -> Standing:
        if self._membership.standing is None:
            raise ConflictError("this PoP is alone", advice="`littoral invite` lets others join")
        return self._membership.standing

    def _found(self, pop: PopId) -> PopId:
        """The one PoP of this name, or whose name begins so."""
        known = self._opened.store.members.roll().admissions
        found = [each for each in known if each.startswith(pop) or each[4:].startswith(pop)]
        if len(found) != 1:
            said = "no PoP is" if not found else f"{len(found)} PoPs are"
            raise NotFoundError(f"{said} named {pop[:40]!r}", advice="`littoral pops` lists them")
        return found[0]

    def _row(
        self, standing: Standing, pop: PopId, admission: Admission | None, known: Known | None
    ) -> PopRow:
        member = known.member if known is not None else None
        if admission is not None:
            member = admission.member
        assert member is not None, "it was heard of in one way or the other"
        here = pop == standing.member.pop
        own = self._membership.files.own() if here else None
        now = self._opened.clock.now()
        rtt_s = standing.links.seconds.get(pop)
        state = None if known is None else known.state
        return PopRow(
            pop=pop,
            owner=member.owner,
            zone=member.zone,
            site=member.site,
            status="admitted" if admission is None else admission.status.value,
            reach=_reach(known, here=here),
            models=() if state is None else tuple(_model_row(each) for each in state.models),
            issuer=admission is not None and admission.issuer,
            url="" if state is None else state.url,
            state_address="" if state is None else state.state_address,
            mover_address="" if state is None else state.mover,
            rtt_ms=None if rtt_s is None else round(rtt_s * 1000, 3),
            bytes_per_s=dict(self._membership.around.rates).get(pop, 0),
            heard_s=None if known is None or here else round((now - known.heard_at) / SECOND, 3),
            certificate_left_s=None
            if own is None
            else own.expires_unix_s - self._opened.clock.unix_ns() // SECOND,
            version="" if state is None else state.version,
        )

    def _owners(self, standing: Standing) -> tuple[OwnerRow, ...]:
        bundle = Bundle.read(self._membership.files.bundle)
        policies = standing.words.policies
        rows = []
        for owner, fingerprint in zip(bundle.owners, bundle.fingerprints, strict=True):
            own = owner == standing.member.owner
            policy = "everything" if own else _said(policies.get(owner))
            rows.append(OwnerRow(owner, own, fingerprint.hex(), policy))
        return tuple(sorted(rows, key=lambda row: not row.own))


def _model_row(model: ModelState) -> ModelRow:
    return ModelRow(
        *(model.name, model.warmth.value, model.in_flight, model.waiting, model.slots),
        price_in=model.price_in / UNIT,
        price_out=model.price_out / UNIT,
    )


def _all(names: Sequence[str] | None, check: Callable[[str], _T]) -> tuple[_T, ...] | None:
    return None if names is None else tuple(check(name) for name in names)


def _reach(known: Known | None, *, here: bool) -> str:
    if here:
        return "here"
    if known is None:
        return "never seen"
    if not known.alive:
        return "gone"
    if known.state.url:
        return "direct"
    return "relayed" if known.state.relays else "out of reach"


def _said(policy: OwnerPolicy | None) -> str:
    """What an owner's PoPs may do, in words."""
    if policy is None or policy.revoked or not (policy.may_ask or policy.may_serve):
        return "nothing"
    parts = [word for word, may in (("ask", policy.may_ask), ("serve", policy.may_serve)) if may]
    said = " and ".join(parts)
    if policy.models is not None:
        said += f" {', '.join(policy.models)}"
    if policy.zones is not None:
        said += f", from zone {', '.join(policy.zones)}"
    if policy.requests_per_minute is not None:
        said += f", {policy.requests_per_minute} requests/min"
    if policy.tokens_per_minute is not None:
        said += f", {policy.tokens_per_minute} tokens/min"
    return said


def _warning(address: str) -> str:
    if not address.startswith(_LOOPBACK):
        return ""
    return (
        "only this machine reaches that address: for others, start this PoP with "
        "--fabric-host and an address of this machine (mutual TLS protects it)"
    )
