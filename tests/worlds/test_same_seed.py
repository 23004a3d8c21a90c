"""A world is its seed: the same story whenever, wherever and however it is run."""

import os
import subprocess
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from littoral.adapters.identity import Identity, verify
from littoral.sim.world.client import Outcome
from littoral.sim.world.identity import Keys
from tests.worlds.lived import lived

SEED = 7


def test_the_same_seed_tells_the_same_story_and_another_one_another() -> None:
    assert lived(SEED) == lived(SEED)
    assert lived(SEED).digest != lived(SEED + 1).digest


def test_a_story_does_not_depend_on_the_order_of_sets() -> None:
    program = f"from tests.worlds.lived import lived; print(lived({SEED}).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": salt},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for salt in ("1", "2")
    }
    assert digests == {f"{lived(SEED).digest}\n"}


def test_a_world_holds_with_real_signatures_too() -> None:
    keys = Keys(lambda secret: Identity(Ed25519PrivateKey.from_private_bytes(secret)), verify)
    with_real = lived(SEED, keys)
    assert with_real.outcomes[Outcome.ANSWERED] > 0


def test_worlds_are_worth_looking_at() -> None:
    outcomes = sum((lived(seed).outcomes for seed in range(10)), lived(10).outcomes)
    assert outcomes[Outcome.ANSWERED] > 100, "most things work in the middle of faults"
    assert min(outcomes[each] for each in Outcome) > 10, "everything that may happen does"
