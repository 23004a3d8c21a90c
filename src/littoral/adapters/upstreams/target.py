"""One upstream of one model: where it is, how it is asked, and with which key.

The key is read from its file or variable when the target is made and by `read_key`, and shows in no
error. Another PoP needs no key: it knows this one by its certificate. It is told by which PoPs the
request has come, and how much of its time is left.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from littoral.adapters.http.client import fixed_fields
from littoral.adapters.http.hop import Call
from littoral.adapters.http.line import Line, Spawn
from littoral.adapters.http.watch import Watch
from littoral.adapters.http.words import Deadlines, Hears, Origin
from littoral.adapters.upstreams.words import PATHS, Errand
from littoral.terms.errors import ConfigError
from littoral.terms.ids import PopId
from littoral.terms.limits import UPSTREAM_CONNECTIONS_MAX
from littoral.terms.values import EngineInfo, EngineKind, ModelEntry, UpstreamTarget
from littoral.trust.members import Member

__all__ = ["DEADLINE", "FOR", "SCOPE", "TO", "VIA", "Gathering", "ReadSecret", "Target"]

VIA: Final = "littoral-via"
"""The PoPs that a request has come through, in order, with commas between them."""
SCOPE: Final = "littoral-scope"
"""Whose request it is, in digits that tell one from another and nothing else."""
TO: Final = "littoral-to"
"""The PoP that a request is for, where another one passes it on."""
FOR: Final = "littoral-for"
"""Whose request one is that is passed on so: the name of the PoP that asks."""
DEADLINE: Final = "littoral-deadline-ms"
"""Milliseconds until whoever waits gives the request up."""

ReadSecret = Callable[[str], str | None]
"""An environment variable's value."""


class Gathering:
    """How much of whole answers is kept, of all targets together."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class Target:
    """One upstream of one model."""

    def __init__(
        self,
        entry: ModelEntry,
        settings: UpstreamTarget,
        *,
        watch: Watch,
        spawn: Spawn,
        secret: ReadSecret,
        gathering: Gathering,
        line: Line | None = None,
    ) -> None:
        """Connect to nothing yet.

        Raises:
            ConfigError: the address is none, or its key can't be read.
            IdentityError: the name of the PoP that it is to be is none.
        """
        self.entry = entry
        self.settings = settings
        self._origin, self._path = Origin.of_url(settings.base_url)
        self._secret = secret
        self.pop: PopId | None = Member.of_name(settings.peer).pop if settings.peer else None
        """The PoP that it is, if it is one."""
        relayed = settings.through not in {"", settings.peer}
        self.relay: PopId | None = Member.of_name(settings.through).pop if relayed else None
        """The other PoP that passes requests on to it, if it can't be dialled."""
        self.name = self.pop or self._origin.name
        self.witnessed = self.pop is not None and entry.relay.receipts
        """Its answers come with receipts of its own."""
        self.line = line or Line(self._origin, watch, spawn)
        self.gathering = gathering
        self.info = EngineInfo(
            engine=EngineKind.UPSTREAM,
            build=f"{'upstream' if self.pop is None else 'neighbour'} {settings.model}",
            device=self.name,
            slots=UPSTREAM_CONNECTIONS_MAX,
            context_tokens=entry.context_tokens,
        )
        relay = entry.relay
        self.deadlines = Deadlines(
            relay.connect_s, relay.first_byte_s, relay.between_bytes_s, relay.total_s
        )
        self.key = ""
        self._heads: dict[str, bytes] = {}
        self.read_key()

    def read_key(self) -> None:
        """Take the key as it is now.

        Raises:
            ConfigError: there should be one, and it can't be read.
        """
        self.key = _read_key(self.settings, self._secret)
        fields = {
            "host": self._origin.authority,
            "user-agent": "littoral",
            "accept-encoding": "identity",
            "content-type": "application/json",
        }
        if self.key:
            name = self.settings.key_header.lower()
            fields[name] = f"Bearer {self.key}" if name == "authorization" else self.key
        written = fixed_fields(fields)
        self._heads = {
            api: f"POST {self._path}{path} HTTP/1.1\r\n{written}".encode("latin-1")
            for api, path in PATHS.items()
        }

    def adds_usage(self, errand: Errand) -> bool:
        """Whether a stream's usage is asked for here; where a receipt comes, that has it."""
        return errand.usage and not self.witnessed

    def body_of(self, errand: Errand) -> bytes:
        """What is sent."""
        return errand.body_for(self.settings.model, usage=self.adds_usage(errand))

    def ask(self, errand: Errand, hears: Hears, left_s: float) -> Call:
        """Send the request; `hears` is told of the answer, never before this returns.

        Args:
            errand: what is asked.
            hears: is told of the answer.
            left_s: how long the answer may take.
        """
        body = self.body_of(errand)
        start = self._heads[errand.api]
        if errand.fields:
            start += errand.fields.encode("latin-1")
        if self.pop is not None:
            start += _passed_on(errand, left_s)
            if self.relay is not None:
                start += f"{TO}: {self.pop}\r\n".encode("latin-1")
        head = b"%bcontent-length: %d\r\n\r\n" % (start, len(body))
        return self.line.ask(head, body, hears, self.deadlines)

    def probe(self, hears: Hears, deadlines: Deadlines) -> Call:
        """Ask what models there are, which costs an upstream nothing."""
        start = self._heads["chat.completions"]
        head = start.replace(
            f"POST {self._path}/chat/completions".encode("latin-1"),
            f"GET {self._path}/models".encode("latin-1"),
            1,
        )
        return self.line.ask(head + b"\r\n", b"", hears, deadlines)

    def close(self) -> None:
        """Close the idle connections; those in use close with their answers."""
        self.line.close()


def _passed_on(errand: Errand, left_s: float) -> bytes:
    """The header fields that another PoP gets."""
    passage = errand.passage
    assert passage is not None, "without a passage no other PoP is asked"
    text = f"{VIA}: {', '.join(passage.via)}\r\n{SCOPE}: {passage.scope}\r\n"
    if passage.nonce:
        text += f"littoral-nonce: {passage.nonce}\r\n"
    if passage.requires:
        text += f"littoral-require: {passage.requires}\r\n"
    return f"{text}{DEADLINE}: {max(1, int(left_s * 1000))}\r\n".encode("latin-1")


def _read_key(settings: UpstreamTarget, secret: ReadSecret) -> str:
    """The key, or nothing when none is set up."""
    if settings.key_file is not None:
        try:
            return Path(settings.key_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigError(
                f"the upstream's key file {settings.key_file} can't be read",
                advice="put the key alone into it, readable by you only (chmod 600)",
            ) from None
    if settings.key_env is not None:
        key = secret(settings.key_env)
        if not key:
            raise ConfigError(
                f"the environment variable {settings.key_env} has no key in it",
                advice="set it before starting, or give a key file",
            )
        return key.strip()
    return ""
