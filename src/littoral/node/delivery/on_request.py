"""A model that is asked for and is not here: whether it is on its way, or is brought in for that.

Rules
- Where another PoP serves it, it is asked, and nothing of this happens.
- A name means what a PoP of the same owner has under it. What others call theirs is no reason to
  have it here.
- A pull takes disk and link from everybody, so a request begins one only for keys that may decide
  such things: those of operators, and those that are not bound to some models. A request that
  another PoP passed on begins none, or one request would fill the network. What has failed is
  begun again by who asks for the pull, not by each request.
- Who asks waits as for a model that loads, and hears how far it is.
"""

import asyncio
from typing import Final

from littoral.node.config import Config
from littoral.node.delivery.office import Office
from littoral.node.host import ModelHost
from littoral.placement.refusals import still_loading
from littoral.terms.delivery import PullShown, PullWanted
from littoral.terms.errors import LittoralError, NotDeliveredError
from littoral.terms.ids import ModelName
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Caller, Starting

__all__ = ["OnRequest"]

_LOOK_S: Final = 0.1


class OnRequest:
    """Of one PoP."""

    def __init__(self, office: Office, host: ModelHost, clock: Clock, config: Config) -> None:
        """Begin nothing yet.

        Args:
            office: pulls, and knows who has what.
            host: of the models that may be asked for, and are on their way.
            clock: for how long is waited.
            config: whether a request may begin a pull at all, and how long one waits.
        """
        self._office = office
        self._entries = host.entries
        self._arrivals = host.arrivals
        self._clock = clock
        self._begins = config.pull_on_request
        self._wait_s = config.load_wait_s

    async def bring(self, name: ModelName, caller: Caller) -> None:
        """Return once a model may be asked for, or at once where nothing will make it so.

        Raises:
            LoadingError: it is on its way, and the wait for it is over.
            NotDeliveredError: it did not come.
        """
        if self._known(name):
            return
        if caller.models is not None and name not in caller.models:
            return
        pull = await self._under_way(name)
        if pull is None:
            may = self._may_begin(caller) and not self._arrivals.failed(name)
            artifact = self._office.offered(name) if may else None
            if artifact is None:
                return
            pull = await self._office.pull(PullWanted(artifact, name))
        began = self._clock.now()
        while not self._known(name):
            if pull.stage.over:
                reason = pull.error or "there is no model of this name in what came"
                raise NotDeliveredError(f"{name} did not arrive: {reason}", advice=pull.advice)
            elapsed = self._clock.now() - began
            if elapsed >= self._wait_s * SECOND:
                far = pull.here_bytes / pull.size_bytes if pull.size_bytes else None
                at = Starting(pull.stage.value, far, pull.left_s, arriving=True)
                raise still_loading(name, at, elapsed=elapsed, last_took=None)
            await asyncio.sleep(_LOOK_S)
            pull = await self._office.pulled(pull.id)

    def _may_begin(self, caller: Caller) -> bool:
        may = caller.operator or caller.models is None
        return self._begins and may and caller.hop is None

    def _known(self, name: ModelName) -> bool:
        if name not in self._entries.by_name:
            self._entries.rescan()
        return name in self._entries.by_name and not self._arrivals.failed(name)

    async def _under_way(self, name: ModelName) -> PullShown | None:
        """The pull that brings it, if there is one; where no mover runs there is none."""
        if not self._office.runs:
            return None
        try:
            shown = await self._office.pulls()
        except LittoralError:
            return None
        return next((one for one in shown.pulls if one.model == name and not one.stage.over), None)
