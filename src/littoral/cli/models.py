"""`littoral models`: what models this PoP has, and how more come in and go."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from littoral.adapters.models import (
    DEFAULT_ENDPOINT,
    Hub,
    Offer,
    Source,
    UpstreamSource,
    add,
    offers,
    parse_source,
    parse_upstream,
)
from littoral.cli import upstreams
from littoral.cli.arriving import models_arriving
from littoral.cli.progress import progress_shown
from littoral.cli.show import HomeOption, JsonOption, command, entry_document, sized
from littoral.cli.upstreams import (
    KeyEnvOption,
    KeyFileOption,
    NameArgument,
    NativeApiOption,
    catalogue_at,
)
from littoral.node.config import load_config, secret_from_environment
from littoral.placement.fit import memory_needed
from littoral.terms.errors import BadRequestError
from littoral.terms.values import EngineKind, Kind, ModelEntry

__all__ = ["register"]

_models = typer.Typer(no_args_is_help=True, help="List, add, change and remove models.")

_UPSTREAM: Final = "upstream:"
_FOR_UPSTREAM: Final = (
    *("upstream_model", "key_file", "key_env", "key_header", "native_api", "kind", "context"),
)
_FOR_HUB: Final = ("token_file", "endpoint")
_FOR_FILE: Final = ("copy",)
_TOKEN_CHARS_MAX: Final = 4096


def register(app: typer.Typer) -> None:
    """Add `models` to the command line."""
    app.add_typer(_models, name="models")


@_models.command("list")
def list_models(
    available: Annotated[
        bool, typer.Option("--available", help="Also show what can be added by name.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the models that are here, and those that are on their way."""
    with command(as_json=as_json) as show:
        catalogue = catalogue_at(home)
        entries, arriving = catalogue.entries(), models_arriving(load_config({"home": home}))
        more = [offer for offer in offers() if not catalogue.has(offer.name)] if available else []
        show.data(
            {
                "models": [entry_document(entry) for entry in entries],
                "arriving": arriving,
                "available": more,
                "damaged": [error.message for error in catalogue.damaged()],
                "unfinished": catalogue.unfinished(),
            }
        )
        show.table(
            ("name", "engine", "for", "context", "size", "licence"),
            [
                *map(_row, entries),
                *(each.row() for each in arriving),
                *map(_offer_row, more),
            ],
        )
        for error in catalogue.damaged():
            show.note(f"damaged: {error}", style="red")
        for one in catalogue.unfinished():
            show.note(
                f"unfinished: {one.name}, {sized(one.size_bytes)} so far; add it again to go on"
            )


@_models.command("show")
def show_model(
    name: NameArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show everything that is known of one model."""
    with command(as_json=as_json) as show:
        kv_tokens = load_config({"home": home}).kv_tokens
        entry = catalogue_at(home).get(name)
        needed = memory_needed(entry, kv_tokens)
        show.data({**entry_document(entry), "memory_bytes": needed})
        for label, value in _lines(entry, needed, kv_tokens):
            show.line(f"{label:14}{value}")


@_models.command("add")
def add_model(
    source: Annotated[
        str,
        typer.Argument(
            help="A built-in name, ./FILE.gguf, ./FOLDER of a cross-encoder, "
            "hf:OWNER/REPO[:FILE][@REVISION] or upstream:URL."
        ),
    ],
    *,
    name: Annotated[str | None, typer.Option(help="What clients call it.")] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy a local file instead of using it in place.")
    ] = False,
    token_file: Annotated[
        Path | None, typer.Option(help="File with a Hub token. Default: the variable HF_TOKEN.")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help=f"Hub. Default: the variable HF_ENDPOINT, or {DEFAULT_ENDPOINT}."),
    ] = None,
    upstream_model: Annotated[
        str | None, typer.Option(help="The upstream's own name for the model. Default: --name.")
    ] = None,
    key_file: KeyFileOption = None,
    key_env: KeyEnvOption = None,
    key_header: Annotated[
        str | None,
        typer.Option(help="Header for the upstream's key, for example api-key. Default: Bearer."),
    ] = None,
    native_api: NativeApiOption = None,
    kind: Annotated[
        str | None, typer.Option(help="What an upstream's model does: chat,complete,embed,rerank.")
    ] = None,
    context: Annotated[
        int | None, typer.Option(min=1, help="Tokens that an upstream's model takes.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a model in, checked to the last byte. Broken off, the same command goes on."""
    with command(as_json=as_json) as show:
        options = _Options(
            name=name,
            copy=copy,
            token_file=token_file,
            endpoint=endpoint,
            upstream_model=upstream_model,
            key_file=key_file,
            key_env=key_env,
            key_header=key_header,
            native_api=tuple(native_api or ()),
            kind=kind,
            context=context,
        )
        catalogue = catalogue_at(home)
        with progress_shown(show) as progress:
            entry = add(catalogue, _source(source, options), progress, name)
        show.line(f"{entry.name} is ready: {entry.description}")
        show.line(f"licence {entry.licence}; from {entry.origin}")
        show.data(entry_document(entry))


@_models.command("remove")
def remove_model(
    name: NameArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a model away. A file used in place stays where it is."""
    with command(as_json=as_json) as show:
        freed = catalogue_at(home).remove(name)
        show.line(f"{name} is removed; {sized(freed)} are free again")
        show.data({"removed": name, "freed_bytes": freed})


@dataclass(frozen=True, slots=True)
class _Options:
    """What was written after a source."""

    name: str | None
    copy: bool
    token_file: Path | None
    endpoint: str | None
    upstream_model: str | None
    key_file: str | None
    key_env: str | None
    key_header: str | None
    native_api: tuple[str, ...]
    kind: str | None
    context: int | None


def _source(text: str, options: _Options) -> Source:
    """What is to be added; an option that would do nothing is refused, for it is a mistake."""
    is_upstream, is_hub = text.startswith(_UPSTREAM), text.startswith("hf:")
    is_file = not (is_upstream or is_hub or text in {offer.name for offer in offers()})
    for names, what, holds in (
        (_FOR_UPSTREAM, "an upstream", is_upstream),
        (_FOR_HUB, "the Hub", is_hub),
        (_FOR_FILE, "a local file", is_file),
    ):
        given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name)]
        if given and not holds:
            raise BadRequestError(
                f"{', '.join(given)} goes with {what} only", advice="leave it out"
            )
    if not is_upstream:
        hub = _hub(options.endpoint, options.token_file) if is_hub else None
        return parse_source(text, hub=hub, copy=options.copy)
    target = parse_upstream(
        text.removeprefix(_UPSTREAM),
        model=_upstream_model(options.upstream_model, options.name),
        key_file=options.key_file,
        key_env=options.key_env,
        key_header=options.key_header or "authorization",
        native_apis=options.native_api,
    )
    return UpstreamSource(target, _kinds(options.kind), options.context or 0)


def _upstream_model(given: str | None, name: str | None) -> str:
    model = given or name
    if not model:
        raise BadRequestError(
            "an upstream's model needs a name",
            advice="give --name, and --upstream-model if it differs",
        )
    return model


def _kinds(text: str | None) -> tuple[Kind, ...]:
    """The kinds in a list with commas; chat and completions when nothing is said."""
    if text is None:
        return (Kind.CHAT, Kind.COMPLETE)
    known = {kind.value: kind for kind in Kind}
    words = [word.strip() for word in text.split(",")]
    if not all(word in known for word in words):
        raise BadRequestError(
            f"--kind {text[:80]!r} has an unknown word", advice=f"use {', '.join(known)}"
        )
    return tuple(dict.fromkeys(known[word] for word in words))


def _hub(endpoint: str | None, token_file: Path | None) -> Hub:
    """The hub that was asked for, as its own client's variables say where options do not."""
    address = endpoint or secret_from_environment("HF_ENDPOINT") or DEFAULT_ENDPOINT
    if not address.startswith(("http://", "https://")):
        raise BadRequestError("the Hub's endpoint is no web address", advice="mend --endpoint")
    token = secret_from_environment("HF_TOKEN")
    if token_file is not None:
        try:
            token = token_file.read_text()[:_TOKEN_CHARS_MAX].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadRequestError(
                f"{token_file} can't be read", advice="check the path and its permissions"
            ) from error
    return Hub(address.rstrip("/"), token or None)


def _row(entry: ModelEntry) -> tuple[str, ...]:
    return (
        entry.name,
        f"{entry.engine.value} (test)" if entry.engine is EngineKind.ECHO else entry.engine.value,
        ", ".join(kind.value for kind in entry.kinds),
        f"{entry.context_tokens:,}" if entry.context_tokens else "upstream's",
        sized(entry.size_bytes) if entry.size_bytes else "-",
        entry.licence,
    )


def _offer_row(offer: Offer) -> tuple[str, ...]:
    return (
        offer.name,
        "can be added",
        "",
        "",
        f"{sized(offer.download_bytes)} to fetch",
        offer.licence,
    )


def _lines(entry: ModelEntry, needed: int, kv_tokens: int) -> list[tuple[str, str]]:
    """What `show` prints, without what the model does not have."""
    defaults = entry.defaults
    sampling = {
        "temperature": defaults.temperature,
        "top_p": defaults.top_p,
        "max_tokens": defaults.max_tokens,
    }
    rows = [
        ("name", entry.name),
        ("description", entry.description),
        ("engine", _row(entry)[1]),
        ("for", _row(entry)[2]),
        ("context", f"{_row(entry)[3]} tokens"),
        ("dimensions", str(entry.dimensions or "")),
        ("licence", entry.licence),
        ("from", entry.origin),
        ("digest", entry.digest or ""),
        ("tokenizer", entry.tokenizer_digest or ""),
        ("template", entry.template_digest or ""),
        *(("file", f"{file.path} ({sized(file.size_bytes)})") for file in entry.files),
        *upstreams.lines(entry),
        ("tools", entry.tools.value),
        ("system", defaults.system or ""),
        ("defaults", ", ".join(f"{key} {value}" for key, value in sampling.items() if value)),
        ("memory", f"{sized(needed)} with {kv_tokens:,} cache tokens" if needed else ""),
    ]
    return [(label, value) for label, value in rows if value]


upstreams.register(_models)
