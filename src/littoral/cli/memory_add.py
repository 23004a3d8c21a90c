"""`littoral memory add`: files into a collection, which is made if it is not there.

Files are read and cut on this machine; the PoP gets passages, embeds them and keeps them.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Final

import msgspec
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from littoral.adapters.clock import SystemClock
from littoral.adapters.documents import Sources, found_sources
from littoral.adapters.documents.added import added_book
from littoral.adapters.documents.kinds import printable
from littoral.adapters.models import Catalogue, bring_in, offers
from littoral.cli.progress import progress_shown
from littoral.cli.show import HomeOption, JsonOption, Show, command
from littoral.cli.talk import pop_client
from littoral.cli.upstreams import catalogue_at
from littoral.memory.passages import Cutting
from littoral.node.asking import PopClient
from littoral.node.config import Config, load_config
from littoral.node.memory import importing
from littoral.node.memory.importing import Importer, Wish, tokenizer_of
from littoral.node.memory.mirroring import Gone, Mirror, check_folders
from littoral.node.memory.remote import Remote, remote_collection
from littoral.terms.errors import (
    BadRequestError,
    ConflictError,
    LittoralError,
    NotFoundError,
    UnknownModelError,
)
from littoral.terms.ids import ModelName, model_name
from littoral.terms.limits import PASSAGE_CHARS, PASSAGE_CHARS_MAX
from littoral.terms.memory import CollectionShown, CollectionSpec
from littoral.terms.values import ModelEntry
from littoral.web.memory.native import MEMORY

__all__ = ["register"]

_DEFAULT_MODEL: Final = "all-minilm-l6-v2"
_LINE_EVERY_S: Final = 5.0
"""Away from a terminal, a line is printed this often."""
_SHOWN_MAX: Final = 20
"""Files that were not taken, of which each has a line."""

_Report = Callable[[importing.Progress], None]


def register(memory: typer.Typer) -> None:
    """Add the command to `littoral memory`."""
    memory.command("add")(add)


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The collection's name.")],
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILES...", help="Files, folders, or patterns such as 'docs/**'."),
    ],
    *,
    model: Annotated[
        str | None,
        typer.Option(help=f"Embeds what is added to a new collection. Default: {_DEFAULT_MODEL}."),
    ] = None,
    about: Annotated[str, typer.Option(help="What a new collection is about.")] = "",
    label: Annotated[
        list[str] | None,
        typer.Option(help="Only keys with one of these labels find the passages; repeat."),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Kept with each passage, to filter by; repeat."),
    ] = None,
    chunk: Annotated[
        int, typer.Option(min=50, max=PASSAGE_CHARS_MAX, help="Characters of a passage, at most.")
    ] = PASSAGE_CHARS,
    overlap: Annotated[
        int, typer.Option(min=0, help="Characters of the passage before, in each, at most.")
    ] = 0,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Drop documents added from these folders whose files are gone."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what --prune would drop, and do nothing else."),
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add files to a collection. Unchanged ones cost nothing; broken off, it goes on when repeated.

    Uses the PoP that runs on the home, or starts one for the while.
    """
    with command(as_json=as_json) as show:
        if dry_run and not prune:
            raise BadRequestError(
                "only what --prune would drop can be said beforehand", advice="give both"
            )
        if overlap > chunk // 2:
            raise BadRequestError(
                "passages would have more of the one before than of their own",
                advice=f"give --overlap of at most {chunk // 2}",
            )
        wish = Wish(
            cutting=Cutting(chars=chunk, overlap=overlap),
            metadata=_metadata(metadata or ()),
            labels=tuple(dict.fromkeys(label or ())),
        )
        sources = _found(files, prune=prune)
        spec = CollectionSpec(name=name, embedding=model_name(model or _DEFAULT_MODEL), about=about)
        adding = _Adding(show, load_config({"home": home}), spec, model is not None)
        if dry_run:
            adding.say(sources)
        else:
            adding.take(sources, wish, prune=prune)


def _found(files: Sequence[str], *, prune: bool) -> Sources:
    sources = found_sources(files)
    if not sources.files:
        raise BadRequestError(
            "there is no file of a kind that is read", advice="name a file to have it taken"
        )
    if prune:
        check_folders(sources)
    return sources


class _Adding:
    """One run of the command."""

    def __init__(self, show: Show, config: Config, spec: CollectionSpec, model_named: bool) -> None:
        self._show = show
        self._config = config
        self._spec = spec
        self._model_named = model_named
        self._catalogue: Catalogue = catalogue_at(str(config.home))

    def say(self, sources: Sources) -> None:
        """Say which documents would be dropped."""
        gone = asyncio.run(self._look(sources))
        self._show.data({"collection": self._spec.name, "dry_run": True, **_dropped(gone)})

    def take(self, sources: Sources, wish: Wish, *, prune: bool) -> None:
        """Do what was asked for, and say what came of it."""
        # uvloop would leave a terminal that it has watched non-blocking, for the shell too.
        try:
            done, gone = asyncio.run(self._run(sources, wish, prune=prune))
        except KeyboardInterrupt:
            self._show.note("broken off; what is done is kept, and the same command goes on")
            raise
        document = _document(self._spec.name, done, sources)
        self._show.data({**document, **(_dropped(gone) if prune else {})})
        if done.failed or sources.unlisted:
            raise typer.Exit(BadRequestError.exit_code)

    async def _look(self, sources: Sources) -> list[Gone]:
        model = self._spec.embedding
        assert model is not None
        async with pop_client(self._config, model, self._show) as client:
            collection = await remote_collection(client, self._spec.name)
            with added_book(self._config.home) as book:
                return await self._drop(Mirror(collection, book, sources), dry=True)

    async def _run(
        self, sources: Sources, wish: Wish, *, prune: bool
    ) -> tuple[importing.Progress, list[Gone]]:
        """Take the files in; then drop what was of files that are gone, if that is wanted."""
        model = self._spec.embedding
        assert model is not None
        async with pop_client(self._config, model, self._show) as client:
            collection = await self._opened(client, model)
            entry = self._entry(collection.spec.embedding)
            tokenizer, tokens_max = tokenizer_of(entry)
            wish = replace(
                wish,
                tokenizer=tokenizer,
                tokens_max=tokens_max,
                context_tokens=entry.context_tokens if entry is not None else 0,
            )
            with added_book(self._config.home) as book:
                mirror = Mirror(collection, book, sources)
                mirror.begin()
                with _shown(self._show) as report:
                    importer = Importer(collection, wish, clock=SystemClock(), tell=report)
                    try:
                        done = await importer.run(sources.files)
                    finally:
                        mirror.keep(importer.taken)
                _tell(self._show, collection.spec.name, done, sources)
                return done, await self._drop(mirror) if prune else []

    async def _drop(self, mirror: Mirror, *, dry: bool = False) -> list[Gone]:
        """Drop what is to go, and tell each."""
        found = []
        async for gone in mirror.drop(dry=dry):
            _tell_gone(self._show, gone, dry=dry)
            found.append(gone)
        documents = sum(bool(gone.passages) for gone in found)
        passages = sum(gone.passages for gone in found)
        would = "would be dropped" if dry else "dropped"
        said = f"{documents:,} documents whose files are gone {would}, {passages:,} passages"
        self._show.line(f"{self._spec.name}: {said}")
        return found

    async def _opened(self, client: PopClient, model: ModelName) -> Remote:
        """The collection, made if it is not there."""
        name = self._spec.name
        try:
            found = await remote_collection(client, name)
        except NotFoundError:
            if model in {offer.name for offer in offers()}:  # others the PoP knows, or nobody
                with progress_shown(self._show) as progress:
                    await asyncio.to_thread(bring_in, self._catalogue, [model], progress)
            await client.post(MEMORY, self._spec, CollectionShown)
            self._show.note(f"made the collection {name}; {model} embeds what is added")
            return await remote_collection(client, name)
        if self._model_named and found.spec.embedding != model:
            raise ConflictError(
                f"{name} is embedded by {found.spec.embedding or 'no model'}",
                advice="leave --model out, or make another collection",
            )
        return found

    def _entry(self, model: ModelName | None) -> ModelEntry | None:
        """The model, if it is on this machine: then its tokenizer is too."""
        try:
            return self._catalogue.get(model) if model is not None else None
        except UnknownModelError:
            return None


def _metadata(pairs: Sequence[str]) -> dict[str, object]:
    """What `key=value` says: numbers, true and false as such, all else as text."""
    found: dict[str, object] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key or key.startswith("$"):
            raise BadRequestError(
                f"--metadata {pair[:80]!r} is not KEY=VALUE", advice="write as in year=2026"
            )
        try:
            found[key] = msgspec.json.decode(value, type=bool | int | float)
        except (msgspec.DecodeError, msgspec.ValidationError):
            found[key] = value
    return found


@contextmanager
def _shown(show: Show) -> Iterator[_Report]:
    """Shows how far an import is: a bar on a terminal, now and then a line elsewhere."""
    if not show.err.is_terminal:
        yield _Lines(show)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:3.0f}%"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=show.err, transient=True) as progress:
        task = progress.add_task("reading", total=None)

        def report(now: importing.Progress) -> None:
            progress.update(
                task, description=_line(now), completed=now.bytes_done, total=now.bytes_total
            )

        yield report


class _Lines:
    def __init__(self, show: Show) -> None:
        self._show = show
        self._next_s = _LINE_EVERY_S

    def __call__(self, now: importing.Progress) -> None:
        if now.elapsed_s >= self._next_s:
            self._next_s = now.elapsed_s + _LINE_EVERY_S
            left = f", about {now.left_s:.0f} s left" if now.left_s is not None else ""
            self._show.note(_line(now) + left)


def _line(now: importing.Progress) -> str:
    return f"{now.files_done:,} of {now.files:,} files, {now.passages:,} passages, {now.rate:.0f}/s"


def _tell(show: Show, name: str, done: importing.Progress, sources: Sources) -> None:
    for file, error in done.failures[:_SHOWN_MAX]:
        show.note(f"not taken: {_told(file, error)}", style="red")
    if done.failed > _SHOWN_MAX:
        show.note(f"not taken: {done.failed - _SHOWN_MAX:,} more files", style="red")
    for folder, why in sources.unlisted[:_SHOWN_MAX]:
        show.note(f"not looked into: {printable(folder)} ({why})", style="red")
    if sources.passed_over:
        show.note(f"passed over: {sources.passed_over:,} files of kinds that are not read")
    parts = {
        "new passages": done.passages,
        "moved": done.moved,
        "unchanged": done.unchanged,
        "no more": done.gone,
    }
    said = ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)
    show.line(f"{name}: {done.files_done:,} of {done.files:,} files; {said or 'nothing to do'}")
    if done.beyond:
        show.note(
            f"{done.beyond:,} records have more text than the model reads: by meaning they are "
            "found by their beginning, by words by all of it"
        )
    if done.passages:
        show.line(f"in {done.elapsed_s:.1f} s, {done.rate:.0f} passages a second")


def _told(file: str, error: LittoralError) -> str:
    return f"{error}" if file in error.message else f"{file}: {error}"


def _tell_gone(show: Show, gone: Gone, *, dry: bool) -> None:
    if gone.why_not:
        show.note(f"stays: {gone.document} ({gone.why_not})")
        return
    if gone.passages:
        verb = "would drop" if dry else "dropped"
        show.line(f"{verb} {gone.document}: {gone.passages:,} passages")
    if gone.left:
        show.note(f"{gone.document}: {gone.left:,} records that came in another way stay")
    if gone.records:
        show.note(f"{gone.document} is gone; its records have ids of their own, and stay")


def _dropped(gone: Sequence[Gone]) -> Mapping[str, object]:
    return {
        "dropped": [
            {"document": each.document, "passages": each.passages} for each in gone if each.passages
        ],
        "stay": [
            {"document": each.document, "records": each.left, "why": each.why_not}
            for each in gone
            if each.why_not or each.left
        ],
    }


def _document(name: str, done: importing.Progress, sources: Sources) -> Mapping[str, object]:
    return {
        "collection": name,
        "files": done.files,
        "files_done": done.files_done,
        "files_passed_over": sources.passed_over,
        "folders_not_listed": len(sources.unlisted),
        "passages": done.passages,
        "moved": done.moved,
        "unchanged": done.unchanged,
        "gone": done.gone,
        "longer_than_the_model_reads": done.beyond,
        "failed": done.failed,
        "failures": [
            {"file": file, "code": error.code, "message": error.message, "advice": error.advice}
            for file, error in done.failures
        ],
        "elapsed_s": round(done.elapsed_s, 3),
    }
