"""Where this PoP is in the fabric, as its settings and what it remembers say."""

from collections.abc import Sequence
from typing import Final

from littoral.adapters.addresses import bracketed, dialled_host, free_port, host_and_port
from littoral.adapters.fabric import FabricPlace
from littoral.adapters.owner import FabricFiles
from littoral.node.config import Config
from littoral.node.fabric.memory import Memory
from littoral.node.fabric.saying import Place
from littoral.routing.fleet import Fleet
from littoral.terms.ids import PopId

__all__ = ["listening_host", "place_of", "seeds_of", "state_place"]

_LOOPBACK: Final = "127.0.0.1"
_SEEDS: Final = 3
"""Named to whoever comes: enough that one of them is there."""


def listening_host(config: Config, memory: Memory) -> tuple[str, str]:
    """The address that a PoP's fabric listener is at, and the one to remember."""
    if config.fabric_dials_out:
        return config.fabric_host or _LOOPBACK, memory.host
    host = config.fabric_host or memory.host or _LOOPBACK
    return host, host


def place_of(config: Config, host: str, port: int, pop: PopId, boot: int) -> Place:
    """What a PoP says of where it is.

    Args:
        config: of its operator.
        host: that it listens on.
        port: of its fabric listener.
        pop: its name.
        boot: of this run.

    Raises:
        ConfigError: it can't be told at which address others reach it.
    """
    if config.fabric_dials_out:
        return Place(pop=pop, boot=boot, url="", state_address="")
    state_port = config.state_port or free_port(host)
    if config.fabric_address:
        reached, port = host_and_port(config.fabric_address, "fabric_address")
    else:
        reached = dialled_host(host)
    name = bracketed(reached)
    return Place(
        pop=pop,
        boot=boot,
        url=f"https://{name}:{port}",
        state_address=f"{name}:{state_port}",
    )


def state_place(files: FabricFiles, host: str, place: Place, memory: Memory) -> FabricPlace:
    """Where it joins the state of the fabric, and with what."""
    listens = bool(place.state_address)
    port = host_and_port(place.state_address, "state_address")[1] if listens else 0
    known = (each.state_address for each in memory.pops)
    return FabricPlace(
        host=host,
        port=port,
        chain=files.chain,
        key=files.key,
        roots=files.bundle,
        seeds=tuple(each for each in memory.seeds if each != place.state_address),
        known=tuple(each for each in known if each and each != place.state_address),
        listens=listens,
    )


def seeds_of(place: Place, fleet: Fleet) -> Sequence[str]:
    """Where the state of the fabric can be joined: at this place, and at PoPs that are there."""
    others = [each.state.state_address for each in fleet.pops.values() if each.alive]
    return tuple(dict.fromkeys(filter(None, (place.state_address, *others))))[:_SEEDS]
