"""A process that writes to a collection until it is killed, and says each write that is done.

Started as `python -m tests.adapters.memory.writer HOME SEED`. For each line `N` that it reads it
makes a child that writes changes N, N + 1, …; the child's id comes back as `pid P`, and the number
of each change, once it is applied, as `N`; and `gone` when the child is no more.
"""

import os
import random
import sys
from pathlib import Path

from littoral.adapters.memory.embedded import open_collections
from littoral.terms.memory import Write
from tests.contract.collections_made import SPEC, write_made

__all__ = ["changes"]


def changes(seed: int, number: int) -> list[Write]:
    """The changes that are applied together as the n-th."""
    chance = random.Random(f"{seed}-{number}")
    return [write_made(chance) for _ in range(1 + chance.randrange(3))]


def _write(home: Path, seed: int, number: int) -> None:
    _say(f"pid {os.getpid()}")
    collection = open_collections(home).open(SPEC.name)
    while True:
        collection.apply(changes(seed, number))
        _say(str(number))
        number += 1


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def _main() -> None:
    home, seed = Path(sys.argv[1]), int(sys.argv[2])
    for line in sys.stdin:
        if os.fork() == 0:
            _write(home, seed, int(line))
        os.wait()
        _say("gone")


if __name__ == "__main__":
    _main()
