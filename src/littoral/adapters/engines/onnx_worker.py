"""The process that computes with ONNX Runtime: a small HTTP server on a Unix socket.

Run by worker.py as `python -m littoral.adapters.engines.onnx_worker`.

Rules
- Nothing is cut unasked: the tokenizer's own truncation and padding are switched off, and a text
  over the model's context is refused with both counts. Asked to, it keeps the beginning.
- Each text is computed alone, several at a time on one thread each. An int8 model scales its
  numbers to what it sees, so in a batch a text's vector would depend on its neighbours (by 0.02 in
  cosine); alone, the same text always has the same vector. It costs nothing: texts of 40 tokens
  and more go as fast as in batches or faster, for nothing is padding.
- Between groups of texts it is looked whether the caller still waits.

Not here: the requests' shapes (vectors.py and ranking.py read them before they come here), and what
sorts passages (cross_encoder.py).
"""

import hmac
import select
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import TYPE_CHECKING, Final, cast

import msgspec

from littoral.adapters.engines.cross_encoder import CrossEncoder, NoScoreError
from littoral.adapters.engines.lifeline import begin, take_signals
from littoral.adapters.engines.onnx_session import (
    GoneError,
    RefusedError,
    in_groups,
    opened,
    tokenizer_at,
)
from littoral.adapters.engines.vectors import encoded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["OnnxArguments"]

_BODY_BYTES_MAX: Final = 64 * 1024 * 1024


class OnnxArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What the PoP says on standard input."""

    model_path: str
    tokenizer_path: str
    model_name: str
    socket_path: str
    key: str
    context_tokens: int
    threads: int
    sorts: bool = False
    """It gives scores, not vectors."""
    squashed: bool = False
    """Scores are pressed between 0 and 1."""


class _Pairs(msgspec.Struct):
    """What is to be sorted, already checked by the PoP."""

    question: str
    texts: list[str]
    cut: bool = False
    """As in `RankWish`."""


class _Wish(msgspec.Struct):
    """What a request says, already checked by the PoP."""

    texts: list[str | list[int]]
    base64: bool = False
    cut: int | None = None
    """As in `EmbedWish`."""


_decode_pairs: Final = msgspec.json.Decoder(_Pairs).decode
_decode_wish: Final = msgspec.json.Decoder(_Wish).decode


class Encoder:
    """A tokenizer and a model: texts in, unit vectors out."""

    def __init__(self, arguments: OnnxArguments) -> None:
        """Load both."""
        self._tokenizer = tokenizer_at(arguments.tokenizer_path)
        self._vocabulary = self._tokenizer.get_vocab_size()
        self._context_tokens = arguments.context_tokens
        self._session = opened(arguments.model_path)
        self._threads = ThreadPoolExecutor(arguments.threads)

    def tokens(self, texts: list[str | list[int]], cut: int | None = None) -> list[list[int]]:
        """The tokens of each text, with the model's own marks around; given tokens as they are."""
        most = self._context_tokens if cut in {None, -1} else min(cut or 0, self._context_tokens)
        plain = [text for text in texts if isinstance(text, str)]
        encodings = iter(self._tokenizer.encode_batch_fast(plain))
        found = [next(encodings).ids if isinstance(text, str) else text for text in texts]
        if cut is not None:
            found = [ids if len(ids) <= most else [*ids[: most - 1], ids[-1]] for ids in found]
        for ids in found:
            if len(ids) > self._context_tokens:
                raise RefusedError(
                    type="too_long", tokens=len(ids), context_tokens=self._context_tokens
                )
            if max(ids, default=0) >= self._vocabulary:
                raise RefusedError(type="bad_token", vocabulary=self._vocabulary)
        return found

    def vectors(
        self, tokens: list[list[int]], still_wanted: Callable[[], bool]
    ) -> "NDArray[np.float32]":
        """The unit vector of each, one row per text, in the order given."""
        import numpy as np  # noqa: PLC0415

        rows: list[NDArray[np.float32]] = []
        for group in in_groups(tokens, still_wanted):
            rows.extend(self._threads.map(self._vector, group))
        return np.concatenate(rows)

    def _vector(self, ids: list[int]) -> "NDArray[np.float32]":
        import numpy as np  # noqa: PLC0415

        row = np.array([ids], np.int64)
        feed = {"input_ids": row, "attention_mask": np.ones_like(row)}
        return cast("NDArray[np.float32]", self._session.run(["embedding"], feed)[0])


class _Handler(BaseHTTPRequestHandler):
    """One connection of the PoP's."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # the head and the body leave together
    server: "_Server"

    def do_POST(self) -> None:
        """Answer one request."""
        given = self.headers.get("authorization", "")
        length = int(self.headers.get("content-length") or 0)
        if not hmac.compare_digest(given, f"Bearer {self.server.arguments.key}"):
            self.close_connection = True
            self._answer(401, {"error": {"type": "key"}})
            return
        if length > _BODY_BYTES_MAX:
            self.close_connection = True
            self._answer(413, {"error": {"type": "too_large"}})
            return
        raw = self.rfile.read(length)
        try:
            self._answer(200, self._work(raw))
        except GoneError:
            self.close_connection = True
        except RefusedError as error:
            self._answer(400, {"error": error.fields})
        except (RuntimeError, ValueError, NoScoreError, msgspec.MsgspecError) as error:
            self._answer(500, {"error": {"type": "failed", "message": type(error).__name__}})

    def _work(self, raw: bytes) -> dict[str, object]:
        model = self.server.model
        if isinstance(model, CrossEncoder):
            return self._scored(model, _decode_pairs(raw))
        return self._embedded(model, _decode_wish(raw))

    def _scored(self, model: CrossEncoder, wish: _Pairs) -> dict[str, object]:
        pairs = model.pairs(wish.question, wish.texts, cut=wish.cut)
        said: dict[str, object] = {"total_tokens": sum(len(pair.ids) for pair in pairs)}
        if self.path != "/count":
            said["scores"] = model.scores(pairs, self._still_wanted)
        return said

    def _embedded(self, encoder: Encoder, wish: _Wish) -> dict[str, object]:
        name = self.server.arguments.model_name
        tokens = encoder.tokens(wish.texts, wish.cut)
        total = sum(map(len, tokens))
        usage: dict[str, object] = {"prompt_tokens": total, "total_tokens": total}
        if self.path == "/count":
            return usage
        vectors = encoder.vectors(tokens, self._still_wanted)
        shown: list[object]
        if wish.base64:
            shown = [encoded(vector.astype("<f4").tobytes()) for vector in vectors]
        else:
            shown = vectors.tolist()
        data = [
            {"object": "embedding", "index": index, "embedding": one}
            for index, one in enumerate(shown)
        ]
        return {"object": "list", "model": name, "data": data, "usage": usage}

    def _still_wanted(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return not readable or self.connection.recv(1, socket.MSG_PEEK) != b""

    def _answer(self, status: int, body: dict[str, object]) -> None:
        raw = msgspec.json.encode(body)
        self.send_response_only(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing of requests."""


class _Server(ThreadingMixIn, UnixStreamServer):
    """Threads are as many as the PoP's connections, which it bounds."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, arguments: OnnxArguments, model: Encoder | CrossEncoder) -> None:
        self.arguments = arguments
        self.model = model
        super().__init__(arguments.socket_path, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A PoP that left in the middle is no error."""


def main() -> None:
    """Load the model, listen, say so, and stay until the PoP ends."""
    raw, line = begin()
    arguments = msgspec.convert(raw, OnnxArguments)
    line.stage("loading the weights")
    try:
        import onnxruntime  # noqa: PLC0415  # heavy: only in this process

        model, dimensions = _loaded(arguments)
    except ImportError:
        line.fail("ONNX Runtime is not installed; `pip install 'littoral[onnx]'` brings it")
        return
    except Exception as error:  # whatever it is, the PoP should know
        line.fail(f"ONNX Runtime could not load the model: {error}")
        return
    server = _Server(arguments, model)
    take_signals()
    line.ready(version=onnxruntime.__version__, device="cpu", dimensions=dimensions)
    server.serve_forever()


def _loaded(arguments: OnnxArguments) -> tuple[Encoder | CrossEncoder, int]:
    """The model, which has worked once, and how long its vectors are."""
    if arguments.sorts:
        sorts = CrossEncoder(
            arguments.model_path,
            arguments.tokenizer_path,
            context_tokens=arguments.context_tokens,
            threads=arguments.threads,
            squashed=arguments.squashed,
        )
        return sorts, 0
    encoder = Encoder(arguments)
    probe = encoder.vectors(encoder.tokens(["ready"]), lambda: True)
    return encoder, cast("int", probe.shape[1])


if __name__ == "__main__":
    main()
