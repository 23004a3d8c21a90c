"""The Hugging Face Hub's HTTP API, read-only, below `/hub`: `HF_ENDPOINT=http://POP:7400/hub`.

| path | what |
| --- | --- |
| `GET /api/whoami-v2` | who the key belongs to |
| `GET /api/models`, `/api/datasets` | names of what is here |
| `GET /api/models/REPO`, `…/revision/REV` | a revision: commit, files |
| `GET …/tree/REV[/FOLDER]` | files and folders, in pages |
| `POST …/paths-info/REV` | some of them |
| `GET …/refs` | names of revisions |
| `GET`, `HEAD /REPO/resolve/REV/PATH` | a file, or a range of it |

`REPO` is `owner/name`, or `name` alone; data sets have `datasets` in place of `models`, and before
`REPO` in the last. `HF_TOKEN` is a key of this PoP. A revision may hold `/` as `%2F`; those that
begin with `refs/pr/` and `refs/convert/` also plainly, as the Hub's own client writes them.

It writes nothing, lists no Xet, and knows no spaces.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlencode

from littoral.delivery.access import unknown_file
from littoral.terms.artifacts import OriginFile, Shelved
from littoral.terms.errors import BadRequestError, NotFoundError
from littoral.terms.values import Caller
from littoral.web.dialects.reading import json_object
from littoral.web.files import FileDesk
from littoral.web.health import send_json
from littoral.web.http import Request, Responder
from littoral.web.hub_tree import PAGE_ROWS, Row, entity_tag, paths_info, repository_info, tree
from littoral.web.refusals import HUB
from littoral.web.routes import Route

__all__ = ["hub_routes"]

_API: Final = "hub"
_KINDS: Final = {"models": "", "datasets": "datasets/"}
_WORDS: Final = frozenset({"revision", "tree", "paths-info", "refs"})
_REFS: Final = frozenset({"pr", "convert"})
_REVISION_CHARS_MAX: Final = 200
_HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")
_PATHS_MAX: Final = 10_000


def hub_routes(files: FileDesk) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""
    hub = _Hub(files)

    async def read(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        with files.attended(_API, responder, caller):
            await hub.read(request, responder, caller)

    async def ask(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        with files.attended(_API, responder, caller):
            await hub.ask(request, responder, caller)

    return {HUB: {"GET": Route(read), "POST": Route(ask)}}


class _Hub:
    def __init__(self, files: FileDesk) -> None:
        self._files = files
        self._shelf = files.shelf

    async def read(self, request: Request, responder: Responder, caller: Caller) -> None:
        """Answer GET and HEAD."""
        query = parse_qs(request.query, keep_blank_values=True)
        match _segments(request):
            case ["api", "whoami-v2"]:
                await send_json(responder, 200, _whoami(caller))
            case ["api", ("models" | "datasets") as kind]:
                await send_json(responder, 200, self._list(_KINDS[kind], query, caller))
            case ["api", ("models" | "datasets") as kind, *rest]:
                repository, words = _repository(_KINDS[kind], rest)
                await self._tell(request, responder, repository, words, caller)
            case ["datasets", *rest]:
                await self._resolve(request, responder, "datasets/", rest, caller)
            case rest:
                await self._resolve(request, responder, "", rest, caller)

    async def ask(self, request: Request, responder: Responder, caller: Caller) -> None:
        """Answer POST, by which some questions come that are too long for a path."""
        match _segments(request):
            case ["api", ("models" | "datasets") as kind, first, *more]:
                repository, words = _repository(_KINDS[kind], [first, *more])
                if words[:1] == ["paths-info"]:
                    revision, behind = _revision(words[1:])
                    if not behind:
                        shelved = await self._shelf.find(repository, revision, caller)
                        rows = paths_info(shelved, _asked_paths(request.body))
                        await send_json(responder, 200, rows)
                        return
            case _:
                pass
        raise _nothing(request)

    def _list(self, start: str, query: Mapping[str, list[str]], caller: Caller) -> list[Row]:
        search, author = (query.get(word, [""])[0].lower() for word in ("search", "author"))
        names = [
            name.removeprefix(start)
            for name in self._shelf.repositories(caller)
            if name.startswith(start) and (start or not name.startswith("datasets/"))
        ]
        rows: list[Row] = [
            {"_id": "0" * 24, "id": name, "modelId": name, "tags": []}
            for name in names
            if search in name.lower() and (not author or name.lower().startswith(f"{author}/"))
        ]
        return rows[:PAGE_ROWS]

    async def _tell(
        self,
        request: Request,
        responder: Responder,
        repository: str,
        words: list[str],
        caller: Caller,
    ) -> None:
        query = parse_qs(request.query)
        match words:
            case []:
                revision, more = _revision(["main"])
            case ["revision", *rest]:
                revision, more = _revision(rest)
            case ["tree", *rest]:
                revision, more = _revision(rest)
                shelved = await self._shelf.find(repository, revision, caller)
                rows = tree(shelved, "/".join(more), recursive=_is_true(query, "recursive"))
                await _send_page(request, responder, rows)
                return
            case ["refs"]:
                await send_json(responder, 200, await self._refs(repository, caller))
                return
            case _:
                raise _nothing(request)
        if more:
            raise _nothing(request)
        shelved = await self._shelf.find(repository, revision, caller)
        await send_json(responder, 200, repository_info(shelved, blobs=_is_true(query, "blobs")))

    async def _refs(self, repository: str, caller: Caller) -> Row:
        branches = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": shelved.commit}
            for shelved in await self._shelf.revisions(repository, caller)
            for name in shelved.names
        ]
        return {"branches": branches, "converts": [], "tags": [], "pullRequests": []}

    async def _resolve(
        self,
        request: Request,
        responder: Responder,
        start: str,
        segments: list[str],
        caller: Caller,
    ) -> None:
        match segments:
            case [name, "resolve", *rest]:
                repository = start + name
            case [owner, name, "resolve", *rest]:
                repository = f"{start}{owner}/{name}"
            case _:
                raise _nothing(request)
        revision, parts = _revision(rest)
        shelved = await self._shelf.find(repository, revision, caller)
        file = _file(shelved, "/".join(parts))
        await self._files.send(request, responder, file, _fields(shelved, file), _API)


def _segments(request: Request) -> list[str]:
    """The parts of the path below `/hub/`, each percent-decoded by itself."""
    path = request.escaped or request.path
    if not path.startswith(HUB):
        raise _nothing(request)
    return [unquote(part) for part in path[len(HUB) :].split("/")]


def _repository(start: str, segments: list[str]) -> tuple[str, list[str]]:
    """The repository that these parts begin with, and the parts behind it."""
    if len(segments) == 1 or segments[1] in _WORDS:
        return start + segments[0], segments[1:]
    return f"{start}{segments[0]}/{segments[1]}", segments[2:]


def _revision(segments: list[str]) -> tuple[str, list[str]]:
    """The revision that these parts begin with, and the parts behind it."""
    match segments:
        case ["refs", kind, name, *rest] if kind in _REFS:
            revision = f"refs/{kind}/{name}"
        case [revision, *rest]:
            pass
        case _:
            revision, rest = "", []
    if not revision or len(revision) > _REVISION_CHARS_MAX:
        raise BadRequestError("the path names no revision", advice="`main` is the present one")
    return revision, rest


def _file(shelved: Shelved, path: str) -> OriginFile:
    for file in shelved.files:
        if file.path == path:
            return file
    error = unknown_file(shelved.repository, path)
    error.details["commit"] = shelved.commit
    raise error


def _fields(shelved: Shelved, file: OriginFile) -> dict[str, str]:
    etag = f'"{entity_tag(file)}"'
    fields = {"etag": etag, "x-repo-commit": shelved.commit}
    if file.git_oid is None:
        fields |= {"x-linked-etag": etag, "x-linked-size": str(file.size_bytes)}
    return fields


async def _send_page(request: Request, responder: Responder, rows: list[Row]) -> None:
    """Send the page of a list that the request asks for, with the way to the next one."""
    query = {name: values[0] for name, values in parse_qs(request.query).items()}
    limit = min(_number(query.get("limit"), PAGE_ROWS) or PAGE_ROWS, PAGE_ROWS)
    start = _number(query.get("cursor"), 0)
    fields = {"content-type": "application/json"}
    if start + limit < len(rows):
        following = urlencode({**query, "cursor": start + limit})
        path = request.escaped or quote(request.path)
        fields["link"] = f'<{_address(request)}{path}?{following}>; rel="next"'
    await send_json(responder, 200, rows[start : start + limit], fields)


def _address(request: Request) -> str:
    """Where the client has found this PoP: its clients take no relative links."""
    said = request.headers
    host = said.get("x-forwarded-host") or said.get("host", "")
    scheme = said.get("x-forwarded-proto") or ("https" if request.secure else "http")
    is_good = _HOST.fullmatch(host) and scheme in {"http", "https"}
    return f"{scheme}://{host}" if is_good else ""


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequestError("`limit` and `cursor` are numbers", param="cursor")
    return int(text)


def _is_true(query: Mapping[str, list[str]], name: str) -> bool:
    return query.get(name, ["false"])[0].lower() in {"1", "true"}


def _asked_paths(body: bytes) -> list[str]:
    """The `paths` of a body, which is a form (as the Python client sends) or JSON."""
    if body.lstrip().startswith(b"{"):
        paths = json_object(body).get("paths")
    else:
        try:
            text = body.decode("ascii")
            paths = parse_qs(text, max_num_fields=_PATHS_MAX + 2).get("paths", [])
        except ValueError:
            paths = None
    if isinstance(paths, str):
        paths = [paths]
    if not isinstance(paths, list) or len(paths) > _PATHS_MAX:
        raise BadRequestError(f"`paths` is a list of at most {_PATHS_MAX} paths", param="paths")
    if not all(isinstance(path, str) for path in paths):
        raise BadRequestError("each of `paths` is a text", param="paths")
    return paths


def _whoami(caller: Caller) -> Row:
    return {
        "type": "user",
        "id": caller.key_id,
        "name": caller.name,
        "fullname": caller.name,
        "email": None,
        "emailVerified": False,
        "canPay": False,
        "isPro": False,
        "orgs": [],
        "auth": {
            "type": "access_token",
            "accessToken": {"displayName": caller.name, "role": "read"},
        },
    }


def _nothing(request: Request) -> NotFoundError:
    said = f"the Hub's API has nothing at {request.path[:200]} here"
    return NotFoundError(said, advice="docs/apis.md lists what it has")
