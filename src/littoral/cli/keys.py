"""`littoral keys`: make, list and end API keys. A running PoP heeds each change at once."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from littoral.adapters.clock import SystemClock
from littoral.adapters.store import open_store
from littoral.cli.show import HomeOption, JsonOption, command
from littoral.node.config import load_config
from littoral.terms.errors import BadRequestError
from littoral.terms.ids import model_name
from littoral.terms.values import SECOND, KeyLimits
from littoral.trust.keys import KEY_RANDOM_BYTES, Grant, KeyRecord, make_key

__all__ = ["life_s", "register"]

_keys = typer.Typer(no_args_is_help=True, help="Make, list and end API keys.")

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def register(app: typer.Typer) -> None:
    """Add `keys` to the command line."""
    app.add_typer(_keys, name="keys")


@_keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="For people: who or what will use the key.")],
    *,
    expires: Annotated[
        str | None, typer.Option(help="Life from now on: 12h, 30d, 8w. Default: no end.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model that it may use; repeat. Default: all.")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Most requests in any 60 seconds. Default: no limit.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Most tokens in any 60 seconds. Default: no limit.")
    ] = None,
    tokens_per_day: Annotated[
        int | None, typer.Option(min=1, help="Most tokens in a day (UTC). Default: no limit.")
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(
            help="Whose key it is: keys of one tenant share cached answers. Default: own."
        ),
    ] = None,
    reuse_error_max: Annotated[
        float | None,
        typer.Option(
            help="Share of wrong answers that semantic reuse may give, as 0.02. Default: no reuse."
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="Passages of this label may be recalled for it; repeat. Default: none."),
    ] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="May read metrics and everyone's receipts.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    with command(as_json=as_json) as show:
        clock = SystemClock()
        now = clock.unix_ns() // SECOND
        record, token = make_key(
            clock.random_bytes(KEY_RANDOM_BYTES),
            name=name,
            unix_s=now,
            grant=Grant(
                models=tuple(model_name(one) for one in model) if model else None,
                limits=KeyLimits(requests_per_minute, tokens_per_minute, tokens_per_day),
                operator=operator,
                expires_unix_s=None if expires is None else now + life_s(expires),
                tenant=tenant or "",
                reuse_error_max=reuse_error_max,
                labels=tuple(label or ()),
            ),
        )
        with open_store(load_config({"home": home}).home) as store:
            store.keys.add(record)
        show.line(token)
        show.data({"key": token, **_document(record, now)})
        if not as_json:
            show.note(f"key {record.key_id}: keep it now, it can't be shown again")


@_keys.command("list")
def list_keys(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show every key, also those that are revoked or expired."""
    with command(as_json=as_json) as show:
        with open_store(load_config({"home": home}).home, create=False) as store:
            records = store.keys.list()
        now = SystemClock().unix_ns() // SECOND
        show.data({"keys": [_document(record, now) for record in records]})
        show.table(
            ("id", "name", "state", "created", "expires", "models", "limits", "tenant", "reuse"),
            [_row(record, now) for record in records],
        )


@_keys.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY_ID_OR_NAME", help="Which key to end.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a key for good, from the next request on."""
    with command(as_json=as_json) as show:
        now = SystemClock().unix_ns() // SECOND
        with open_store(load_config({"home": home}).home, create=False) as store:
            record = store.keys.revoke(key, now)
        show.line(f"{record.key_id} ({record.name}) is revoked")
        show.data(_document(record, now))


def life_s(text: str) -> int:
    """Seconds of a duration such as `30d`."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})([smhdw])", text.strip())
    if match is None:
        raise BadRequestError(
            f"{text!r} is not a duration", advice="give a number and one of s, m, h, d, w: 30d"
        )
    return int(match[1]) * _SECONDS[match[2]]


def _state(record: KeyRecord, now: int) -> str:
    if record.revoked_unix_s is not None:
        return "revoked"
    return "live" if record.usable(now) else "expired"


def _document(record: KeyRecord, now: int) -> Mapping[str, object]:
    """A key as `--json` shows it; its hash stays inside."""
    grant = record.grant
    return {
        "key_id": record.key_id,
        "name": record.name,
        "state": _state(record, now),
        "created_unix_s": record.created_unix_s,
        "expires_unix_s": grant.expires_unix_s,
        "revoked_unix_s": record.revoked_unix_s,
        "models": grant.models,
        "limits": grant.limits,
        "operator": grant.operator,
        "tenant": grant.tenant,
        "reuse_error_max": grant.reuse_error_max,
        "labels": grant.labels,
    }


def _row(record: KeyRecord, now: int) -> tuple[str, ...]:
    grant, limits = record.grant, record.grant.limits
    said = {
        "requests/min": limits.requests_per_minute,
        "tokens/min": limits.tokens_per_minute,
        "tokens/day": limits.tokens_per_day,
    }
    shown = ", ".join(f"{value} {unit}" for unit, value in said.items() if value is not None)
    return (
        record.key_id,
        f"{record.name} (operator)" if grant.operator else record.name,
        _state(record, now),
        _day(record.created_unix_s),
        "never" if grant.expires_unix_s is None else _day(grant.expires_unix_s),
        "all" if grant.models is None else ", ".join(grant.models),
        shown or "none",
        grant.tenant or "own",
        "none" if grant.reuse_error_max is None else f"{grant.reuse_error_max:g} wrong",
    )


def _day(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M")
