"""The same as deliveries.py, as others do it: aria2, libtorrent, each PoP alone from the origin.

BitTorrent peers have one seed in the origin's place, and pieces of 1 MiB. aria2 has a tracker, and
is started as the clock starts, which takes it some 20 ms; libtorrent is told of all peers.
"""

import hashlib
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from bench.stand.deliveries import END_WAIT_S, Clock, Goods, ends_of, fetching, origin, started
from bench.stand.lab import Lab
from bench.stand.native import StandError
from bench.stand.proxies import PEERS_FOLDER, environment, program
from bench.stand.running import running
from bench.stand.tracker import TRACKER_PORT

__all__ = ["ALONE_PART", "alone", "aria2", "aria2_encrypted", "torrent"]

ALONE_PART = 8
"""Each PoP alone gets only the first such part of the file: the whole takes N times as long."""
PIECE_BYTES = 1024 * 1024
ARIA2 = (
    *("--enable-dht=false", "--enable-peer-exchange=false", "--bt-enable-lpd=false"),
    *("--seed-ratio=0", "--file-allocation=none", "--bt-tracker-interval=1"),
    *("--listen-port=6881", "--disable-ipv6=true", "--bt-max-peers=0", "--no-conf=true"),
    *("--console-log-level=error", "--summary-interval=0"),
)


def metainfo(given: Goods, tracker: str) -> bytes:
    """The torrent of the file."""
    pieces = bytearray()
    with given.path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            pieces += hashlib.sha1(piece, usedforsecurity=False).digest()
    name = given.path.name.encode()
    info = b"d6:lengthi%de4:name%d:%b12:piece lengthi%de6:pieces%d:%be" % (
        given.size_bytes,
        len(name),
        name,
        PIECE_BYTES,
        len(pieces),
        bytes(pieces),
    )
    url = tracker.encode()
    return b"d8:announce%d:%b4:info%be" % (len(url), url, info)


@contextmanager
def _torrent_of(lab: Lab, given: Goods) -> Iterator[Path]:
    path = given.folder / "file.torrent"
    path.write_bytes(metainfo(given, f"http://{lab.origin.address}:{TRACKER_PORT}/announce"))
    try:
        yield path
    finally:
        path.unlink()


def _folders(lab: Lab, given: Goods) -> list[Path]:
    folders = [given.folder / f"swarm{number}" for number in range(len(lab.pops))]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    return folders


def aria2(lab: Lab, given: Goods, options: Sequence[str] = ()) -> dict[str, float]:
    """The swarm of aria2, with such options beside the usual ones."""
    command = program("aria2c")
    if command is None:
        raise StandError("aria2 is not installed")
    folders = _folders(lab, given)
    hook = given.folder / "whole.sh"
    hook.write_text('#!/bin/sh\ntouch "$(dirname "$3").whole"\n')
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    words = [sys.executable, "-m", "bench.stand.tracker"]
    with (
        _torrent_of(lab, given) as torrent_file,
        running(lab.origin.command(*words)),
        ExitStack() as stack,
    ):

        def run(host_words: list[str]) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(host_words, env=environment(), stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        seed = ["-V", "-d", str(given.path.parent), str(torrent_file)]
        seeding = run(lab.origin.command(command, *ARIA2, *options, *seed))
        _until_it_listens(lab)
        clock = Clock(lab, [seeding.pid])
        pids = [
            run(
                host.command(
                    *(command, *ARIA2, *options, "-d", str(folder)),
                    *(f"--on-bt-download-complete={hook}", str(torrent_file)),
                )
            ).pid
            for host, folder in zip(lab.pops, folders, strict=True)
        ]
        clock.add(pids)
        marks = [folder.with_suffix(".whole") for folder in folders]
        ends = _seen(marks, clock.began_s)
        taken = clock.stop(given, ends)
    for mark in marks:
        mark.unlink()
    given.check([folder / given.path.name for folder in folders])
    return taken


def aria2_encrypted(lab: Lab, given: Goods) -> dict[str, float]:
    """The same, with what it has to keep others from reading along: RC4, without a proof of who."""
    return aria2(lab, given, ("--bt-require-crypto=true", "--bt-min-crypto-level=arc4"))


def _until_it_listens(lab: Lab) -> None:
    words = lab.origin.command("sh", "-c", "cat /proc/net/tcp")
    port = ":1AE1 "  # 6881
    deadline = time.perf_counter() + END_WAIT_S
    while port not in subprocess.run(words, check=True, capture_output=True, text=True).stdout:
        if time.perf_counter() > deadline:
            raise StandError("the seed does not listen")
        time.sleep(0.05)


def _seen(marks: list[Path], began_s: float) -> dict[int, float]:
    ends: dict[int, float] = {}
    while len(ends) < len(marks):
        now_s = time.perf_counter() - began_s
        if now_s > END_WAIT_S:
            raise StandError(f"only {len(ends)} of {len(marks)} had all after {END_WAIT_S:g} s")
        for number, mark in enumerate(marks):
            if number not in ends and mark.exists():
                ends[number] = now_s
        time.sleep(0.01)
    return ends


def torrent(lab: Lab, given: Goods) -> dict[str, float]:
    """The swarm of libtorrent."""
    python = PEERS_FOLDER / "delivery/bin/python"
    if not python.exists():
        raise StandError("libtorrent is not installed")
    folders = _folders(lab, given)
    script = str(Path(__file__).parent.parent / "peers/torrent.py")
    with _torrent_of(lab, given) as torrent_file, ExitStack() as stack:
        base = [str(python), script, str(torrent_file)]
        seed = [*base, str(given.path.parent), lab.origin.address, "seed"]
        seeding = stack.enter_context(running(lab.origin.command(*seed)))
        addresses = [lab.origin.address, *(host.address for host in lab.pops)]
        peers = []
        for host, folder in zip(lab.pops, folders, strict=True):
            others = [each for each in addresses if each != host.address]
            words = [*base, str(folder), host.address, "get", *others]
            peers.append(stack.enter_context(running(host.command(*words))))
        clock = Clock(lab, [seeding.process.pid, *(each.process.pid for each in peers)])
        started(peers)
        said = ends_of(peers, clock.began_s)
        taken = clock.stop(given, {number: end for number, (end, _) in said.items()})
    given.check([folder / given.path.name for folder in folders])
    return taken


def alone(lab: Lab, given: Goods) -> dict[str, float]:
    """A part of the file to each PoP from the origin, as without any of this."""
    part = replace(given, size_bytes=given.size_bytes // ALONE_PART)
    ends: dict[int, float] = {}
    with origin(lab, part) as source:
        clock = Clock(lab, [source])

        def fetch(number: int) -> None:
            words = fetching(lab, part, number)
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            ends[number] = time.perf_counter() - clock.began_s

        threads = [
            threading.Thread(target=fetch, args=(number,)) for number in range(len(lab.pops))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = clock.stop(part, ends)
    part.check([part.copy(number) for number in range(len(lab.pops))])
    return {name: value for name, value in taken.items() if not name.startswith("cpu")}
