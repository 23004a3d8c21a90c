"""`littoral receipts`: look at the receipts kept in this home, and save them."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from littoral.adapters.identity import verify
from littoral.adapters.store import StoredReceipt, open_store
from littoral.cli.saving import new_file
from littoral.cli.show import HomeOption, JsonOption, command
from littoral.cli.verify import read_bounded
from littoral.node.config import load_config
from littoral.terms.errors import BadRequestError, NotFoundError, ReceiptRejectedError
from littoral.terms.ids import ReceiptId
from littoral.terms.values import SECOND
from littoral.trust.receipts import decode_document, stated
from littoral.trust.saved import SavedAnswer, encode_bundle, read_saved
from littoral.trust.verification import Standing, verify_answer

__all__ = ["register"]

_receipts = typer.Typer(no_args_is_help=True, help="Look at this PoP's receipts, and save them.")

_IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A receipt's id: rcpt_…")]


def register(app: typer.Typer) -> None:
    """Add `receipts` to the command line."""
    app.add_typer(_receipts, name="receipts")


@_receipts.command("list")
def list_receipts(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest receipts."""
    with command(as_json=as_json) as show:
        with open_store(load_config({"home": home}).home, create=False) as store:
            summaries = [_summary(kept) for kept in store.receipts.newest(limit)]
        show.data({"receipts": summaries})
        show.table(
            ("number", "id", "ended", "key", "model", "tokens", "finish", "source"),
            [tuple(str(value) for value in summary.values()) for summary in summaries],
        )


@_receipts.command("show")
def show_receipt(
    receipt_id: _IdArgument, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Show what a receipt states; with --json, the signed document itself."""
    with command(as_json=as_json) as show:
        kept = _kept(receipt_id, home)
        show.data(msgspec.Raw(kept.document))
        for name, value in _flat(msgspec.to_builtins(stated(kept.document))):
            show.line(f"{name:<20} {value}")


@_receipts.command("save")
def save(
    receipt_id: _IdArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to make.")],
    response: Annotated[
        Path | None, typer.Option(help="The answer as it was saved; goes into FILE with it.")
    ] = None,
    request: Annotated[
        Path | None, typer.Option(help="The request's body; goes into FILE with it.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save a receipt for `verify`: alone, or with the answer that it is for, in one file."""
    with command(as_json=as_json) as show:
        if request is not None and response is None:
            raise BadRequestError("--request goes with --response", advice="give both or neither")
        document = _kept(receipt_id, home).document
        data = document + b"\n" if response is None else _bundle(document, response, request)
        with new_file(file) as write:
            write(data)
        what = f"ANSWER --receipt {file}" if response is None else str(file)
        show.line(f"{receipt_id} is saved; check it with: littoral verify {what}")
        show.data({"receipt_id": receipt_id, "file": str(file)})


def _kept(receipt_id: str, home: str | None) -> StoredReceipt:
    with open_store(load_config({"home": home}).home, create=False) as store:
        kept = store.receipts.get(ReceiptId(receipt_id))
    if kept is None:
        raise NotFoundError(
            f"there is no receipt {receipt_id!r} here",
            advice="`littoral receipts list` shows the newest",
        )
    return kept


def _bundle(document: bytes, response: Path, request: Path | None) -> bytes:
    """Receipt and answer in one, if they belong together."""
    answer = SavedAnswer(
        response=read_saved(read_bounded(response)).response,
        document=document,
        request=None if request is None else read_bounded(request),
    )
    verdict = verify_answer(answer, verify=verify, trusted=())
    wrong = [claim.name for claim in verdict.claims if claim.standing is Standing.REJECTED]
    if wrong:
        raise ReceiptRejectedError(
            f"this receipt is for something else: {', '.join(wrong)} not what was signed",
            advice="give the bytes exactly as they came",
        )
    return encode_bundle(
        response=answer.response, receipt=decode_document(document), request=answer.request
    )


def _summary(kept: StoredReceipt) -> Mapping[str, object]:
    receipt = stated(kept.document)
    ended = datetime.fromtimestamp(kept.ended_unix_ns // SECOND, UTC)
    return {
        "seq": kept.seq,
        "receipt_id": kept.receipt_id,
        "ended": ended.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "key_id": kept.key_id,
        "model": receipt.model.name,
        "tokens": receipt.n_in + receipt.n_out,
        "finish": receipt.finish.value,
        "source": receipt.source.value,
    }


def _flat(document: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every field with its dotted name."""
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, "-" if value in {None, ""} else value
