"""`littoral cache`: look at the answers that are kept, and drop some.

A running PoP heeds it at once. Both work whether or not a PoP runs on the home.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from littoral.adapters.answers import AnswerStore, CacheBounds, Totals, has_answers
from littoral.adapters.clock import SystemClock
from littoral.adapters.reuse import REUSE_FILE, open_questions
from littoral.adapters.store import open_store
from littoral.cache.answers import Selector, answer_key_of
from littoral.cli.show import HomeOption, JsonOption, command, sized
from littoral.node.config import Config, load_config
from littoral.terms.errors import BadRequestError, NotFoundError, StoreError
from littoral.terms.ids import KeyId, model_name
from littoral.terms.values import SECOND, Caller

__all__ = ["register"]

_cache = typer.Typer(no_args_is_help=True, help="Look at the answers that are kept, or drop some.")

_KEY_ID: Final = re.compile(r"k[a-z2-7]{12}")


def register(app: typer.Typer) -> None:
    """Add `cache` to the command line."""
    app.add_typer(_cache, name="cache")


@_cache.command("stats")
def stats(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show what is kept, and how often it was asked for."""
    with command(as_json=as_json) as show, _opened(load_config({"home": home})) as store:
        totals = store.stats().totals
        if totals is None:
            raise StoreError(store.failure or "the answer cache can't be read")
        show.data(totals)
        bound = f" of {sized(totals.bytes_max)}" if totals.bytes_max else ""
        show.line(f"{totals.entries:,} entries, {sized(totals.used_bytes)}{bound} on disk")
        show.line(f"{_share(totals)} since {_day(totals.since_unix_ns)}; {_gone(totals)}")
        show.table(
            ("model", "entries", "size", "hits", "misses"),
            [
                (
                    line.model,
                    f"{line.entries:,}",
                    sized(line.bytes),
                    f"{line.hits:,}",
                    f"{line.misses:,}",
                )
                for line in totals.models
            ],
        )


@_cache.command("purge")
def purge(
    key: Annotated[
        str | None, typer.Option(help="What this API key paid for: its id or its name.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Answers of this model.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Answers of this tenant's keys.")] = None,
    tag: Annotated[str | None, typer.Option(help="Answers with this tag.")] = None,
    answer: Annotated[
        str | None, typer.Option(help="One answer: the key that its response named.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every answer.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Drop answers, at once and in every process. Of several options, an answer must meet all."""
    with command(as_json=as_json) as show:
        given = [key, model, tenant, tag, answer]
        if everything == any(one is not None for one in given):
            raise BadRequestError(
                "what is to be dropped is not clear",
                advice="give --all alone, or some of --key, --model, --tenant, --tag, --answer",
            )
        config = load_config({"home": home})
        with _opened(config) as store:
            selectors = [
                Selector(
                    answer=None if answer is None else answer_key_of(answer),
                    key_id=key_id,
                    model=None if model is None else model_name(model),
                    scope=None if tenant is None else _scope_of(tenant),
                    tag=tag,
                )
                for key_id in _key_ids(config, key)
            ]
            dropped = [store.purge(selector) for selector in selectors]
            questions = _without_answers(config, store)
        entries, size = (sum(numbers) for numbers in zip(*dropped, strict=True))
        of_reuse = f", {questions:,} questions" if questions else ""
        show.line(f"dropped {entries:,} entries, {sized(size)}{of_reuse}")
        show.data({"entries": entries, "bytes": size, "questions": questions})


def _without_answers(config: Config, store: AnswerStore) -> int:
    """Drop the questions whose answers are gone; how many."""
    if not (config.home / REUSE_FILE).exists():
        return 0
    with closing(open_questions(config.home)) as book:
        return book.sweep(store.keeps)


@contextmanager
def _opened(config: Config) -> Iterator[AnswerStore]:
    """The cache of a home that has one."""
    if not has_answers(config.home):
        raise NotFoundError(
            f"there is no answer cache in {config.home}",
            advice="a PoP makes one when it starts; name another home with --home",
        )
    store = AnswerStore(config.home, CacheBounds(memory_bytes=0), clock=SystemClock())
    try:
        yield store
    finally:
        store.close()


def _key_ids(config: Config, key: str | None) -> Sequence[KeyId | None]:
    """Every API key of this id or name; one that is long gone by its id only."""
    if key is None:
        return [None]
    with open_store(config.home, create=False) as store:
        found = [each.key_id for each in store.keys.list() if key in {each.key_id, each.name}]
    if found:
        return found
    if _KEY_ID.fullmatch(key):
        return [KeyId(key)]
    raise NotFoundError(
        f"there is no key of id or name {key!r}", advice="`littoral keys list` shows them all"
    )


def _scope_of(tenant: str) -> str:
    if not tenant:
        raise BadRequestError("a tenant has a name", advice="give it with --tenant")
    return Caller(KeyId(""), "", tenant=tenant).scope


def _share(totals: Totals) -> str:
    hits = sum(line.hits for line in totals.models)
    asked = hits + sum(line.misses for line in totals.models)
    return f"{hits:,} hits of {asked:,} look-ups" + (f" ({hits / asked:.0%})" if asked else "")


def _gone(totals: Totals) -> str:
    damaged = f", {totals.damaged:,} damaged" if totals.damaged else ""
    return f"{totals.evicted:,} made room for others{damaged}"


def _day(unix_ns: int) -> str:
    return datetime.fromtimestamp(unix_ns // SECOND, UTC).strftime("%Y-%m-%d %H:%M")
