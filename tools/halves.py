"""Runs every test, in two halves at a time: those that start PoPs and wait, and all others.

The first half spends most of its time waiting, the second most of its time computing, so that both
together take little longer than either. Options are passed on to pytest.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
WAITING = ("tests/e2e", "tests/fabric", "tests/faults")
ELSEWHERE = ("tests/tidy",)
"""Run by `make check`."""


def main() -> int:
    """Run both; the exit status of the first that failed, or 0."""
    pytest = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    ignored = [f"--ignore={path}" for path in (*WAITING, *ELSEWHERE)]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen([*pytest, *WAITING], cwd=ROOT, stdout=said, stderr=said) as waiting,
    ):
        computing = subprocess.run([*pytest, *ignored], cwd=ROOT, check=False)
        status = waiting.wait()
        said.seek(0)
        sys.stdout.buffer.write(said.read())
    return computing.returncode or status


if __name__ == "__main__":
    sys.exit(main())
