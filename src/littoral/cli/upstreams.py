"""`littoral models upstream` and `littoral models relay`: the upstreams of one model.

A PoP that runs sees each change by itself; answers under way go on.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import typer

from littoral.adapters.models import (
    NATIVE_APIS,
    Catalogue,
    parse_upstream,
    with_relay,
    with_upstream,
    with_weight,
    without_upstream,
)
from littoral.cli.show import HomeOption, JsonOption, Show, command, entry_document
from littoral.node.config import load_config
from littoral.node.home import Home
from littoral.terms import limits
from littoral.terms.errors import BadRequestError
from littoral.terms.values import EngineKind, ModelEntry, RelayPolicy, UpstreamTarget

__all__ = [
    "KeyEnvOption",
    "KeyFileOption",
    "NameArgument",
    "NativeApiOption",
    "catalogue_at",
    "lines",
    "register",
]

_upstream = typer.Typer(no_args_is_help=True, help="Change the upstreams that one model has.")

NameArgument = Annotated[str, typer.Argument(help="Which model.")]
UrlArgument = Annotated[str, typer.Argument(help="Address of the upstream, as it was added.")]
WhichOption = Annotated[
    str | None,
    typer.Option("--upstream-model", help="Its own name, where two have one address."),
]

KeyFileOption = Annotated[str | None, typer.Option(help="File with the upstream's key.")]
KeyEnvOption = Annotated[
    str | None, typer.Option(help="Environment variable with the upstream's key.")
]
NativeApiOption = Annotated[
    list[str] | None,
    typer.Option(help="API that the upstream speaks as well: messages, responses or rerank."),
]

_MILLISECONDS = 1_000


def register(models: typer.Typer) -> None:
    """Add both to the commands of models."""
    models.add_typer(_upstream, name="upstream")
    models.command("relay")(relay)


@_upstream.command("add")
def add_upstream(
    name: NameArgument,
    url: Annotated[str, typer.Argument(help="Address, version included: http://HOST:PORT/v1.")],
    *,
    weight: Annotated[
        int, typer.Option(min=0, max=limits.UPSTREAM_WEIGHT_MAX, help="Share of the requests.")
    ] = 1,
    upstream_model: Annotated[
        str | None,
        typer.Option(help="The upstream's own name for the model. Default: the first one's."),
    ] = None,
    key_file: KeyFileOption = None,
    key_env: KeyEnvOption = None,
    key_header: Annotated[
        str, typer.Option(help="Header for the key; authorization sends it as Bearer.")
    ] = "authorization",
    native_api: NativeApiOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a model one more upstream. Nothing is asked of it yet."""

    def change(entry: ModelEntry) -> ModelEntry:
        target = parse_upstream(
            url.removeprefix("upstream:"),
            model=upstream_model or (entry.upstreams[0].model if entry.upstreams else name),
            key_file=key_file,
            key_env=key_env,
            key_header=key_header,
            weight=weight,
            native_apis=native_api or (),
        )
        return with_upstream(entry, target)

    _change(name, change, home, as_json=as_json)


@_upstream.command("remove")
def remove_upstream(
    name: NameArgument,
    url: UrlArgument,
    upstream_model: WhichOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an upstream away from a model. Drain it first, and no answer is cut off."""
    _change(name, lambda entry: without_upstream(entry, url, upstream_model), home, as_json=as_json)


@_upstream.command("drain")
def drain_upstream(
    name: NameArgument,
    url: UrlArgument,
    upstream_model: WhichOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send an upstream no more requests; answers under way go on to their end."""
    _change(name, lambda entry: with_weight(entry, url, 0, upstream_model), home, as_json=as_json)


@_upstream.command("undrain")
def undrain_upstream(
    name: NameArgument,
    url: UrlArgument,
    weight: Annotated[
        int | None,
        typer.Option(min=1, max=limits.UPSTREAM_WEIGHT_MAX, help="Its share. Default: 1."),
    ] = None,
    upstream_model: WhichOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send an upstream requests again, or in another share."""
    _change(
        name, lambda entry: with_weight(entry, url, weight, upstream_model), home, as_json=as_json
    )


def relay(
    name: NameArgument,
    *,
    attempts: Annotated[
        int | None, typer.Option(help="Attempts for one request, before its first byte.")
    ] = None,
    hedge_ms: Annotated[
        str | None,
        typer.Option(help="Ask a second upstream after so many milliseconds of silence; or off."),
    ] = None,
    connect_s: Annotated[
        float | None, typer.Option(help="Seconds to wait for a connection.")
    ] = None,
    first_byte_s: Annotated[
        float | None, typer.Option(help="Seconds to wait for the first byte.")
    ] = None,
    between_bytes_s: Annotated[
        float | None, typer.Option(help="Seconds to wait for the next byte.")
    ] = None,
    total_s: Annotated[float | None, typer.Option(help="Seconds for a whole answer.")] = None,
    receipts: Annotated[bool | None, typer.Option(help="Whether its answers get receipts.")] = None,
    fallback: Annotated[
        list[str] | None,
        typer.Option(help="Model to ask when no upstream can answer; give several in order."),
    ] = None,
    no_fallback: Annotated[
        bool, typer.Option("--no-fallback", help="Fall back to no other model.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how a model's requests are sent on to its upstreams; without options, show it."""
    given: dict[str, Any] = {
        "attempts": attempts,
        "connect_s": connect_s,
        "first_byte_s": first_byte_s,
        "between_bytes_s": between_bytes_s,
        "total_s": total_s,
        "receipts": receipts,
    }
    with command(as_json=as_json) as show:
        catalogue = catalogue_at(home)
        said = {key: value for key, value in given.items() if value is not None}
        if hedge_ms is not None:
            said["hedge_after_s"] = _hedge_s(hedge_ms)
        fallbacks = _fallbacks(catalogue, name, fallback or [], none=no_fallback)
        entry = catalogue.get(name)
        if said or fallbacks is not None:
            entry = catalogue.change(
                name,
                lambda entry: with_relay(entry, lambda now: replace(now, **said), fallbacks),
            )
        _shown(show, entry)


def _change(
    name: str, change: Callable[[ModelEntry], ModelEntry], home: str | None, *, as_json: bool
) -> None:
    with command(as_json=as_json) as show:
        _shown(show, catalogue_at(home).change(name, change))


def catalogue_at(home: str | None) -> Catalogue:
    """The models of a home, or of the one that the configuration says."""
    return Catalogue(Home(load_config({"home": home}).home).models)


def _shown(show: Show, entry: ModelEntry) -> None:
    """The model's upstreams as they are now."""
    show.line(entry.name, style="bold")
    for label, value in lines(entry):
        show.line(f"{label:14}{value}")
    show.data(entry_document(entry))


def _hedge_s(text: str) -> float | None:
    if text == "off":
        return None
    if not (text.isascii() and text.isdecimal()):
        raise BadRequestError(
            f"--hedge-ms {text[:80]!r} is neither milliseconds nor off",
            advice="for example --hedge-ms 800",
        )
    return int(text) / _MILLISECONDS


def _fallbacks(
    catalogue: Catalogue, name: str, given: list[str], *, none: bool
) -> list[str] | None:
    """The models to fall back to; None leaves them as they are."""
    if none and given:
        raise BadRequestError("--fallback and --no-fallback are both given", advice="give one")
    if not given:
        return [] if none else None
    kinds = catalogue.get(name).kinds
    for other in given:
        if not set(catalogue.get(other).kinds) & set(kinds):
            raise BadRequestError(
                f"{other} does nothing that {name} does", advice="name a model of the same kind"
            )
    return given


def lines(entry: ModelEntry) -> list[tuple[str, str]]:
    """What `show` prints of a model's upstreams; nothing for one that runs here."""
    if entry.engine is not EngineKind.UPSTREAM:
        return []
    return [
        *(("upstream", _target_line(target)) for target in entry.upstreams),
        *(("falls back to", other) for other in entry.fallbacks),
        ("relay", _relay_line(entry.relay)),
        ("receipts", "yes" if entry.relay.receipts else "no: its operator said so"),
    ]


def _target_line(target: UpstreamTarget) -> str:
    parts = [f"{target.model} at {target.base_url}"]
    parts.append(f"weight {target.weight}" if target.weight else "drained")
    if target.key_file:
        parts.append(f"key in {target.key_file}")
    if target.key_env:
        parts.append(f"key in ${target.key_env}")
    native = [api for api in target.apis if api in NATIVE_APIS]
    if native:
        parts.append(f"speaks {' and '.join(native)}")
    return ", ".join(parts)


def _relay_line(policy: RelayPolicy) -> str:
    hedge = policy.hedge_after_s
    return ", ".join(
        (
            f"{policy.attempts} attempts",
            "no hedge" if hedge is None else f"hedge after {hedge * _MILLISECONDS:,.0f} ms",
            f"connect {policy.connect_s:g} s",
            f"first byte {policy.first_byte_s:g} s",
            f"between bytes {policy.between_bytes_s:g} s",
            f"total {policy.total_s:g} s",
        )
    )
