"""libtorrent, in its own environment: one peer of a swarm.

Arguments: a torrent file, the folder of the file, this host's address, `seed` or `get`, and the
addresses of all others. Prints one line of JSON when it is ready and another when it has the whole
file; a `get` begins at a line on standard input. Ends when that is closed.
"""

import json
import sys
import time

import libtorrent

PORT = 6881
SETTINGS = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "allow_multiple_connections_per_ip": True,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "alert_mask": 0,
    "min_reconnect_time": 1,
    "unchoke_slots_limit": 16,
    "in_enc_policy": 2,
    "out_enc_policy": 2,
    "mixed_mode_algorithm": 0,
}
"""TCP without encryption, and nothing that looks for peers elsewhere."""


def main() -> None:
    """Seed, or get."""
    torrent, folder, address, role, *others = sys.argv[1:]
    session = libtorrent.session({**SETTINGS, "listen_interfaces": f"{address}:{PORT}"})
    asked = libtorrent.add_torrent_params()
    asked.ti = libtorrent.torrent_info(torrent)
    asked.save_path = folder
    asked.flags &= ~libtorrent.torrent_flags.auto_managed
    asked.flags &= ~libtorrent.torrent_flags.paused
    if role == "seed":
        asked.flags |= libtorrent.torrent_flags.seed_mode
        session.add_torrent(asked)
        print(json.dumps({"seeds": True}), flush=True)
    else:
        print(json.dumps({"libtorrent": libtorrent.version}), flush=True)
        sys.stdin.readline()
        handle = session.add_torrent(asked)
        for other in others:
            handle.connect_peer((other, PORT))
        while not handle.status().is_seeding:
            time.sleep(0.02)
        print(json.dumps({"whole": True}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
