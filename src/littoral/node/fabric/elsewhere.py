"""Whether a request for a model of this PoP is answered by another, and whether it may stay here.

Rules
- Another PoP is asked only for the same weights, and only where it is expected to answer sooner by
  more than what a wrong guess costs (`AWAY_S`, and a part of the time here): at home there is no
  link that may fail.
- A request that requires something is refused where nobody has it, and never answered by who lacks
  it (routing/requirements.py).
"""

from collections.abc import Callable, Sequence
from typing import Final

from littoral.adapters.upstreams.words import Errand
from littoral.node.fabric.membership import Membership
from littoral.routing.fleet import Tier
from littoral.routing.requirements import requirement_of
from littoral.terms.errors import RequirementUnmetError
from littoral.terms.ids import ModelName, ZoneName
from littoral.terms.values import Caller, ModelEntry

__all__ = ["Others"]

AWAY_S: Final = 0.05
AWAY_SHARE: Final = 0.2

Guest = Callable[[ModelName], ModelEntry | None]
"""The model of this name as other PoPs have it."""


class Others:
    """The other PoPs, for the ways of a request (node/elsewhere.py)."""

    def __init__(self, membership: Membership, guest: Guest, zone: ZoneName) -> None:
        """Know what is asked when a request comes.

        Args:
            membership: of this PoP.
            guest: models of others.
            zone: of this PoP while it has no owner.
        """
        self._membership = membership
        self._guest = guest
        self._zone = zone

    def guest(self, entry: ModelEntry) -> ModelEntry | None:
        """The same model at other PoPs, if this PoP has it too and they have the same weights."""
        if entry.guest or self._membership.standing is None:
            return None
        other = self._guest(entry.name)
        return other if other is not None and other.digest == entry.digest else None

    def sooner(self, errand: Errand, caller: Caller, entry: ModelEntry, other: ModelEntry) -> bool:
        """Whether another PoP is to be asked."""
        standing = self._membership.standing
        assert standing is not None, "there are others"
        best = standing.ranking.best(errand, entry.name, other.digest)
        away_s = None if best is None else best.away_s
        if self._unmet(caller, entry):
            if away_s is None:
                raise self._refused(caller, entry)
            return True
        if best is None or best.here_s is None or away_s is None:
            return False
        return away_s + AWAY_S < best.here_s * (1 - AWAY_SHARE)

    def check(self, caller: Caller, entry: ModelEntry) -> None:
        """See that a request may be answered here."""
        if caller.requires and not entry.guest and self._unmet(caller, entry):
            raise self._refused(caller, entry)

    def explain(self, errand: Errand, entry: ModelEntry) -> Sequence[str]:
        """How the PoPs that have the model stand, in words."""
        standing = self._membership.standing
        if standing is None:
            return ()
        return standing.ranking.explain(errand, entry.name, entry.digest)

    def _unmet(self, caller: Caller, entry: ModelEntry) -> str:
        if not caller.requires:
            return ""
        standing = self._membership.standing
        zone = self._zone if standing is None else standing.member.zone
        owner = None if standing is None else standing.member.owner
        return requirement_of(caller.requires).unmet(zone, owner, Tier.SIGNED, entry.digest)

    def _refused(self, caller: Caller, entry: ModelEntry) -> RequirementUnmetError:
        lacking = self._unmet(caller, entry)
        return RequirementUnmetError(
            f"no PoP that is known here answers for {entry.name} with {lacking}"
        )
