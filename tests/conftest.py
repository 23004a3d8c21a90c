"""What many tests share: real models on disk, and one real PoP that serves them."""

import gc
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from littoral.adapters.models import Catalogue
from littoral.terms.values import ModelEntry

settings.register_profile("littoral", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("littoral")

for number, usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        # A shell that runs tests in the background, or `nohup`, has them ignored here and by all
        # that tests start and mean to end so.
        signal.signal(number, usual)

ROOT = Path(__file__).parent.parent
CHAT_MODEL = "smollm2-135m"
EMBED_MODEL = "all-minilm-l6-v2"


def pytest_collection_finish() -> None:
    """What was imported stays: the collector need not look at it again and again."""
    gc.freeze()


@dataclass(frozen=True)
class RunningPop:
    """A PoP in a process of its own, as a user runs it."""

    url: str
    key: str
    """Empty unless this was the home's first start."""
    home: Path
    pid: int


@pytest.fixture(scope="session")
def models_home() -> Path:
    """A home that holds the real models; `make test` fills it once."""
    home = Path(os.environ.get("LITTORAL_TEST_MODELS", ROOT / ".models"))
    missing = [
        name
        for name in (CHAT_MODEL, EMBED_MODEL)
        if not (home / "models" / name / "entry.json").exists()
    ]
    if missing:
        pytest.fail(f"{', '.join(missing)} not in {home}: run `make models`, or `make test`")
    return home


@pytest.fixture(scope="session")
def smollm2(models_home: Path) -> ModelEntry:
    """The chat model, really on disk."""
    return Catalogue(models_home / "models").get(CHAT_MODEL)


@pytest.fixture(scope="session")
def minilm(models_home: Path) -> ModelEntry:
    """The embedding model, really on disk."""
    return Catalogue(models_home / "models").get(EMBED_MODEL)


@pytest.fixture(scope="session")
def pop(models_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPop]:
    """One PoP for all tests that only ask: `littoral up` with the real models, on a free port."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(models_home / "models")
    with started_pop(home) as running:
        yield running


class started_pop:  # noqa: N801 - used as a context manager, like a function
    """`littoral up --json` as a child process, ready; stopped with Ctrl-C's signal at the end."""

    def __init__(
        self,
        home: Path,
        *options: str,
        models: str | None = None,
        joins: str | None = None,
        log: Path | None = None,
        files_max: int | None = None,
    ) -> None:
        """Start it.

        Args:
            home: its state directory.
            options: of `littoral up`.
            models: the `models` setting.
            joins: a ticket by which it joins a fabric first.
            log: where its standard error goes; without one it is kept for a failed start.
            files_max: open files that it may have.
        """
        how = ["up"] if joins is None else ["join", joins]
        command = [sys.executable, "-m", "littoral.cli", *how, "--json", "--port", "0"]
        command += ["--home", str(home), *options]
        if models is not None:
            command += ["--models", models]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LITTORAL_")}
        self.home = home
        with log.open("wb") if log is not None else nullcontext(subprocess.PIPE) as errors:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
                start_new_session=True,
            )
        if files_max is not None:
            resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (files_max, files_max))

    def __enter__(self) -> RunningPop:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate(timeout=10)
            raise RuntimeError(f"the PoP did not start: {errors}")
        ready = json.loads(line)
        assert ready.get("ready"), ready
        return RunningPop(ready["url"], ready["key"] or "", self.home, ready["pid"])

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
