"""A process that fills an artifact and says, line by line, what stays. It is killed by the test."""

import sys
from pathlib import Path

from littoral.adapters.artifacts import Disk
from tests.adapters.artifacts.made import Made, made, noise, store_in, take

CHUNKS = 120


def large() -> Made:
    """An artifact that takes a while."""
    return made({"m": [noise(n, 20_000) for n in range(CHUNKS)], "n": [noise(1), noise(2)]})


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Fill it from where the last one was killed."""
    source = large()
    intake = take(store_in(Path(sys.argv[1]), disk=Disk()), source)
    say(f"held {len(intake.held)}")
    for number, piece in enumerate(source.pieces):
        if not intake.holds(number):
            intake.write(number, piece)
            if number % 7 == 0:
                intake.commit()
                say(f"said {number}")
    intake.seal()
    say("sealed")


if __name__ == "__main__":
    main()
