"""Every bound of the system, with its unit in its name and its reason beside it.

A queue, cache, in-flight set or body without a bound here is a defect (invariant I4). Bounds
that an operator may want to move are settings (node/config.py), whose defaults stand here.
"""

from typing import Final

HEAD_BYTES_MAX: Final = 64 * 1024
"""Request line and headers. nginx allows 4 x 8 KiB, Node 16 KiB; agents send long cookies."""

HEADERS_MAX: Final = 100
"""Header fields in one request, as in nginx and Go's practice of small hundreds."""

BODY_BYTES_MAX: Final = 32 * 1024 * 1024
"""One request body: an embeddings batch of 2,048 long texts is about 16 MiB."""

BODIES_BYTES_MAX: Final = 256 * 1024 * 1024
"""All request bodies together, from their first byte to the end of their answer."""

CHUNK_LINE_BYTES_MAX: Final = 1024
"""Size line, with extensions, or one trailer of a chunked request body."""

CHUNKS_FREE: Final = 1024
"""Chunks of one request body whose size does not matter."""

CHUNK_BYTES_MEAN_MIN: Final = 64
"""Mean size of the chunks beyond those: each costs the same work however little it carries."""

ACCEPTS_WAITING_MAX: Final = 1024
"""Connections that the kernel has made and the PoP has not yet taken."""

RESOLVE_WAIT_S: Final = 5.0
"""Looking up the name of the address to listen on."""

LINGER_WAIT_S: Final = 2.0
"""How long a refused client is read on and ignored, so that it can read why it was refused."""

CONNECTIONS_MAX: Final = 10_000
"""Open client connections; beyond it a new one is answered 503 and closed."""

HEAD_WAIT_S: Final = 10.0
"""Time from the first byte of a request to the end of its head."""

BODY_WAIT_S: Final = 60.0
"""Time from the end of the head to the end of the body."""

IDLE_WAIT_S: Final = 75.0
"""A kept-alive connection without a request is closed after this long."""

WRITE_WAIT_S: Final = 60.0
"""A client that takes no byte for this long while an answer waits for it is dropped."""

PIPELINE_BYTES_MAX: Final = 64 * 1024
"""Bytes kept of a next request while the present one is answered."""

JSON_DEPTH_MAX: Final = 64
"""Nesting of a request's JSON; tools and schemas seen in the field stay under 20."""

JSON_VALUES_MAX: Final = 1_100_000
"""Values in one request's JSON: a million tokens in 2,048 lists, and room for the rest."""

JSON_CONTAINERS_MAX: Final = 65_536
"""Objects and arrays in one request's JSON: each costs as much time as ten numbers."""

JSON_NAMES_MAX: Final = 262_144
"""Names of members in one request's JSON: a bias for each token of a large vocabulary."""

QUEUE_MAX: Final = 64
"""Requests that may wait for one model; the next is answered 503 with Retry-After."""

SLOTS: Final = 8
"""Sequences that one local model decodes at a time: 8 gave 2.2x the tokens/s of 1."""

KV_TOKENS_MAX: Final = 16_384
"""Tokens of key-value cache that the slots of one local model share."""

LOAD_WAIT_S: Final = 60.0
"""How long a request waits for its model to load before it is told the progress."""

KEEP_ALIVE_S: Final = 900.0
"""A model without requests is unloaded after this long, unless it is pinned."""

DRAIN_S: Final = 3.0
"""Answers under way may go on this long after a stop is asked for; then they end honestly."""

WORKER_READY_S: Final = 120.0
"""A worker that is not ready by then is ended: large weights on a slow disk take this long."""

FIRST_BYTE_WAIT_S: Final = 600.0
"""Prefill of a full context on a slow CPU; an upstream that takes longer is given up."""

BETWEEN_BYTES_WAIT_S: Final = 120.0
"""Silence within an answer after which its engine is taken for dead."""

ANSWER_WAIT_S: Final = 3_600.0
"""One whole answer of an upstream, from the request to its last byte."""

CHOICES_MAX: Final = 8
"""`n`, and prompts in one completions request: each takes a slot."""

EMBED_TEXTS_MAX: Final = 2_048
"""Texts in one embeddings request, as OpenAI allows."""

STOP_TEXTS_MAX: Final = 16
"""Stop strings in one request; OpenAI takes 4, agents send up to 8."""

TOOLS_MAX: Final = 128
"""Tools in one request, as OpenAI allows."""

TOOL_TEXT_CHARS_MAX: Final = 64 * 1024
"""Text held back while it may still turn out to be tool calls; longer text is text."""

RECEIPTS_MAX: Final = 1_000_000
"""Receipts kept for look-up; the oldest are dropped first (3 KB each on disk)."""

RECEIPT_BYTES_MAX: Final = 16 * 1024
"""One receipt with its signature and opening; today's are about 2 KB."""

RECEIPT_TEXT_PARTS_MAX: Final = 256
"""Texts in one answer (choices, blocks, output parts) that its receipt can cover."""

RECEIPT_UNREAD_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes of a response kept until its text can be read; a longer body has no text digest."""

SAVED_ANSWER_BYTES_MAX: Final = 256 * 1024 * 1024
"""A saved answer or request that `verify` reads: the largest bodies, in base64, and room."""

USAGE_DAYS_MAX: Final = 400
"""Days of usage kept per key: a year and a month, for whoever bills by it."""

KEYS_MAX: Final = 10_000
"""API keys on one PoP."""

NONCE_CHARS_MAX: Final = 128
"""A client's nonce, any visible ASCII."""

STDERR_LINES_MAX: Final = 200
"""Last lines of a worker's log kept to explain its death."""

COMPLETION_TOKENS: Final = 1_024
"""Tokens generated when neither the request nor the model's entry says how many."""

REUSE_OBSERVATIONS_MAX: Final = 2_000
"""Comparisons that one reusable answer's record counts; then all are halved, and the old fades."""

REUSE_PARTITION_ENTRIES_MAX: Final = 256
"""Reusable questions with one and the same setting: all are scanned exactly, in under 1 ms."""

REUSE_ENTRIES_MAX: Final = 50_000
"""Reusable questions on one PoP: about 3 KB each on disk, 150 MB in all."""

REUSE_QUESTION_CHARS_MAX: Final = 800
"""A question that may be compared by meaning; an embedding of a longer text blurs its details."""

REUSE_ANSWER_CHARS_MAX: Final = 2_000
"""An answer that may be compared by meaning; a longer one is the same only if it is equal."""

REUSE_CANDIDATES: Final = 8
"""Nearest questions that are looked at: the nearest may be an opposite that words tell apart."""
