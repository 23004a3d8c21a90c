"""A small world: real processes spend of one key's limit as fast as they can, and are killed."""

import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from littoral.adapters.shared import Board
from littoral.node.keyring import budget_board
from littoral.terms.ids import KeyId
from littoral.terms.values import Caller, Instant, KeyLimits
from littoral.trust.limits import DAY_S, Budgets, Refusal
from tests.adapters.shared.test_board import line, process

LIMIT = 1_000_000
USED_MAX = 3
KILLS = 6
SPENT, HOLDS = 0, 1
CALLER = Caller(KeyId("kshared"), "shared", limits=KeyLimits(tokens_per_day=LIMIT))
UNIX_S = 20_000 * DAY_S
CLOCK_STANDS = Instant(10**15)

# Whenever it is killed, a worker has said of itself no more than it was granted.
SPEND = """
import random, sys
from pathlib import Path
from littoral.adapters.shared import Board
from littoral.terms.values import Caller, KeyLimits
from littoral.trust.limits import Budgets, Reservation

run = Path(sys.argv[1])
worker, seed, LIMIT, USED_MAX, SPENT, HOLDS, CLOCK_STANDS, UNIX_S = map(int, sys.argv[2:])
CALLER = Caller("kshared", "shared", limits=KeyLimits(tokens_per_day=LIMIT))
chance, board = random.Random(seed), Board.open(run / "budgets.bin")
boards, lock = [Board.open(run / f"said-{number}") for number in range(2)], board.lock
said, other = boards[worker].words, boards[1 - worker].words
budgets, open_ones = Budgets(board.words, worker), []
for turn in range(10**9):
    if len(open_ones) < 4:
        wish = chance.randint(0, LIMIT * 2 // 5)
        with lock:
            outcome = budgets.reserve(CALLER, wish, CLOCK_STANDS, UNIX_S)
            if isinstance(outcome, Reservation):
                said[HOLDS] += outcome.tokens
            assert said[HOLDS] + said[SPENT] + other[HOLDS] + other[SPENT] <= LIMIT
        if isinstance(outcome, Reservation):
            open_ones.append(outcome)
    if open_ones and chance.random() < 0.5:
        one = open_ones.pop(chance.randrange(len(open_ones)))
        used = min(one.tokens, chance.randint(0, USED_MAX))
        with lock:
            said[HOLDS] -= one.tokens
            budgets.settle(one, used, CLOCK_STANDS, UNIX_S)
            said[SPENT] += used
    if turn % 5000 == 0:
        print(turn, flush=True)
"""


class World:
    """Two workers, what each says of itself, and the budgets that they share."""

    def __init__(self, run: Path, stack: ExitStack, chance: random.Random) -> None:
        self.run, self.stack, self.chance = run, stack, chance
        self.board = stack.enter_context(budget_board(run))
        self.budgets = Budgets(self.board.words, worker=2)
        self.said = [
            stack.enter_context(Board.create(run / f"said-{worker}", 2)).words
            for worker in range(2)
        ]
        self.workers = [self.begin(worker) for worker in range(2)]

    def begin(self, worker: int) -> subprocess.Popen[bytes]:
        chosen = (worker, self.chance.getrandbits(30))
        fixed = (LIMIT, USED_MAX, SPENT, HOLDS, CLOCK_STANDS, UNIX_S)
        return self.stack.enter_context(process(SPEND, self.run, *chosen, *fixed))

    def until_it_has_worked(self, worker: int) -> None:
        for _ in range(2):
            assert line(self.workers[worker]), "it spends within the limit until it is killed"

    def kill(self, worker: int) -> None:
        self.workers[worker].send_signal(signal.SIGKILL)
        self.workers[worker].wait(30)
        with self.board.lock:
            self.budgets.forget_worker(worker)
            self.said[worker][HOLDS] = 0

    def spent(self) -> int:
        return sum(said[SPENT] for said in self.said)

    def left(self) -> int:
        """What the shared budgets would still grant."""
        with self.board.lock:
            shown = self.budgets.headers(CALLER, CLOCK_STANDS, UNIX_S)
        return int(shown["x-ratelimit-remaining-tokens"])

    def check(self) -> None:
        with self.board.lock:
            assert self.spent() + sum(said[HOLDS] for said in self.said) <= LIMIT
            self.budgets.check()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack, random.Random(3))


def test_a_limit_holds_for_all_workers_together_whoever_is_killed(world: World) -> None:
    for _ in range(KILLS):
        worker = world.chance.randrange(2)
        world.until_it_has_worked(worker)
        world.check()
        world.kill(worker)
        world.check()
        world.workers[worker] = world.begin(worker)
    for worker in range(2):
        world.until_it_has_worked(worker)
        world.kill(worker)
    world.check()
    spent = world.spent()
    assert spent > 0
    assert LIMIT - spent - (KILLS + 2) * USED_MAX <= world.left() <= LIMIT - spent
    with world.board.lock:
        whole = world.budgets.reserve(CALLER, LIMIT - spent + 1, CLOCK_STANDS, UNIX_S)
    assert isinstance(whole, Refusal)
