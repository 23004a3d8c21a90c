"""`littoral memory`: collections of passages, and what is found in them."""

from importlib import import_module
from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from littoral.cli.operate import ask, tell, untell
from littoral.cli.show import HomeOption, JsonOption, Show, command, sized
from littoral.node.config import load_config
from littoral.terms.contextual import ContextShown, ContextState
from littoral.terms.memory import CollectionShown, Recall, Recalled
from littoral.web.memory.native import MEMORY, CollectionsShown, Dropped

__all__ = ["NameArgument", "at", "in_words", "memory_app", "register"]

memory_app = typer.Typer(no_args_is_help=True, help="Collections: what models may look up.")

_COMMANDS = ("memory_add", "memory_ask", "memory_context", "memory_move", "memory_replicas")
"""Modules beside this one that register more commands."""

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The collection's name.")]


def register(app: typer.Typer) -> None:
    """Add `memory` to the command line."""
    for module in _COMMANDS:
        import_module(f"littoral.cli.{module}").register(memory_app)
    app.add_typer(memory_app, name="memory")


def at(name: str, verb: str = "") -> str:
    """The path of a collection, or of what is asked of it."""
    path = f"{MEMORY}/{quote(name, safe='')}"
    return f"{path}/{verb}" if verb else path


@memory_app.command("list")
def list_all(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the collections of this PoP."""
    with command(as_json=as_json) as show:
        found = ask(load_config({"home": home}), MEMORY, CollectionsShown)
        show.data(found)
        if not found.collections:
            show.line("there is none; `littoral memory add NAME FILES` makes one")
            return
        columns = ("collection", "records", "vectors", "model", "kept by", "on disk")
        show.table(columns, [_row(each) for each in found.collections])


@memory_app.command("show")
def show_one(name: NameArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show what a collection is, and how it is searched."""
    with command(as_json=as_json) as show:
        config = load_config({"home": home})
        found = ask(config, at(name), CollectionShown)
        context = ask(config, at(name, "context"), ContextShown)
        show.data({**msgspec.structs.asdict(found), "context": context})
        _tell(show, found)
        if context.state is not ContextState.NONE:
            show.line(in_words(context))


@memory_app.command("drop")
def drop(name: NameArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Forget a collection and all that is in it."""
    with command(as_json=as_json) as show:
        dropped = untell(load_config({"home": home}), at(name), Dropped)
        show.data(dropped)
        show.line(f"{dropped.dropped} is forgotten, with all that was in it")


@memory_app.command("search")
def search(
    name: NameArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A question, or some words.")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Passages to show, at most.")] = 5,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find passages, by meaning and by words."""
    with command(as_json=as_json) as show:
        recall = Recall(text=text, limit=limit)
        found = tell(load_config({"home": home}), at(name, "recall"), recall, Recalled)
        show.data(found)
        if not found.passages:
            show.line("nothing was found")
        for place, passage in enumerate(found.passages, start=1):
            show.line(f"{place}. {passage.document or passage.id}  {passage.header}")
            show.line(f"   {' '.join(passage.text.split())[:300]}")


def _row(shown: CollectionShown) -> tuple[str, ...]:
    spec = shown.spec
    vectors = ", ".join(f"{field.name or 'dense'} {field.dimensions}" for field in spec.vectors)
    return (
        spec.name if not spec.scope else f"{spec.name} ({spec.scope})",
        str(shown.records),
        vectors or "none",
        spec.embedding or "none",
        shown.driver,
        "elsewhere" if shown.disk_bytes is None else sized(shown.disk_bytes),
    )


def _tell(show: Show, found: CollectionShown) -> None:
    spec = found.spec
    show.line(f"{spec.name}: {spec.about}" if spec.about else spec.name)
    show.line(f"{found.records} records, {found.through} changes, kept by {found.driver}")
    for field in spec.vectors:
        name = field.name or "dense"
        show.line(f"vectors {name}: {field.dimensions} dimensions, {field.metric.value}")
    if spec.embedding:
        show.line(f"embedded by {spec.embedding}")
    for name, kind in sorted(spec.fields.items()):
        show.line(f"field {name}: {kind.value}")
    if found.home:
        old = "not reached yet" if found.stale_s is None else f"{found.stale_s:.1f} s ago"
        show.line(f"a copy of {found.home}, as of {old}")
    if found.index:
        show.line(f"index: {found.index}")


def in_words(shown: ContextShown) -> str:
    """One line of how far it is."""
    if shown.state is ContextState.NONE:
        return (
            "contexts: none asked for; "
            f"`littoral memory context {shown.collection} --model MODEL` has them written"
        )
    said = f"contexts by {shown.model}: {shown.state.value}, {shown.written} written"
    said += f", {shown.without} without" if shown.without else ""
    said += f", {shown.left} left" if shown.left is not None else ""
    return said + "".join(f"; {each}" for each in (shown.waits, shown.message) if each)
