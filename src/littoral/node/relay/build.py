"""The hot path put together: what it opens in a home, and the relay made of it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from littoral.adapters.answers import AnswerStore, CacheBounds, open_answers
from littoral.adapters.reuse import QuestionBook
from littoral.adapters.shared import Board
from littoral.adapters.upstreams.upstreams import Neighbourhood, TargetRows, Upstreams
from littoral.node.config import Config, secret_from_environment
from littoral.node.embedding import Embedder
from littoral.node.host import ModelHost
from littoral.node.relay.keeping import Keeping
from littoral.node.relay.reusing import Reusing, Wishes
from littoral.node.vectors import Vectors
from littoral.routing.board import TargetBoard
from littoral.terms.ids import ModelName
from littoral.terms.limits import (
    CACHE_COUNTS_S,
    REUSE_WAIT_S,
    UPSTREAM_TARGETS_MAX,
    WORKERS_MAX,
)
from littoral.terms.ports import Clock, Observe
from littoral.terms.values import SECOND
from littoral.trust.spending import Words

__all__ = [
    "HotState",
    "hand_over_counts",
    "hot_state",
    "keeping_on",
    "reusing_on",
    "say_at_work",
    "upstreams_on",
]

_LOOK_S: Final = 0.1
"""Between two looks at how many requests a process answers."""


@dataclass(frozen=True, slots=True)
class HotState:
    """What the hot paths of a PoP's processes share."""

    targets: TargetRows
    answers: AnswerStore | None
    """The answer cache, unless it is off."""
    worker: int
    """Which of the processes this is."""
    at_work: Words
    """How many requests each of them answers now, as it says itself."""

    def forget_worker(self, worker: int) -> None:
        """That process is no more: it has nothing under way."""
        self.targets.targets.forget_worker(worker)
        self.at_work[worker] = 0


@contextmanager
def hot_state(
    config: Config, run: Path, *, worker: int, workers: int, clock: Clock, observe: Observe
) -> Iterator[HotState]:
    """Open the state of a running PoP's hot path, as one of its workers.

    Args:
        config: how large the cache may be.
        run: `Home.run` of the PoP.
        worker: which of its processes this is, from 0.
        workers: how many there are.
        clock: the machine's.
        observe: told of what the cache stores and drops.
    """
    bounds = CacheBounds(config.cache_bytes_max, config.cache_memory_bytes)
    with (
        Board.open_or_create(run / "at-work.bin", WORKERS_MAX) as at_work,
        Board.open_or_create(
            run / "targets.bin", (1 + TargetBoard.words_of_row(workers)) * UPSTREAM_TARGETS_MAX
        ) as board,
    ):
        names = board.words[:UPSTREAM_TARGETS_MAX]
        counts = board.words[UPSTREAM_TARGETS_MAX:]
        targets = TargetBoard(counts, worker=worker, workers=workers)
        rows = TargetRows(names, targets, board.lock)
        answers = open_answers(config.home, bounds, clock=clock, observe=observe)
        try:
            state = HotState(rows, answers, worker, at_work.words)
            state.forget_worker(worker)
            yield state
        finally:
            if answers is not None:
                answers.close()
            names.release()
            counts.release()


def upstreams_on(
    state: HotState,
    *,
    spawn: Callable[..., asyncio.Task[None]],
    clock: Clock,
    observe: Observe,
    neighbourhood: Neighbourhood | None = None,
) -> Upstreams:
    """The upstreams of a process that runs on a loop now; other PoPs are among them in a fabric."""
    return Upstreams(
        state.targets,
        spawn=spawn,
        secret=secret_from_environment,
        clock=clock,
        observe=observe,
        neighbourhood=neighbourhood,
    )


def keeping_on(
    config: Config,
    state: HotState,
    clock: Clock,
    *,
    wishes: Wishes | None,
    reusing: Reusing | None = None,
) -> Keeping | None:
    """The answer cache of a process, unless it is off; the arguments are as `Keeping` has them."""
    if state.answers is None:
        return None
    epoch, ttl_s = config.cache_epoch, config.cache_ttl_s
    vectors = Vectors(state.answers, policy_epoch=epoch, ttl_s=ttl_s, clock=clock)
    return Keeping(
        state.answers,
        vectors,
        wishes=wishes,
        reusing=reusing,
        policy_epoch=epoch,
        ttl_s=ttl_s,
        clock=clock,
    )


def reusing_on(
    config: Config,
    state: HotState,
    book: QuestionBook | None,
    host: ModelHost,
    *,
    spawn: Callable[..., asyncio.Task[None]],
    clock: Clock,
    observe: Observe,
) -> Reusing | None:
    """Reuse by meaning, in the process that has the models; None where it can't be."""
    if state.answers is None or book is None:
        return None
    return Reusing(
        book,
        state.answers,
        embed=Embedder(host, ModelName(config.reuse_model), wait=int(REUSE_WAIT_S * SECOND)),
        policy_epoch=config.cache_epoch,
        clock=clock,
        observe=observe,
        spawn=spawn,
    )


async def say_at_work(state: HotState, count: Callable[[], int]) -> None:
    """Have the other processes know how many requests this one answers, until cancelled.

    It is looked at and not counted, so that no request's path writes a word; what begins and ends
    between two looks is missed.
    """
    try:
        while True:
            state.at_work[state.worker] = count()
            await asyncio.sleep(_LOOK_S)
    finally:
        state.at_work[state.worker] = 0


async def hand_over_counts(state: HotState) -> None:
    """Have what was asked of the cache counted on disk every few seconds, until cancelled."""
    while state.answers is not None:
        await asyncio.sleep(CACHE_COUNTS_S)
        state.answers.hand_over()
