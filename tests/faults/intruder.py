"""A member that says in the fabric whatever it is told to, with the certificate of its home.

    python -m tests.faults.intruder HOME ADDRESS:PORT SEED ...

Each line that it reads is a command in JSON, and is answered by one line: `["get", KEY]` by the
records there, `["put", KEY, HEX]` and `["alive", KEY]` by none. It ends with its input.
"""

import json
import sys
from pathlib import Path

import zenoh

from littoral.adapters.fabric import FabricPlace
from littoral.adapters.fabric.place import Role, configuration
from littoral.adapters.owner import FabricFiles


def main() -> None:
    """Answer until the input ends."""
    home, listens, *seeds = sys.argv[1:]
    files, (host, _, port) = FabricFiles(Path(home)), listens.partition(":")
    place = FabricPlace(host, int(port), files.chain, files.key, files.bundle, tuple(seeds))
    settings = configuration(place, connect=(), role=Role.DIALS)
    settings.pop("access_control")
    session = zenoh.open(zenoh.Config.from_json5(json.dumps(settings)))
    tokens = []
    for line in sys.stdin:
        found: list[str] = []
        match json.loads(line):
            case ["get", key]:
                replies = session.get(key, target=zenoh.QueryTarget.ALL, timeout=1)
                found = [each.ok.payload.to_bytes().hex() for each in replies if each.ok]
            case ["put", key, record]:
                session.put(key, bytes.fromhex(record))
            case ["alive", key]:
                tokens.append(session.liveliness().declare_token(key))
            case _:
                raise ValueError(line)
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
    session.close()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
