"""Runs every test: in parts, and of these as many at a time as there are cores, two at least.

Tests that start PoPs wait for half of their time, and all others compute for most of it: one of
each two parts that run is of the first kind while there are any, so that no core is idle for long.
No more run than that: some tests count what was sent again, and a starved PoP sends more.

Options are passed on to pytest; what it says of a part is shown when the part has ended, and last
of those that failed.
"""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from littoral.adapters.cores import granted_cores

__all__ = ["ELSEWHERE", "ROOT", "TESTS", "Part", "main", "parts", "verdict"]

ROOT: Final = Path(__file__).resolve().parent.parent
TESTS: Final = ROOT / "tests"
WAITING: Final = frozenset({"e2e", "fabric", "faults"})
ELSEWHERE: Final = frozenset({"tidy"})
"""Run by `make check`."""
WAITING_FILES: Final = 8
COMPUTING_FILES: Final = 45
"""So many files of a folder are a part: a minute or two, of which it takes seconds to begin."""
AT_ONCE_MAX: Final = 8
"""However many cores there are: PoPs take memory, too."""
NO_TESTS: Final = 5
"""How pytest ends where its options leave no test."""

Part = Sequence[str]


def parts() -> tuple[list[Part], list[Part]]:
    """Every test file in one part: of those that wait, and of all others.

    A part is of one folder, so that what a folder's tests share is mostly made once.
    """
    folders: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        folders.setdefault(path.relative_to(TESTS).parts[0], []).append(str(path.relative_to(ROOT)))
    waiting, computing = list[Part](), list[Part]()
    for folder, files in folders.items():
        if folder in WAITING:
            waiting += _cut(files, WAITING_FILES)
        elif folder not in ELSEWHERE:
            computing += _cut(files, COMPUTING_FILES)
    return waiting, computing


def _cut(files: Sequence[str], most: int) -> list[Part]:
    """In parts of so many files; the last has what is left."""
    return [files[first : first + most] for first in range(0, len(files), most)]


def verdict(statuses: Sequence[int]) -> int:
    """The exit status of all, by those of the parts: what failed counts, an empty part does not."""
    failed = [status for status in statuses if status not in {0, NO_TESTS}]
    return failed[0] if failed else min(statuses)


class _Run:
    """All parts, and how they ended."""

    def __init__(self, options: Sequence[str]) -> None:
        self._pytest = [sys.executable, "-m", "pytest", *options]
        self._failed: list[bytes] = []
        self.statuses: list[int] = []

    def go_on(self, kinds: Sequence[list[Part]]) -> None:
        """Run part after part: those of the first kind while there are any, then of the next."""
        for kind in kinds:
            while kind:
                self._run(kind.pop(0))

    def _run(self, part: Part) -> None:
        ended = subprocess.run(
            [*self._pytest, *part],
            cwd=ROOT,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.statuses.append(ended.returncode)
        if ended.returncode in {0, NO_TESTS}:
            _show(ended.stdout)
        else:
            self._failed.append(ended.stdout)

    def end(self) -> int:
        """Show what failed; the exit status of all."""
        for said in self._failed:
            _show(said)
        return verdict(self.statuses)


def _show(said: bytes) -> None:
    sys.stdout.buffer.write(said)
    sys.stdout.buffer.flush()


def main() -> int:
    """Run them; the exit status of the first that failed, or 0."""
    run = _Run(sys.argv[1:])
    waiting, computing = parts()
    at_once = min(max(int(granted_cores()), 2), AT_ONCE_MAX)
    with ThreadPoolExecutor(at_once) as threads:
        orders = [
            (computing, waiting) if number % 2 == 1 else (waiting, computing)
            for number in range(at_once)
        ]
        lines = [threads.submit(run.go_on, order) for order in orders]
        try:
            for line in lines:
                line.result()
        finally:  # after Ctrl-C, too, which the parts that run have heard as well
            waiting.clear()
            computing.clear()
    return run.end()


if __name__ == "__main__":
    sys.exit(main())
