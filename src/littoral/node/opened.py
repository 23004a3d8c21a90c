"""What is open in a home while its PoP runs."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from littoral.adapters.identity import Identity, open_identity
from littoral.adapters.reuse import QuestionBook, open_questions
from littoral.adapters.store import Store, open_store
from littoral.node.config import Config
from littoral.node.home import Home
from littoral.node.keyring import Keyring, budget_board
from littoral.node.relay.build import HotState, hot_state
from littoral.node.surface import processes_of
from littoral.node.telemetry import Telemetry, own_meters
from littoral.terms.errors import OperatorError
from littoral.terms.ports import Clock

__all__ = ["Opened", "opened_home"]

log = logging.getLogger("littoral")


@dataclass(frozen=True, slots=True)
class Opened:
    """What is open in its home while a PoP runs."""

    home: Path
    clock: Clock
    identity: Identity
    store: Store
    keyring: Keyring
    telemetry: Telemetry
    hot: HotState
    book: QuestionBook | None
    """Of questions whose answers may be reused by meaning, unless it can't be used."""


@contextmanager
def opened_home(config: Config, home: Home, clock: Clock) -> Iterator[Opened]:
    """Open it all, for the process that runs the PoP."""
    identity = open_identity(home.path, clock)
    with open_store(home.path) as store, budget_board(home.run) as board:
        keyring = Keyring(store, clock, board, alone=config.workers == 1)
        keyring.restore_day()
        with own_meters(home.run) as meters:
            telemetry = Telemetry(meters, clock)
            with (
                hot_state(
                    config,
                    home.run,
                    worker=0,
                    workers=processes_of(config),
                    clock=clock,
                    observe=telemetry.observe,
                ) as hot,
                _questions(home) as book,
            ):
                yield Opened(home.path, clock, identity, store, keyring, telemetry, hot, book)


@contextmanager
def _questions(home: Home) -> Iterator[QuestionBook | None]:
    try:
        book = open_questions(home.path)
    except OperatorError as error:
        log.warning("there is no reuse by meaning: %s", error)
        yield None
        return
    with closing(book):
        yield book
