"""A PoP in front of the stand's upstream, set up with its commands as its operator would.

It has a key with limits that are counted for each request and never reached, and one without. Two
models of the same upstreams differ in one thing: `stand` passes answers without receipts,
`stand-receipts` with them.
"""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from bench.stand.cores import MEASURED
from bench.stand.native import StandError, Upstream
from bench.stand.proxies import Absent, Proxy, asked
from bench.stand.running import pop
from littoral.adapters.models.records import directory_name, read_record, write_record
from littoral.terms.ids import model_name

__all__ = ["LIMITS", "LITTORAL", "Ours", "WITH_RECEIPTS", "add_models", "has_option", "started"]

LITTORAL = Path(sys.executable).parent / "littoral"
FREE, WITH_RECEIPTS = "stand", "stand-receipts"
LIMITS = (
    *("--requests-per-minute", "1000000000"),
    *("--tokens-per-minute", "1000000000000"),
    *("--tokens-per-day", "1000000000000"),
)


@dataclass(frozen=True, slots=True)
class Ours:
    """One running PoP, seen as three proxies."""

    free: Proxy
    """No receipts."""
    receipts: Proxy
    bare: Proxy
    """No receipts, and a key without limits."""

    def fault(self) -> str | None:
        """Why the difference between these says nothing about receipts."""
        try:
            heads = [asked(one)[0] for one in (self.free, self.receipts)]
        except (OSError, http.client.HTTPException) as error:
            return f"no answer: {error}"
        has = [head["Littoral-Receipt"] is not None for head in heads]
        if has == [False, True]:
            return None
        return "answers have receipts all the same" if has[0] else "no answer has a receipt"


def started(
    stack: ExitStack,
    name: str,
    home: Path,
    upstream: Upstream,
    *options: str,
    tls: tuple[str, str] | None = None,
) -> Ours | Absent:
    """A PoP that ends with the stack, or why there is none."""
    try:
        return stack.enter_context(ours(name, home, upstream, *options, tls=tls))
    except RuntimeError as error:
        return Absent(name, str(error))


def littoral(*arguments: str | Path) -> dict[str, object]:
    """Run one command to its end and take what it says as JSON.

    Raises:
        StandError: it failed.
    """
    done = subprocess.run([LITTORAL, *arguments, "--json"], capture_output=True, check=False)
    if done.returncode:
        raise StandError(f"`littoral {arguments[0]}` failed: {done.stderr.decode()[-300:]}")
    said = json.loads(done.stdout)
    assert isinstance(said, dict)
    return said


def has_option(option: str) -> bool:
    """Whether `littoral up` knows this option."""
    done = subprocess.run([LITTORAL, "up", "--help"], capture_output=True, text=True, check=True)
    return option in done.stdout


def set_up(home: Path, upstream: Upstream) -> tuple[str, str]:
    """Make the state directory of a PoP; returns a key with limits and one without."""
    add_models(home, upstream, FREE, WITH_RECEIPTS)
    limited = littoral("keys", "create", "limited", *LIMITS, "--home", home)["key"]
    unlimited = littoral("keys", "create", "unlimited", "--home", home)["key"]
    return str(limited), str(unlimited)


def add_models(home: Path, upstream: Upstream, *names: str) -> None:
    """Add models of this upstream; the one that is called `FREE` has no receipts."""
    first, second = (f"{url}/v1" for url in upstream.urls)
    for name in names:
        options = ("--name", name, "--upstream-model", "stand", "--kind", "chat")
        littoral("models", "add", f"upstream:{first}", *options, "--home", home)
        directory = home / "models" / directory_name(model_name(name))
        entry = read_record(directory).entry
        (one,) = entry.upstreams
        both = (one, replace(one, base_url=second))
        policy = replace(entry.relay, receipts=name != FREE)
        write_record(replace(entry, upstreams=both, relay=policy), directory)


@contextmanager
def ours(
    name: str, home: Path, upstream: Upstream, *options: str, tls: tuple[str, str] | None = None
) -> Iterator[Ours]:
    """A PoP on the measured core with these options of `littoral up`."""
    key, unlimited = set_up(home, upstream)
    secure = ("--tls-cert", tls[0], "--tls-key", tls[1]) if tls else ()
    with pop(home, "--models", "", *secure, *options, core=MEASURED) as started:
        port = urlsplit(str(started.said["url"])).port
        assert port is not None
        free = Proxy(name, port, key, started.process.pid, FREE, tls=tls is not None)
        yield Ours(free, replace(free, model=WITH_RECEIPTS), replace(free, key=unlimited))
