"""From a cold request to its first token, at 25 MB/s: while the weights arrive, and after.

A PoP with a model, and PoPs without it, each on a link of a known rate (stand/lab.py). One without
it is told to have it, and asked for it at once; the clock runs from there to the first token. It is
compared with a PoP that can't open what arrives, and so waits for all of it, and with the usual
way: download, verify, load, ask, one after the other, over plain HTTP. The bound is the time that
the download takes.

Then the file in the store, as it was filled, is read beside a plain copy.

Nothing else should run: the load of the machine is in the last line.
"""

import argparse
import hashlib
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.stand.lab import Lab, shaped, unavailable
from bench.stand.measuring import EVERYTHING, Figures
from bench.stand.native import StandError
from bench.stand.proxies import PEERS_FOLDER
from bench.stand.reading import read_ratios
from bench.stand.report import Promise, at_least, at_most, note, print_report, print_table
from bench.stand.running import end_on_signal
from littoral.adapters.artifacts import Shelf
from littoral.adapters.files import write_whole
from littoral.terms.ids import ArtifactId
from littoral.web.delivery import DELIVERY
from tests.faults.pops import PORT, Fabric, Pop, fabric, until

EARLY, WAITING, SERIES = "while it arrives", "after it arrived", "download, verify, load"
HOLDER, BOUND, FIRST = "holder", "transfer", "first token"
HOSTS = {EARLY: "early", WAITING: "waiting", SERIES: "series"}
MBIT = 209.1
"""25 MB/s of what TCP carries."""
WEIGHTS = PEERS_FOLDER / "coldstart"
WEIGHTS_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
NAME = "cold"
PROMPT = "The capital of France is"
READ_ROUNDS = 15
PULL_S = 120.0
NO_MOUNT = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
SERVE = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8000)"
LOAD = """
import os, sys, xllamacpp as x
p = x.CommonParams(); p.model.path = sys.argv[1]; p.n_ctx = 8192; p.verbosity = -1; p.port = 0
p.fit_params = False; p.n_batch = p.n_ubatch = 64; p.n_parallel = 4
s = x.Server(p)
s.handle_completions({"prompt": sys.argv[2], "max_tokens": 1, "temperature": 0})
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class Stand:
    """A lab with a PoP that has the model."""

    links: Lab
    pops: Fabric
    holder: Pop
    weights: Path
    artifact: str

    @contextmanager
    def begun(self, host: str, *around: str) -> Iterator[Pop]:
        """A PoP without the model that sees the other; it ends with the context."""
        pop = self.pops.start(host, "join", self.holder.invite(), around=around)
        pop.ready()
        words = {"reference": self.artifact}
        until(lambda: pop.ask("POST", f"{DELIVERY}/plan", words)[0] == 200)
        try:
            yield pop
        finally:
            pop.end()

    @property
    def url(self) -> str:
        """Of the weights, by plain HTTP."""
        return f"http://{self.holder.host.address}:8000/{self.weights.name}"

    @property
    def copy(self) -> Path:
        """Where the download goes."""
        return self.pops.home("series").with_suffix(".gguf")


@contextmanager
def stand(weights: Path, folder: Path) -> Iterator[Stand]:
    """All of it, for one round."""
    rates = {HOLDER: 4 * MBIT, **dict.fromkeys(HOSTS.values(), MBIT)}
    with shaped(rates) as links, fabric(folder, links.hosts) as pops:
        holder = pops.found(HOLDER)
        origin = folder / weights.name
        origin.symlink_to(weights)
        holder.ask("POST", f"{DELIVERY}/pulls", {"reference": f"file:{origin}"})

        def pulled() -> str:
            shown = holder.ask("GET", f"{DELIVERY}/pulls")[2]["pulls"][-1]
            if shown["stage"] == "failed":
                raise StandError(shown["error"])
            return str(shown["artifact"]) if shown["stage"] == "done" else ""

        until(pulled, PULL_S)
        origin.unlink()  # or the others, on the same disk, would read there
        yield Stand(links, pops, holder, weights, pulled())


def early(given: Stand) -> dict[str, float]:
    """The engine opens the file at once."""
    with given.begun(HOSTS[EARLY]) as pop:
        took = _asked(pop, given.artifact)
        until(lambda: _is_whole(pop, given.artifact))
        return {FIRST: took}


def waiting(given: Stand) -> dict[str, float]:
    """It can't."""
    with given.begun(HOSTS[WAITING], *NO_MOUNT) as pop:
        return {FIRST: _asked(pop, given.artifact)}


def series(given: Stand) -> dict[str, float]:
    """One step after the other."""
    host = given.links.hosts[HOSTS[SERIES]]
    with _served(given):
        began = time.monotonic()
        _run(host.command("curl", "-sS", "-o", str(given.copy), given.url))
        came = time.monotonic()
        with given.copy.open("rb") as file:
            hashlib.file_digest(file, "sha256")
        checked = time.monotonic()
        _run([sys.executable, "-c", LOAD, str(given.copy), PROMPT])
    return {
        BOUND: came - began,
        "verify": checked - came,
        "load": time.monotonic() - checked,
        FIRST: time.monotonic() - began,
    }


def reading(given: Stand) -> dict[str, float]:
    """What is in the store of a PoP that was filled over the network, beside the download."""
    shelf = Shelf(given.pops[HOSTS[EARLY]].home / "artifacts")
    with shelf.hold(ArtifactId(given.artifact)) as held:
        cold, warm = read_ratios(held.paths[0], given.copy, READ_ROUNDS)
    return {"from disk": cold, "from memory": warm}


WAYS: dict[str, Callable[[Stand], dict[str, float]]] = {
    SERIES: series,
    EARLY: early,
    WAITING: waiting,
}
READING = "the store's file, of a plain copy's rate"


def _asked(pop: Pop, artifact: str) -> float:
    """Seconds from having it pull the model, to the first token."""
    began = time.monotonic()
    wanted = {"reference": artifact, "name": NAME}
    status, _, said = pop.ask("POST", f"{DELIVERY}/pulls", wanted)
    if status != 202:
        raise StandError(f"no pull: {said}")
    while not _token_came(pop):
        if time.monotonic() - began > PULL_S:
            raise StandError("no token")
    return time.monotonic() - began


def _token_came(pop: Pop) -> bool:
    """Ask once, and wait for the first token; False where the PoP would not wait as long."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=PULL_S)
    with pop.host.inside():
        connection.connect()
    body = {"model": NAME, "prompt": PROMPT, "stream": True, "max_tokens": 1, "temperature": 0}
    fields = {"content-type": "application/json", **pop.bearer}
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), fields)
        answer = connection.getresponse()
        if answer.status == 503:
            return False
        while line := answer.readline():
            if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["text"]:
                return True
        raise StandError(f"an answer of status {answer.status} without a token")
    finally:
        connection.close()


def _is_whole(pop: Pop, artifact: str) -> bool:
    return Shelf(pop.home / "artifacts").complete(ArtifactId(artifact))


@contextmanager
def _served(given: Stand) -> Iterator[None]:
    server = subprocess.Popen(
        given.holder.host.command(sys.executable, "-c", SERVE),
        cwd=given.weights.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    probe = given.links.hosts[HOSTS[SERIES]].command("curl", "-sI", given.url)
    try:
        until(lambda: not subprocess.run(probe, check=False, capture_output=True).returncode)
        yield
    finally:
        server.kill()
        server.wait()


def _run(words: list[str]) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise StandError(f"{words}: {done.stderr[-500:]}")


def measure(figures: Figures, weights: Path, turned: bool) -> None:
    """One round."""
    with (
        tempfile.TemporaryDirectory(prefix="coldstart-") as folder,
        stand(weights, Path(folder)) as given,
    ):
        for way in reversed(WAYS) if turned else WAYS:
            figures.take(way, "cold start", WAYS[way], given)
            if (took := figures.median(way, FIRST)) is not None:
                note(f"  {way}: first token after {took:.2f} s")
        figures.take(READING, "reading", reading, given)


def promises_of(figures: Figures) -> list[Promise]:
    """What was promised, from what was measured."""
    first, bound = figures.median(EARLY, FIRST), figures.median(SERIES, BOUND)
    ratios = {name: figures.median(READING, name) for name in ("from disk", "from memory")}
    return [
        at_most(
            "cold request to first token, beyond the transfer",
            [] if first is None or bound is None else [first - bound],
            0.5,
            "s",
            figures.reason("cold start", EARLY, SERIES),
        ),
        *(
            at_least(
                f"verified local read, {name}",
                [] if ratio is None else [ratio],
                0.9,
                "x a plain copy",
                figures.reason("reading", READING),
            )
            for name, ratio in ratios.items()
        ),
    ]


def gemma() -> Path:
    """The model of 253 MB that is in packages, put together.

    Raises:
        StandError: they are not installed, or other than they were.
    """
    whole = WEIGHTS / "gemma-3-270m-q4_k_m.gguf"
    if not whole.exists():
        parts = sorted(WEIGHTS.glob(f"lib/python3*/site-packages/*/data/{whole.name}.part*"))
        data = b"".join(part.read_bytes() for part in parts)
        if hashlib.sha256(data).hexdigest() != WEIGHTS_SHA256:
            raise StandError("the packages of bench/coldstart.txt: `make bench-coldstart`")
        write_whole(whole, data, mode=0o644)
    return whole


def main() -> None:
    """Measure, and print one JSON line."""
    end_on_signal()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", type=Path, help="A GGUF file, instead of one of 253 MB.")
    given = parser.parse_args()
    figures, why = Figures(), unavailable()
    weights = gemma() if given.weights is None else given.weights.resolve()
    size_mb = weights.stat().st_size / 1e6
    note(f"{weights.name}, {size_mb:.0f} MB")
    for number in range(given.rounds):
        note(f"round {number + 1} of {given.rounds}")
        if why:
            for way in (*WAYS, READING):
                figures.missing(way, EVERYTHING, why)
        else:
            measure(figures, weights, turned=bool(number % 2))
    names = (FIRST, BOUND, "verify", "load")
    rows = [[way, *(figures.median(way, name) for name in names)] for way in WAYS]
    print_table(["seconds", *names], rows)
    peers: dict[str, object] = {way: figures.document(way) for way in (*WAYS, READING)}
    peers |= {"weights": weights.name, "MB": round(size_mb)}
    print_report("coldstart", promises_of(figures), peers, given.rounds)


if __name__ == "__main__":
    main()
