"""Processes that write receipts to one chain, as workers do, and are killed at any moment."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

from littoral.adapters.store import open_store
from tests.adapters.test_store_receipts import checked_chain

ROOT = Path(__file__).parent.parent.parent

WRITER = """
import asyncio, os, sys
from pathlib import Path
from msgspec.structs import replace
from littoral.adapters.store import open_store
from littoral.node.scribe import Scribe
from littoral.terms.ids import ReceiptId
from littoral.trust.issuing import Issuer
from littoral.trust.receipts import stated
from tests.trust.made import SIGNER, draft

home, first = Path(sys.argv[1]), int(sys.argv[2])
made = draft()

def told(said):
    assert isinstance(said, bytes), said
    os.write(1, stated(said).rid.encode() + b"\\n")

async def write():
    with open_store(home) as store:
        loop = asyncio.get_running_loop()
        scribe = Scribe(store.receipts, Issuer(SIGNER), loop, print, loop.stop)
        for number in range(first, first + (1 << 24)):
            name = ReceiptId(f"rcpt_{number:032x}")
            scribe.write(replace(made, receipt_id=name), told)
            if number % 24 == 0:
                await asyncio.sleep(0.0003 * (number % 7))

asyncio.run(write())
"""
"""Tells on its standard output of each receipt that is kept, as a stream's client is told."""


PIPE_BYTES = 4096
"""What a writer may have told of that nobody has read: some hundred receipts. Then it waits."""


@contextmanager
def writing(home: Path, first: int) -> Iterator[subprocess.Popen[str]]:
    """A process that writes receipts numbered from `first` on; killed at the end."""
    command = [sys.executable, "-c", WRITER, str(home), str(first)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, pipesize=PIPE_BYTES
    ) as writer:
        try:
            yield writer
        finally:
            writer.kill()


def told(writer: subprocess.Popen[str], count: int) -> list[str]:
    """The next so many receipts that it told of."""
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(count)]
    assert all(lines), "it told of so many"
    return [line.strip() for line in lines]


def killed(writer: subprocess.Popen[str]) -> list[str]:
    """Kill it; all else that it told of."""
    assert writer.stdout is not None
    writer.send_signal(signal.SIGKILL)
    rest = writer.stdout.read().splitlines(keepends=True)
    assert writer.wait() == -signal.SIGKILL
    return [line.strip() for line in rest if line.endswith("\n")]


def test_killed_within_a_batch_a_writer_leaves_a_whole_chain_with_all_that_clients_were_told(
    tmp_path: Path,
) -> None:
    chance = random.Random(9)
    reported: list[str] = []
    for kill in range(10):
        with writing(tmp_path, kill << 24) as writer:
            reported += told(writer, chance.randrange(1, 400))
            reported += killed(writer)
        with open_store(tmp_path) as store:
            chain = checked_chain(store)
        assert set(reported) <= set(chain)
        assert len(set(chain)) == len(chain)


def test_two_writers_at_once_make_one_chain_in_which_each_ones_receipts_are_in_order(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        writers = [stack.enter_context(writing(tmp_path, n << 24)) for n in range(2)]
        reported: list[list[str]] = [[], []]
        for _ in range(60):
            for number, writer in enumerate(writers):
                reported[number] += told(writer, 50)
        reported[1] += killed(writers[1])
        reported[0] += told(writers[0], 500)  # alone, after the death of the other
        writers.append(stack.enter_context(writing(tmp_path, 2 << 24)))
        reported.append(told(writers[2], 500))
        for number in (0, 2):
            reported[number] += killed(writers[number])
    with open_store(tmp_path) as store:
        chain = checked_chain(store)
    for each in reported:
        begin = each[0][: -len("000000")]
        own = [rid for rid in chain if rid.startswith(begin)]
        assert own[: len(each)] == each
    changes = sum(one[:-6] != other[:-6] for one, other in pairwise(chain))
    assert changes > 20, "they wrote in turn"
