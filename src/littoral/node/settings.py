"""Every setting, as one row.

The command line's options, the environment's variables, the lines of littoral.toml and
docs/settings.md all come from the rows of `SETTINGS`.

Not here: what a row is (setting.py); reading any source (config.py, config_file.py).
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from littoral.node.setting import Setting
from littoral.routing.prices import UNIT_WORTH_S
from littoral.terms import limits

__all__ = ["CONFIG_FILE", "SETTINGS", "grouped"]

CONFIG_FILE: Final = Setting(
    "config",
    "",
    "path",
    "File with settings; without it HOME/littoral.toml, if there is one.",
    "state",
)
"""What names the file. It is no setting itself, but has a flag and a variable as they have."""

SETTINGS: Final = (
    Setting(
        "home", "~/.littoral", "path", "State directory: identity, keys, models, receipts.", "state"
    ),
    Setting("host", "127.0.0.1", "address", "Address to listen on.", "address"),
    Setting("port", 7400, "port", "Port to listen on; 0 takes a free one.", "address", most=65_535),
    Setting(
        "tls_cert", "", "path", "Certificate chain (PEM); with tls_key, serve HTTPS.", "address"
    ),
    Setting("tls_key", "", "path", "Private key (PEM) of tls_cert.", "address"),
    Setting(
        "expose_without_tls",
        False,
        "flag",
        "Listen beyond this machine in clear text: keys and prompts can be read on the way.",
        "address",
    ),
    Setting(
        "workers",
        1,
        "processes",
        "Processes that answer at the address; keys, limits, breakers and cache are shared.",
        "address",
        least=1,
        most=limits.WORKERS_MAX - 1,
    ),
    Setting(
        "site",
        "main",
        "name",
        "Site of the first PoP of an owner: where links are fast. Others have theirs by ticket.",
        "fabric",
    ),
    Setting("zone", "main", "name", "Zone of that site: what requests may be kept to.", "fabric"),
    Setting(
        "fabric_host",
        "",
        "address",
        "Address to listen on for other PoPs, with mutual TLS, once one was invited or joined. "
        "Unless it is given: 127.0.0.1, and where one has joined, the address it joined from.",
        "fabric",
    ),
    Setting(
        "fabric_port",
        7401,
        "port",
        "Port for requests of other PoPs; 0 takes a free one.",
        "fabric",
        most=65_535,
    ),
    Setting(
        "state_port",
        7402,
        "port",
        "Port for the state of the fabric; 0 takes a free one.",
        "fabric",
        most=65_535,
    ),
    Setting(
        "fabric_address",
        "",
        "address",
        "HOST:PORT at which others reach fabric_port, if it is not the one listened on.",
        "fabric",
    ),
    Setting(
        "fabric_dials_out",
        False,
        "flag",
        "This PoP can't be dialled: hold connections to others that can, and be asked over them.",
        "fabric",
    ),
    Setting(
        "prices",
        "",
        "names",
        "What models cost whoever asks for them, as MODEL=PROMPT/ANSWER: units for a million "
        "tokens of each. * is all others; what has no price costs nothing.",
        "fabric",
    ),
    Setting(
        "unit_worth_s",
        UNIT_WORTH_S,
        "seconds",
        "How much longer an answer may take to cost one unit less: what price weighs in routing.",
        "fabric",
    ),
    Setting(
        "mover_port",
        7403,
        "port",
        "Port at which other PoPs fetch artifacts; 0 takes a free one.",
        "delivery",
        most=65_535,
    ),
    Setting(
        "mover_address",
        "",
        "address",
        "HOST:PORT at which others reach mover_port, if it is not the one listened on.",
        "delivery",
    ),
    Setting(
        "store_bytes_max",
        0,
        "bytes",
        "Disk for what is delivered here; 0 is what the disk has free, less some to spare.",
        "delivery",
    ),
    Setting(
        "hub_endpoint",
        "https://huggingface.co",
        "url",
        "The Hub that hf: means: its own address, or that of another that speaks its protocol.",
        "delivery",
    ),
    Setting(
        "models",
        "smollm2-135m,all-minilm-l6-v2",
        "names",
        "Models to bring in on the first start, load at every start, and keep loaded.",
        "models",
    ),
    Setting(
        "threads",
        0,
        "threads",
        "Threads per engine; 0 is cores granted - 1, at least 1.",
        "models",
    ),
    Setting(
        "slots",
        limits.SLOTS,
        "requests",
        "Requests one local model works on at a time.",
        "models",
        least=1,
    ),
    Setting(
        "kv_tokens",
        limits.KV_TOKENS_MAX,
        "tokens",
        "Key-value cache that the slots of one local model share.",
        "models",
        least=1,
    ),
    Setting(
        "memory_bytes",
        0,
        "bytes",
        "Most memory for models; 0 is what the machine has free.",
        "models",
    ),
    Setting(
        "queue",
        limits.QUEUE_MAX,
        "requests",
        "Requests that may wait for one model.",
        "models",
        least=1,
    ),
    Setting(
        "pull_on_request",
        True,
        "",
        "Bring in a model that is asked for and that another PoP of the owner has, where nobody "
        "serves it; only for operators' keys and keys that may use all models.",
        "models",
    ),
    Setting(
        "load_wait_s",
        limits.LOAD_WAIT_S,
        "seconds",
        "Longest wait for a model to load.",
        "models",
    ),
    Setting(
        "keep_alive_s",
        limits.KEEP_ALIVE_S,
        "seconds",
        "Unload a model idle for this long.",
        "models",
    ),
    Setting(
        "cache_bytes_max",
        limits.CACHE_BYTES_MAX,
        "bytes",
        "Disk for answers that are given again; 0 is no answer cache.",
        "cache",
    ),
    Setting(
        "cache_memory_bytes",
        limits.CACHE_MEMORY_BYTES,
        "bytes",
        "Memory for answers in front of that disk, of each process.",
        "cache",
    ),
    Setting(
        "cache_ttl_s",
        limits.CACHE_TTL_S,
        "seconds",
        "How long an answer is given again at most.",
        "cache",
    ),
    Setting(
        "cache_epoch",
        1,
        "number",
        "Another number, and nothing that was kept before is given again.",
        "cache",
    ),
    Setting(
        "reuse_model",
        "all-minilm-l6-v2",
        "name",
        "Embedding model that compares questions for reuse by meaning.",
        "cache",
    ),
    Setting(
        "reuse_error_max",
        0.0,
        "share",
        "Most wrong answers that requests may ask for whose key has no bound; 0 is none.",
        "cache",
        most=1,
    ),
    Setting(
        "body_bytes_max", limits.BODY_BYTES_MAX, "bytes", "Largest request body.", "limits", least=1
    ),
    Setting(
        "connections_max",
        limits.CONNECTIONS_MAX,
        "connections",
        "Most open connections.",
        "limits",
        least=1,
    ),
    Setting(
        "head_wait_s",
        limits.HEAD_WAIT_S,
        "seconds",
        "Time a client has to send a head.",
        "limits",
    ),
    Setting(
        "body_wait_s",
        limits.BODY_WAIT_S,
        "seconds",
        "Time a client has to send a body.",
        "limits",
    ),
    Setting(
        "drain_s",
        limits.DRAIN_S,
        "seconds",
        "How long answers may go on after a stop.",
        "limits",
    ),
    Setting(
        "embedding_model",
        "all-minilm-l6-v2",
        "name",
        "Model that embeds what is put into collections for which nobody names one.",
        "memory",
    ),
    Setting(
        "files_bytes_max",
        limits.FILES_BYTES,
        "bytes",
        "Disk for files that clients send to be put into vector stores, all together.",
        "memory",
    ),
    Setting(
        "memory_driver",
        "embedded",
        "name",
        "What keeps collections that are made: embedded, or a server of memory_servers.",
        "memory",
    ),
    Setting(
        "memory_servers",
        "",
        "names",
        "Servers that keep collections, as DRIVER=ADDRESS; docs/memory-drivers.md has each.",
        "memory",
    ),
    Setting(
        "memory_secrets",
        "",
        "names",
        "Their passwords or keys, as DRIVER=FILE (for its owner alone), or DRIVER=env:VARIABLE.",
        "memory",
    ),
)
"""In the order in which documents have them; those of one group stand together."""


def grouped() -> Iterator[tuple[str, list[Setting]]]:
    """The heading of each group, and its rows."""
    for group, rows in groupby(SETTINGS, key=lambda row: row.group):
        yield group, list(rows)
