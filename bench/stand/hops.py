"""What it costs to pass a request on to another PoP, beside passing it on to an upstream.

One PoP, the gateway, has a core for itself, as any proxy of the stand has. It relays one model to
the stand's upstream, and has another as a guest of its neighbour, which relays that to the same
upstream. So the client, the request and the answer are the same, and what differs is the hop:
mutual TLS, the choice, and the neighbour's receipt, which is checked and countersigned. Both models
have receipts: without its own one another PoP's answer is not taken.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.stand.cores import MEASURED, STAND
from bench.stand.measuring import paced, routed
from bench.stand.native import StandError, Upstream
from bench.stand.ours import LIMITS, WITH_RECEIPTS, add_models
from bench.stand.pops import SEEN, FabricPop, Journal, Place, founded, joined
from bench.stand.proxies import Proxy

__all__ = ["FEW_STREAMS", "GUEST", "Hop", "first_tokens", "hop", "requests"]

GUEST = "guest"
FEW_STREAMS = 16
"""So few that nobody waits for a core."""
WAIT_S, WARM_S = 10.0, 0.5


@dataclass(frozen=True, slots=True)
class Hop:
    """Two PoPs."""

    plain: Proxy
    """The gateway, relaying to the upstream."""
    passing: Proxy
    """The gateway, passing on to its neighbour."""
    neighbour: FabricPop


@contextmanager
def hop(folder: Path, upstream: Upstream) -> Iterator[Hop]:
    """A gateway and its neighbour, ready.

    Raises:
        StandError: the gateway does not hear of the neighbour's model.
    """
    journal, models = Journal(), ("--models", "")
    near, far = Place("near", folder / "near"), Place("far", folder / "far")
    add_models(far.home, upstream, GUEST)
    add_models(near.home, upstream, WITH_RECEIPTS)
    with (
        founded(far, journal, *models, core=STAND) as neighbour,
        joined(near, neighbour, journal, *models, core=MEASURED) as gateway,
    ):
        key = str(near.tell("keys", "create", "limited", *LIMITS)["key"])
        journal.all_told(0.0, SEEN, neighbour.pop, [near.name])
        _wait_for(gateway, GUEST)
        plain = Proxy("plain", gateway.port, key, gateway.process.pid, WITH_RECEIPTS)
        passing = Proxy("passing", gateway.port, key, gateway.process.pid, GUEST)
        yield Hop(plain, passing, neighbour)


def requests(proxy: Proxy, neighbour: FabricPop, file: Path, seconds: float) -> dict[str, float]:
    """As `measuring.routed`, and what the neighbour has spent on each, on warm connections."""
    routed(proxy, file, WARM_S)
    before_s = neighbour.cpu_s()
    figures = routed(proxy, file, seconds)
    spent_s = neighbour.cpu_s() - before_s
    return figures | {"neighbour_us": spent_s * 1e6 / (figures["rate"] * seconds)}


def first_tokens(proxy: Proxy, file: Path) -> dict[str, float]:
    """Times to the first event, of a few streams."""
    return paced(proxy, file, FEW_STREAMS)


def _wait_for(gateway: FabricPop, model: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        _, known = gateway.ask("GET", "/v1/models")
        assert isinstance(known, dict)
        if model in {each["id"] for each in known["data"]}:
            return
        time.sleep(0.05)
    raise StandError(f"after {WAIT_S:g} s the gateway has no model {model}")
