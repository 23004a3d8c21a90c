"""`littoral verify`: what a receipt proves about a saved answer, line by line, offline.

It exits with 0 when the answer is accepted (nothing contradicts its receipt, and a trusted key
signed it), with 1 when it is not.
"""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from littoral.adapters.identity import PUBLIC_KEY_FILE, read_public_keys, verify
from littoral.adapters.store import STORE_FILE, open_store
from littoral.cli.show import HomeOption, JsonOption, Show, command
from littoral.node.config import load_config
from littoral.terms.errors import BadRequestError, BodyTooLargeError, ReceiptRejectedError
from littoral.terms.ids import Digest
from littoral.terms.limits import SAVED_ANSWER_BYTES_MAX
from littoral.trust.receipts import stated
from littoral.trust.saved import SavedAnswer, read_saved
from littoral.trust.verification import Standing, Verdict, verify_answer

__all__ = ["read_bounded", "register"]

_STYLES = {
    Standing.PROVEN: "green",
    Standing.CLAIMED: None,
    Standing.ABSENT: "dim",
    Standing.REJECTED: "bold red",
}


def register(app: typer.Typer) -> None:
    """Add `verify` to the command line."""
    app.command("verify")(verify_file)


def verify_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A saved answer; - reads stdin.")],
    receipt: Annotated[
        Path | None, typer.Option(help="The receipt, when FILE does not have it.")
    ] = None,
    request: Annotated[
        Path | None, typer.Option(help="The exact request body, when FILE does not have it.")
    ] = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option(help="A PoP's identity.pub; repeat. Default: this home's own."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check an answer against its receipt; exits with 0 only if it is accepted."""
    with command(as_json=as_json) as show:
        directory = load_config({"home": home}).home
        answer = read_saved(read_bounded(file))
        answer = SavedAnswer(
            response=answer.response,
            document=_document(answer, receipt, directory),
            request=answer.request if request is None else read_bounded(request),
            headers=answer.headers,
        )
        verdict = verify_answer(
            answer,
            verify=verify,
            trusted=_trusted(trust, directory),
            previous=_previous(answer.document, directory),
        )
        _print(show, verdict)
        if not verdict.accepted:
            raise typer.Exit(ReceiptRejectedError.exit_code)


def read_bounded(path: Path) -> bytes:
    """A file's bytes; `-` is standard input.

    Raises:
        BadRequestError: it can't be read.
        BodyTooLargeError: it is larger than any answer.
    """
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(SAVED_ANSWER_BYTES_MAX + 1)
        else:
            with path.open("rb") as file:
                data = file.read(SAVED_ANSWER_BYTES_MAX + 1)
    except OSError as error:
        raise BadRequestError(f"{path} can't be read ({error.strerror})") from None
    if len(data) > SAVED_ANSWER_BYTES_MAX:
        raise BodyTooLargeError(
            f"{path} is larger than {SAVED_ANSWER_BYTES_MAX} bytes", advice="no answer is that long"
        )
    return data


def _document(answer: SavedAnswer, receipt: Path | None, home: Path) -> bytes | None:
    """The receipt: from its own file, from the saved answer, or from this home by its id."""
    if receipt is not None:
        return read_bounded(receipt).removesuffix(b"\n")
    if answer.document is not None:
        return answer.document
    if answer.receipt_id is None or not (home / STORE_FILE).exists():
        return None
    with open_store(home, create=False) as store:
        kept = store.receipts.get(answer.receipt_id)
    return None if kept is None else kept.document


def _trusted(files: list[Path] | None, home: Path) -> set[bytes]:
    """The keys whose word counts: those named, else this home's own."""
    own = home / PUBLIC_KEY_FILE
    named = files or ([own] if own.exists() else [])
    return {key for file in named for key in read_public_keys(file)}


def _previous(document: bytes | None, home: Path) -> Digest | None:
    """The receipt before this one, if this home's PoP made both and still has it."""
    own = home / STORE_FILE
    if document is None or not own.exists():
        return None
    try:
        receipt = stated(document)
    except ReceiptRejectedError:
        return None
    with open_store(home, create=False) as store:
        before = store.receipts.at(receipt.seq - 1)
    same_pop = before is not None and stated(before.document).kid == receipt.kid
    return before.digest if before is not None and same_pop else None


def _print(show: Show, verdict: Verdict) -> None:
    show.data(
        {
            "accepted": verdict.accepted,
            "claims": [
                {"name": claim.name, "standing": claim.standing.value, "text": claim.text}
                for claim in verdict.claims
            ],
            "receipt": msgspec.to_builtins(verdict.receipt),
        }
    )
    if verdict.receipt is not None:
        show.line(f"receipt {verdict.receipt.rid}")
    for claim in verdict.claims:
        line = f"  {claim.standing.value:<9} {claim.name:<10} {claim.text}"
        show.line(line, style=_STYLES[claim.standing])
    show.line(_conclusion(verdict), style="bold green" if verdict.accepted else "bold red")


def _conclusion(verdict: Verdict) -> str:
    if verdict.accepted:
        return "accepted"
    if verdict.intact:
        return "not accepted: nobody trusted signed it; name the PoP's key with --trust"
    return "REJECTED"
