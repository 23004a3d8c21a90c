"""`littoral` in a strange world: with a clock that is off, or with limits that make hours seconds.

    python -m tests.faults.strange '{"LEAF_S": 6, "clock": "FILE"}' up --home HOME

Each name in capitals is a limit of terms/limits.py, which is set before anything reads it. `clock`
names a file with the seconds by which this machine's wall clock is ahead; it is read each time, so
that a test can set the clock right. Only the product's own clock is moved: Zenoh and OpenSSL go by
the machine's.
"""

import json
import sys
import time
from pathlib import Path

from littoral.adapters import clock
from littoral.terms import limits


def _estrange(world: dict[str, float | str]) -> None:
    for name, value in world.items():
        if name.isupper():
            assert hasattr(limits, name), name
            setattr(limits, name, value)
    if "clock" in world:
        ahead_s = Path(str(world["clock"]))

        def unix_ns() -> int:
            return time.time_ns() + int(float(ahead_s.read_text()) * 1e9)

        clock.SystemClock.unix_ns = staticmethod(unix_ns)


if __name__ == "__main__":
    _estrange(json.loads(sys.argv.pop(1)))
    from littoral.cli.main import main

    main()
