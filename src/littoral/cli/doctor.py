"""`littoral doctor`: is this machine set up, and if not, what to do."""

import importlib.metadata
import platform
import resource
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import typer

import littoral
from littoral.adapters.clock import SystemClock
from littoral.adapters.cores import granted_cores, granted_memory_bytes
from littoral.adapters.identity import open_identity
from littoral.adapters.models import Catalogue
from littoral.adapters.store import open_store
from littoral.cli.options import with_settings
from littoral.cli.show import JsonOption, Show, command
from littoral.node.config import Config
from littoral.node.home import Home
from littoral.placement.fit import memory_needed
from littoral.placement.threads import threads_for
from littoral.terms.errors import LittoralError

__all__ = ["register"]

DISK_BYTES_MIN: Final = 500_000_000
"""The default models with their packages while they are taken apart."""

FILES_MIN: Final = 1_024
"""Open files: each connection is one, each engine a few."""

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    verdict: Verdict
    found: str
    remedy: str = ""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(with_settings(doctor))


def doctor(config: Config, as_json: JsonOption = False) -> None:
    """Check this machine, the state directory and the models, and say what to mend."""
    with command(as_json=as_json) as show:
        findings = [finding for check in _CHECKS for finding in _run(check, config)]
        show.data({"findings": findings})
        _print(show, findings)
        failed = sum(finding.verdict == "fail" for finding in findings)
        if failed:
            show.note(f"{failed} of {len(findings)} checks failed", style="red")
            raise typer.Exit(1)


def _run(check: Callable[[Config], Iterator[Finding]], config: Config) -> Iterator[Finding]:
    try:
        yield from check(config)
    except LittoralError as error:
        yield Finding(check.__name__.strip("_"), "fail", error.message, error.advice)


def _print(show: Show, findings: list[Finding]) -> None:
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    for finding in findings:
        show.line(
            f"{finding.verdict:5} {finding.what:14} {finding.found}",
            style=colours[finding.verdict],
        )
        if finding.remedy and finding.verdict != "ok":
            show.line(f"      {'':14} -> {finding.remedy}")


def _python(_: Config) -> Iterator[Finding]:
    yield Finding("littoral", "ok", f"{littoral.__version__} on Python {platform.python_version()}")


def _engines(_: Config) -> Iterator[Finding]:
    for package, extra, purpose in (
        ("xllamacpp", "llama", "chat models (GGUF)"),
        ("onnxruntime", "onnx", "embedding models (ONNX)"),
    ):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            remedy = f"pip install 'littoral[{extra}]'"
            yield Finding(package, "warn", f"not installed: no {purpose}", remedy)
        else:
            yield Finding(package, "ok", f"{version}, for {purpose}")


def _cores(config: Config) -> Iterator[Finding]:
    cores = granted_cores()
    threads = threads_for(cores, config.threads)
    yield Finding("cores", "ok", f"{cores:g} granted; engines get {threads} threads")


def _memory(config: Config) -> Iterator[Finding]:
    free = granted_memory_bytes()
    need = sum(
        memory_needed(entry, config.kv_tokens)
        for entry in Catalogue(Home(config.home).models).entries()
        if entry.name in config.models
    )
    found = f"{free / 1e9:.1f} GB free; the models kept loaded need {need / 1e9:.1f} GB"
    remedy = "stop other programs, lower --kv-tokens, or keep fewer models with --models"
    yield Finding("memory", "ok" if free > need else "fail", found, remedy)


def _disk(config: Config) -> Iterator[Finding]:
    there = next(path for path in (config.home, *config.home.parents) if path.exists())
    free = shutil.disk_usage(there).free
    verdict: Verdict = "ok" if free > DISK_BYTES_MIN else "warn"
    remedy = "free some, or put the state elsewhere with --home"
    yield Finding("disk", verdict, f"{free / 1e9:.1f} GB free at {there}", remedy)


def _home(config: Config) -> Iterator[Finding]:
    home = Home(config.home)
    home.make()
    identity = open_identity(home.path, SystemClock())
    yield Finding("home", "ok", f"{home.path}, of {identity.pop_id}")


def _receipts(config: Config) -> Iterator[Finding]:
    with open_store(config.home) as store:
        store.receipts.try_out()
    yield Finding("receipts", "ok", "can be kept")


def _models(config: Config) -> Iterator[Finding]:
    catalogue = Catalogue(Home(config.home).models)
    for entry in catalogue.entries():
        if entry.files:
            catalogue.check_files(entry)
            yield Finding("model", "ok", f"{entry.name}: files are the ones that were added")
    for error in catalogue.damaged():
        yield Finding("model", "fail", error.message, error.advice)


def _port(config: Config) -> Iterator[Finding]:
    running = Home(config.home).running()
    if running is not None:
        yield Finding("PoP", "ok", f"runs here as process {running.pid}, at {running.url}")
        return
    with socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            found = f"{config.host}:{config.port} can't be used: {error.strerror}"
            yield Finding("port", "fail", found, "choose another with --port")
        else:
            yield Finding("port", "ok", f"{config.host}:{config.port} is free")


def _files(_: Config) -> Iterator[Finding]:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    verdict: Verdict = "ok" if soft >= FILES_MIN else "warn"
    yield Finding("open files", verdict, f"at most {soft}", f"ulimit -n {FILES_MIN} or more")


_CHECKS: Final = (
    _python,
    _engines,
    _cores,
    _memory,
    _disk,
    _home,
    _receipts,
    _models,
    _port,
    _files,
)
