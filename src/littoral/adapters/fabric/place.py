"""Where a PoP stands in the fabric, and Zenoh's configuration for it.

Rules
- Nobody is found by shouting: no multicast; seeds are named, and whoever is linked tells of others.
- Seeds are dialled until they answer, in the background: a wait of -1 for it, and no exit. With a
  wait of 0 Zenoh dials once, and a PoP that starts before its seed is alone for good.
- Who is only remembered is dialled by few: where both sides of a pair dial, Zenoh keeps two links,
  and each costs what one does. Gossip has one side dial. Where it brings too few, all are dialled.
- Links are mutual TLS against the roots of known owners, and end when either certificate does. The
  name in a certificate is not compared with the address: PoPs are dialled by addresses that change,
  and who they are is in the records that they sign.
- Everything is denied that is not under our own key.
- What a link brings is bounded before it is read.
"""

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from littoral.adapters.addresses import bracketed
from littoral.terms.limits import FABRIC_LEASE_S, RECORD_BYTES_MAX

__all__ = ["ROOT", "FabricPlace", "Role", "configuration"]

ROOT: Final = "littoral"
"""What every key begins with."""

_DIALLED: Final = 3
"""So many are, if there are not more seeds: one of them may be gone, and one be away."""

_KEEP_ALIVES: Final = 3
"""Sent over a link in a lease, if nothing else is: a stall of two thirds of a lease is none."""

_MESSAGES: Final = (
    "put",
    "declare_subscriber",
    "query",
    "declare_queryable",
    "reply",
    "liveliness_token",
    "declare_liveliness_subscriber",
    "liveliness_query",
)


@dataclass(frozen=True, slots=True)
class FabricPlace:
    """Where to listen, whom to dial first, and the files that say who this is."""

    host: str
    port: int
    chain: Path
    """PEM: the PoP's own certificate, then its issuer's. Read at `open` and `reopen`."""
    key: Path
    """PEM: its private key."""
    roots: Path
    """PEM: the root certificates of all known owners."""
    seeds: tuple[str, ...] = ()
    """`HOST:PORT` of PoPs that are dialled until they answer."""
    known: tuple[str, ...] = ()
    """The same of PoPs that were there before: of these the first few are."""
    dials_all: bool = False
    """All of them are."""
    lease_s: float = FABRIC_LEASE_S
    listens: bool = True
    """Others can dial it; then it listens at the host and port."""

    @property
    def endpoint(self) -> str:
        """The endpoint that it listens on."""
        return f"tls/{bracketed(self.host)}:{self.port}"

    @property
    def dialled(self) -> tuple[str, ...]:
        """Endpoints that it dials from the beginning, each once."""
        known = tuple(each for each in self.known if each not in self.seeds)
        if self.listens and not self.dials_all:
            known = known[: max(0, _DIALLED - len(self.seeds))]
        return tuple(f"tls/{each}" for each in (*self.seeds, *known))

    @property
    def itself(self) -> str:
        """The endpoint by which this machine reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"tls/{bracketed(host)}:{self.port}"


class Role(enum.Enum):
    """What one session of a PoP is to the others."""

    LISTENS = "listens"
    """Others may dial it, and it dials those whom it hears of."""
    DIALS = "dials"
    """It dials all whom it hears of."""
    OVERHEARS = "overhears"
    """It is linked to one other, as a client of it, and hears by it whom it can't be linked to: a
    peer passes on between its clients and other peers, and not from peer to peer."""


def configuration(place: FabricPlace, *, connect: tuple[str, ...], role: Role) -> dict[str, object]:
    """Zenoh's configuration, JSON-shaped.

    Args:
        place: where the PoP stands.
        connect: endpoints to dial until each has answered, beside those of the place; whoever
            overhears dials these alone.
        role: of the session.
    """
    listens, client = role is Role.LISTENS, role is Role.OVERHEARS
    chain, key = str(place.chain), str(place.key)
    first = () if client else place.dialled
    return {
        "mode": "client" if client else "peer",
        "scouting": {
            "multicast": {"enabled": False},
            "gossip": {
                "enabled": True,
                "autoconnect": {"router": ["router"], "peer": ["router", "peer"]},
                "autoconnect_strategy": {
                    "peer": {
                        "to_router": "always",
                        "to_peer": "greater-zid" if listens else "always",
                    }
                },
            },
        },
        "listen": {"endpoints": [place.endpoint] if listens else [], "exit_on_failure": True},
        "connect": {
            "endpoints": list(dict.fromkeys((*first, *connect))),
            "timeout_ms": -1,
            "exit_on_failure": False,
            "retry": {"period_init_ms": 250, "period_max_ms": 4000, "period_increase_factor": 2},
        },
        "timestamping": {"enabled": True},
        "adminspace": {"enabled": False},
        "transport": {
            "shared_memory": {"enabled": False},
            "link": {
                "protocols": ["tls"],
                "tx": {"lease": int(place.lease_s * 1000), "keep_alive": _KEEP_ALIVES},
                "rx": {"max_message_size": 2 * RECORD_BYTES_MAX},
                "tls": {
                    "root_ca_certificate": str(place.roots),
                    "enable_mtls": True,
                    "verify_name_on_connect": False,
                    "close_link_on_expiration": True,
                    "listen_certificate": chain,
                    "listen_private_key": key,
                    "connect_certificate": chain,
                    "connect_private_key": key,
                },
            },
        },
        "access_control": {
            "enabled": True,
            "default_permission": "deny",
            "rules": [
                {
                    "id": "ours",
                    "permission": "allow",
                    "flows": ["ingress", "egress"],
                    "messages": list(_MESSAGES),
                    "key_exprs": [f"{ROOT}/**"],
                }
            ],
            "subjects": [{"id": "members", "link_protocols": ["tls"]}],
            "policies": [{"subjects": ["members"], "rules": ["ours"]}],
        },
    }
