"""A plain client with a clock: what a person's program does, and nothing cleverer."""

import base64
import http.client
import json
import struct
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["Spoken", "Target", "chat", "chat_many", "embed", "leave", "leave_unstreamed"]

WAIT_S = 120.0
SYSTEM = "You are a helpful assistant."


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send requests, and as whom."""

    url: str
    key: str
    model: str

    def post(
        self, path: str, body: Mapping[str, object]
    ) -> AbstractContextManager[http.client.HTTPResponse]:
        """One request of the model, as `send` does it."""
        return self.send(path, {"model": self.model, **body})

    @contextmanager
    def send(self, path: str, body: Mapping[str, object]) -> Iterator[http.client.HTTPResponse]:
        """One request on a connection of its own; leaving the context closes it."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=WAIT_S
        )
        head = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        try:
            connection.request("POST", path, json.dumps(body), head)
            response = connection.getresponse()
            if response.status >= 300:
                raise RuntimeError(f"{path}: {response.status} {response.read()[:500]!r}")
            yield response
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Spoken:
    """One answer: when it began and ended, counted from the request, and its tokens."""

    first_s: float
    total_s: float
    tokens: int


def question(prompt: str, tokens: int, *, stream: bool) -> dict[str, object]:
    """A chat request whose answer depends on the model alone: nothing is left to defaults."""
    body: dict[str, object] = {
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0,
        "seed": 1,
        "stream": stream,
    }
    if stream:
        body["stream_options"] = {"include_usage": True}
    return body


def events(response: http.client.HTTPResponse) -> Iterator[dict[str, object]]:
    """The JSON events of a stream, up to its end mark; comments are passed over."""
    for line in response:
        if line.startswith(b"data: "):
            data = line[6:].strip()
            if data == b"[DONE]":
                return
            yield json.loads(data)


def has_text(event: dict[str, object]) -> bool:
    """Whether an event carries a piece of the answer."""
    choices = event.get("choices")
    return bool(
        isinstance(choices, list) and choices and choices[0].get("delta", {}).get("content")
    )


def chat(target: Target, prompt: str, tokens: int) -> Spoken:
    """One streamed answer, to its end."""
    begun = time.perf_counter()
    first, count = 0.0, 0
    with target.post("/v1/chat/completions", question(prompt, tokens, stream=True)) as response:
        for event in events(response):
            if not first and has_text(event):
                first = time.perf_counter() - begun
            usage = event.get("usage")
            if isinstance(usage, dict):
                count = usage["completion_tokens"]
    return Spoken(first, time.perf_counter() - begun, count)


def chat_many(target: Target, prompts: list[str], tokens: int) -> float:
    """All at once: tokens a second, over the time until the last has ended."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(len(prompts)) as pool:
        answers = list(pool.map(lambda prompt: chat(target, prompt, tokens), prompts))
    return sum(answer.tokens for answer in answers) / (time.perf_counter() - begun)


def leave(target: Target, prompt: str, tokens: int, *, after: int) -> None:
    """Begin a long streamed answer and close the connection after some pieces of it."""
    with target.post("/v1/chat/completions", question(prompt, tokens, stream=True)) as response:
        for count, _event in enumerate(events(response)):
            if count >= after:
                return
    raise RuntimeError("the answer ended before it was left")


def leave_unstreamed(target: Target, prompt: str, tokens: int, *, after_s: float) -> None:
    """Ask for a long answer in one piece and close the connection while it is made."""
    address = urlsplit(target.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=WAIT_S)
    head = {"Content-Type": "application/json", "Authorization": f"Bearer {target.key}"}
    body = {"model": target.model, **question(prompt, tokens, stream=False)}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), head)
    time.sleep(after_s)
    connection.close()


def embed(target: Target, texts: list[str]) -> float:
    """Texts a second for one request, with the vectors decoded as the official client does."""
    begun = time.perf_counter()
    body: dict[str, object] = {"input": texts, "encoding_format": "base64"}
    with target.post("/v1/embeddings", body) as response:
        rows = json.loads(response.read())["data"]
    vectors = [base64.b64decode(row["embedding"]) for row in rows]
    if len(vectors) != len(texts):
        raise RuntimeError(f"{len(vectors)} vectors for {len(texts)} texts")
    widths = {len(struct.unpack(f"<{len(vector) // 4}f", vector)) for vector in vectors}
    if len(widths) != 1:
        raise RuntimeError(f"vectors of widths {widths}")
    return len(texts) / (time.perf_counter() - begun)
