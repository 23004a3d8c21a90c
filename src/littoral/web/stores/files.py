"""OpenAI's `/v1/files`: what a client sends to be put into vector stores.

    POST   /v1/files                 a form: `file`, `purpose`, `expires_after[...]`
    GET    /v1/files                 purpose, limit, order, after
    GET    /v1/files/ID              what is known of one
    GET    /v1/files/ID/content      its bytes
    DELETE /v1/files/ID              gone, also from each vector store

Only what its own key, tenant or, for operators, the PoP has sent is there for a caller. Purposes
that this PoP has no use for are refused.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.limits import UPLOAD_NAME_CHARS_MAX
from littoral.terms.stores import UploadWanted
from littoral.terms.values import Caller
from littoral.web.health import send_json
from littoral.web.http import Request, Responder
from littoral.web.routes import Route
from littoral.web.stores.desk import UploadDesk
from littoral.web.stores.multipart import FormPart, field_of, file_of, parts_of
from littoral.web.stores.reading import below, nothing_at, paging_of, query_of, wrong_method
from littoral.web.stores.shapes import deleted, listed, upload_object

__all__ = ["FILES", "upload_routes"]

FILES: Final = "/v1/files"

_PURPOSES: Final = ("assistants", "user_data")
_PAGE_USUAL: Final = 10_000
_PAGE_MOST: Final = 10_000
_EXPIRY_S: Final = (3_600, 2_592_000)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


def upload_routes(desk: UploadDesk) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""

    async def send(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        wanted = _wanted(request)
        await send_json(responder, 200, upload_object(await desk.send(wanted, caller)))

    async def show_all(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        query = query_of(request)
        paging = paging_of(query, usual=_PAGE_USUAL, most=_PAGE_MOST)
        part = await desk.uploads(query.get("purpose", ""), paging, caller)
        await send_json(responder, 200, listed(part, upload_object))

    async def show(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        match below(request, f"{FILES}/"):
            case [file_id]:
                upload = await desk.upload(file_id, caller)
                await send_json(responder, 200, upload_object(upload))
            case [file_id, "content"]:
                upload, data = await desk.content(file_id, caller)
                await responder.send(200, _content_fields(upload.filename), data)
            case _:
                raise nothing_at(request)

    async def delete(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        match below(request, f"{FILES}/"):
            case [file_id]:
                await desk.delete(file_id, caller)
                await send_json(responder, 200, deleted(file_id, "file"))
            case [_, "content"]:
                raise wrong_method(request, ["GET"])
            case _:
                raise nothing_at(request)

    return {
        FILES: {"GET": Route(show_all), "POST": Route(send)},
        f"{FILES}/": {"GET": Route(show), "DELETE": Route(delete)},
    }


def _wanted(request: Request) -> UploadWanted:
    parts = parts_of(request.headers.get("content-type", ""), request.body)
    purpose = field_of(parts, "purpose")
    if purpose is None:
        raise BadRequestError("`purpose` is missing", param="purpose")
    if purpose not in _PURPOSES:
        raise UnsupportedError(
            f"this PoP keeps no files for {purpose[:40]!r}",
            advice=f"send the purpose {' or '.join(_PURPOSES)}",
            param="purpose",
        )
    file = file_of(parts, "file")
    name = file.filename or ""
    if not name or len(name) > UPLOAD_NAME_CHARS_MAX or _CONTROL.search(name):
        raise BadRequestError(
            "the file has no name, or one that no file can have",
            advice=f"name it with 1 to {UPLOAD_NAME_CHARS_MAX} characters",
            param="file",
        )
    return UploadWanted(
        filename=name, purpose=purpose, data=file.data, expires_after_s=_expiry_s(parts)
    )


def _expiry_s(parts: Sequence[FormPart]) -> int | None:
    anchor, seconds = (field_of(parts, f"expires_after[{name}]") for name in ("anchor", "seconds"))
    if anchor is None and seconds is None:
        return None
    least, most = _EXPIRY_S
    is_number = seconds is not None and _NUMBER.fullmatch(seconds)
    if anchor != "created_at" or not is_number or not least <= int(seconds or 0) <= most:
        raise BadRequestError(
            f"`expires_after` is not the anchor `created_at` and {least} to {most} seconds",
            param="expires_after",
        )
    return int(seconds or 0)


def _content_fields(filename: str) -> Mapping[str, str]:
    """Whoever opens it in a browser saves it; nothing of it is run or shown as this PoP's."""
    return {
        "content-type": "application/octet-stream",
        "content-disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
        "x-content-type-options": "nosniff",
    }
