"""What a version of a model costs somebody who has its base: bytes on the wire, everything counted.

Two PoPs' movers in this process, with real stores and TLS between. One has the base and the
version, the other the base, and pulls the version from the first alone; a relay between them
counts. Beside that, in percent of the version: what must be fetched in fixed chunks of 1 MiB, in
chunks that are cut by content (FastCDC, 64 KiB and 1 MiB), and by a plain download. These are of
chunks alone, and everything else would come on top.

Models are made from fixed seeds (bench/stand/variants.py); the GGUF file is SmolLM2-135M.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import uvloop
from blake3 import blake3

from bench.stand.counted import counting
from bench.stand.measuring import Figures
from bench.stand.native import StandError
from bench.stand.proxies import PEERS_FOLDER
from bench.stand.report import Promise, at_least, at_most, note, print_report, print_table
from bench.stand.variants import Variant, bfloat16_variants, float32_variants, gguf_variants
from littoral.delivery.encoding import Encoding, Place, decoded, in_planes, with_base
from littoral.terms.delivery import PullStage
from tests.node.delivery.movers import acquainted, nodes

SHM = Path("/dev/shm")
MODELS = Path(".models/models")
MIB: Final = 1024 * 1024
CODED_BYTES: Final = 256 * 1024
"""Chunks whose encoding is timed: most are as large."""
RATES: Final = "rates"
FINE_TUNE: Final = "all trained, sigma 1e-03"
SLOW_BYTES_S: Final = 12_500_000
COLUMNS: Final = (
    ("ours %", "ours"),
    ("of changed", "of_changed"),
    ("fixed 1 MiB %", "fixed_1m"),
    ("CDC 64 KiB %", "cdc_64k"),
    ("CDC 1 MiB %", "cdc_1m"),
    ("plain %", "plain"),
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one pull took."""

    bytes: int
    """On the wire, both ways."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Terms:
    """How it is pulled."""

    tells_base: bool = True
    encoded: bool = True
    """Chunks may be sent in fewer bytes than they have."""
    bytes_per_s: float = 1e12
    """What the link between the two carries."""


async def pulled(base: Path, variant: Path, terms: Terms) -> Taken:
    """What goes between the two while the second pulls the version."""
    folder = base.parent / "pops"
    try:
        async with nodes(folder, 2) as (has, wants):
            for node in (has, wants):
                await node.pulled(f"file:{base}")
            had = await has.pulled(f"file:{variant}")
            if had.artifact is None:
                raise StandError(f"the version could not be taken: {had.error}")
            data = variant.read_bytes()
            variant.rename(variant.with_suffix(".away"))
            if not terms.encoded:
                has.uplink_bytes_s = 1e9
            async with counting(has.port, terms.bytes_per_s) as counted:
                has.port = counted.port
                acquainted(has, wants)
                told = f"file:{base}" if terms.tells_base else None
                began_s = time.monotonic()
                pull = await wants.pulled(had.artifact, told)
                seconds = time.monotonic() - began_s
                if pull.stage is not PullStage.DONE or pull.origin_bytes:
                    raise StandError(f"the pull ended otherwise: {pull}")
            with wants.store.shelf.hold(had.artifact) as held:
                if held.paths[0].read_bytes() != data:
                    raise StandError("what came is another file")
            return Taken(counted.bytes, seconds)
    finally:
        variant.with_suffix(".away").rename(variant)
        shutil.rmtree(folder)


def ours(base: Path, path: Path, variant: Variant) -> dict[str, float]:
    """What it costs between PoPs."""
    count = uvloop.run(pulled(base, path, Terms(tells_base=variant.tells_base))).bytes
    size, changed = len(variant.data), variant.changed_bytes
    found = {"ours": 100 * count / size, "plain": 100.0}
    return {**found, "of_changed": count / changed} if changed else found


def in_time(base: Path, path: Path) -> dict[str, float]:
    """Seconds that it takes over a link of 100 Mbit/s, and without encoding."""
    found = {}
    for name, encoded in (("seconds", True), ("raw_seconds", False)):
        terms = Terms(encoded=encoded, bytes_per_s=SLOW_BYTES_S)
        found[name] = uvloop.run(pulled(base, path, terms)).seconds
    return {**found, "of_raw_seconds": found["seconds"] / found["raw_seconds"]}


def fixed(base: bytes, variant: Variant) -> dict[str, float]:
    """What must be fetched in chunks at fixed distances."""
    held = {digest for digest, _ in _fixed(base)}
    missing = sum(size for digest, size in _fixed(variant.data) if digest not in held)
    return {"fixed_1m": 100 * missing / len(variant.data)}


def _fixed(data: bytes) -> Iterator[tuple[bytes, int]]:
    view = memoryview(data)
    for at in range(0, len(data), MIB):
        piece = view[at : at + MIB]
        yield blake3(piece).digest(), len(piece)


def by_content(base: Path, path: Path, name: str, mean_bytes: int) -> dict[str, float]:
    """What must be fetched in chunks that are cut by content."""
    python = PEERS_FOLDER / "dedupe/bin/python"
    if not python.exists():
        raise StandError("pyfastcdc is missing; `make bench-dedupe` installs it")
    script = Path(__file__).parent / "peers/content_cuts.py"
    said = subprocess.run(
        [python, script, base, path, str(mean_bytes)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if said.returncode:
        raise StandError(f"pyfastcdc failed: {said.stderr[-200:]}")
    return {name: 100 * int(said.stdout) / path.stat().st_size}


def measure(figures: Figures, folder: Path, base: bytes, variant: Variant) -> None:
    """One version."""
    base_path, path = folder / "base.model", folder / "version.model"
    suffix = ".gguf" if base.startswith(b"GGUF") else ".safetensors"
    base_path, path = base_path.with_suffix(suffix), path.with_suffix(suffix)
    base_path.write_bytes(base)
    path.write_bytes(variant.data)
    name = variant.name
    figures.take(name, "ours", ours, base_path, path, variant)
    if name == FINE_TUNE:
        figures.take(name, "in time", in_time, base_path, path)
    figures.take(name, "fixed", fixed, base, variant)
    for column, mean_bytes in (("cdc_64k", 64 * 1024), ("cdc_1m", MIB)):
        figures.take(name, "cdc", by_content, base_path, path, column, mean_bytes)
    note(f"  {name}: {figures.median(name, 'ours') or 0:.3g} % of {len(variant.data) / 1e6:.0f} MB")
    base_path.unlink()
    path.unlink()


def rates(base: bytes, trained: bytes) -> dict[str, float]:
    """MB/s of one core, in chunks as most are."""
    starts = range(len(base) // 2, len(base) // 2 + 64 * CODED_BYTES, CODED_BYTES)
    pairs = [(base[at : at + CODED_BYTES], trained[at : at + CODED_BYTES]) for at in starts]
    place = Place(0, 0)
    planes = [in_planes(one, 2) or b"" for one, _ in pairs]
    deltas = [with_base(other, place, one, 2) or b"" for one, other in pairs]

    def back(encoding: Encoding, bodies: list[bytes]) -> None:
        for body, (one, _) in zip(bodies, pairs, strict=True):
            decoded(encoding, body, CODED_BYTES, partial(_as_it_is, one))

    return {
        "planes_encode": _rate(lambda: [in_planes(one, 2) for one, _ in pairs]),
        "planes_decode": _rate(lambda: back(Encoding.PLANES, planes)),
        "delta_encode": _rate(lambda: [with_base(new, place, one, 2) for one, new in pairs]),
        "delta_decode": _rate(lambda: back(Encoding.DELTA, deltas)),
    }


def _as_it_is(data: bytes, _place: Place, _size_bytes: int) -> bytes:
    return data


def _rate(work: Callable[[], object]) -> float:
    began_s = time.process_time()
    work()
    return 64 * CODED_BYTES / 1e6 / max(time.process_time() - began_s, 1e-6)


def promises_of(figures: Figures) -> list[Promise]:
    """What was promised, from what was measured."""
    limits = (
        ("metadata edited", "ours", 0.1, "%"),
        ("tensors reordered", "ours", 0.1, "%"),
        ("one layer trained", "of_changed", 1.1, "x what changed"),
        ("LoRA merged", "of_changed", 1.1, "x what changed"),
        (FINE_TUNE, "ours", 45.0, "%"),
        (FINE_TUNE, "of_raw_seconds", 0.5, "x the time without encoding, at 100 Mbit/s"),
        ("another bf16 model", "ours", 70.0, "%"),
    )
    promises = [
        at_most(
            f"{name}, time" if key == "of_raw_seconds" else name,
            _median(figures, name, key),
            limit,
            unit,
            figures.reason("ours", name),
        )
        for name, key, limit, unit in limits
    ]
    for key in ("planes_encode", "planes_decode", "delta_encode", "delta_decode"):
        values = _median(figures, RATES, key)
        promises.append(at_least(key.replace("_", ", "), values, 200.0, "MB/s of one core"))
    return promises


def _median(figures: Figures, target: str, name: str) -> list[float]:
    value = figures.median(target, name)
    return [] if value is None else [value]


def measure_all(figures: Figures, folder: Path, rounds: int) -> list[str]:
    """Everything; the names of all versions. Bytes are the same in each round, rates are not."""
    names = []
    for made in (bfloat16_variants, float32_variants):
        base, variants = made()
        for variant in variants:
            measure(figures, folder, base, variant)
            names.append(variant.name)
            if variant.name == FINE_TUNE:
                for _ in range(rounds):
                    figures.take(RATES, RATES, rates, base, variant.data)
    found = next(MODELS.glob("smollm2-135m/*.gguf"), None)
    if found is None:
        figures.missing("GGUF metadata edited", "ours", f"no SmolLM2 in {MODELS}: `make models`")
    else:
        base = found.read_bytes()
        for variant in gguf_variants(base):
            measure(figures, folder, base, variant)
    return [*names, "GGUF metadata edited"]


def main() -> None:
    """Measure everything and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of rates; bytes are always the same")
    options = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory(dir=SHM if SHM.exists() else None) as folder:
        names = measure_all(figures, Path(folder), options.rounds)
    rows = [[name, *(figures.median(name, key) for _, key in COLUMNS)] for name in names]
    print_table(["", *(title for title, _ in COLUMNS)], rows)
    print_report(
        "dedupe",
        promises_of(figures),
        {name: figures.document(name) for name in (*names, RATES)},
        options.rounds,
    )


if __name__ == "__main__":
    main()
