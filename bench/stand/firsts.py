"""How soon after its start a PoP that joins gives its first answer: one of its own, or another's.

The clock runs from the start of `littoral join` to the end of an answer. The ticket is made before
it, and a model that the newcomer has is in its home: nothing is downloaded.
"""

import time
from pathlib import Path
from typing import Final

from bench.stand.native import StandError
from bench.stand.pops import FabricPop, Journal, Place, joined
from bench.stand.running import ROOT

__all__ = ["ECHO", "OTHERS", "SMALL", "first_answer"]

ECHO, SMALL, OTHERS = "echo", "smollm2-135m", "other PoP's model"
MODELS: Final = ROOT / ".models/models"
WAIT_S, PAUSE_S = 60.0, 0.005


def first_answer(founder: FabricPop, home: Path, model: str) -> dict[str, float]:
    """Seconds to it.

    Args:
        founder: whom it joins.
        home: of the newcomer; nothing is there yet.
        model: `ECHO`, `SMALL`, or the founder's that the newcomer lacks.

    Raises:
        StandError: there is no answer, or no such model on this machine.
    """
    home.mkdir()
    if model == SMALL:
        if not (MODELS / SMALL).is_dir():
            raise StandError(f"{SMALL} is not in {MODELS}")
        (home / "models").symlink_to(MODELS)
    loaded = SMALL if model == SMALL else ""
    with joined(Place(home.name, home), founder, Journal(), "--models", loaded) as new:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
        deadline_s = new.began_s + WAIT_S
        while True:
            status, said = new.ask("POST", "/v1/chat/completions", body)
            if status == 200:
                break
            # What only others have is known as soon as they are heard.
            if time.monotonic() > deadline_s or status != 404:
                raise StandError(f"no answer of {model}: {status} {said}")
            time.sleep(PAUSE_S)
        return {"answer_s": time.monotonic() - new.began_s}
