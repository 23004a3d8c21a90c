"""Where artifacts come from: one implementation of the port `Origin` for each kind of reference.

`references` says how artifacts are named. `hub` (`hf:`), `web` (`https://`), `buckets` (`s3://`),
`registries` (`oci:`, `ollama:`) and `folders` (`file:`) read them; packages (`package:`) are the
models' own (`models/packed`), and are given to `Origins`. What they have in common is HTTP (`lines`
are connections, `asking` asks, `replies` come, `ranges` sees that they are what was asked for),
`credentials`, what is believed of a `listing`, and whether whole files keep their `promises`.
docs/origins.md tells it all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, assert_never

from littoral.adapters.origins.asking import Asker, Patience
from littoral.adapters.origins.buckets import BucketOrigin, BucketSettings
from littoral.adapters.origins.credentials import Credential, credential_for
from littoral.adapters.origins.folders import FolderOrigin
from littoral.adapters.origins.hub import DEFAULT_ENDPOINT, HubOrigin
from littoral.adapters.origins.references import (
    BucketReference,
    FolderReference,
    HubReference,
    ImageReference,
    PackageReference,
    WebReference,
    parse_hub,
    parse_reference,
)
from littoral.adapters.origins.registries import RegistryOrigin
from littoral.adapters.origins.web import WebOrigin
from littoral.terms.errors import BadRequestError
from littoral.terms.ports import Origin

__all__ = [
    "Origins",
    "OriginsSettings",
    "BucketSettings",
    "Credential",
    "Patience",
    "HubOrigin",
    "HubReference",
    "DEFAULT_ENDPOINT",
    "parse_hub",
    "parse_reference",
]


@dataclass(frozen=True, slots=True)
class OriginsSettings:
    """What a PoP knows of the places that artifacts come from."""

    credentials: Mapping[str, Credential] = field(default_factory=dict, repr=False)
    """By `host` or `host:port`: what that server, and no other, is shown."""
    hub_endpoint: str = DEFAULT_ENDPOINT
    buckets: BucketSettings = field(default_factory=BucketSettings)
    plain_hosts: frozenset[str] = frozenset()
    """Registries (`host` or `host:port`) that are asked without TLS; loopback always is."""
    patience: Patience = field(default_factory=Patience)


class Origins:
    """All origins of one process, over one set of connections; a context that closes them."""

    def __init__(self, settings: OriginsSettings, packages: Origin | None = None) -> None:
        """Ask nobody yet.

        Args:
            settings: who is where, and trusted with what.
            packages: reads what `package:` names; None where nobody does.
        """
        asker = self._asker = Asker(settings.patience)
        known = settings.credentials
        token = credential_for(known, settings.hub_endpoint)
        self._hub = HubOrigin(
            asker, settings.hub_endpoint.rstrip("/"), None if token is None else token.secret
        )
        self._web = WebOrigin(asker, known)
        self._buckets = BucketOrigin(asker, settings.buckets, known)
        self._registries = RegistryOrigin(asker, known, settings.plain_hosts)
        self._folders = FolderOrigin()
        self._packages = packages

    def origin_for(self, reference: str) -> Origin:
        """Who reads what this names.

        Raises:
            BadRequestError: it names nothing, or what nobody reads here.
        """
        meant = parse_reference(reference)
        match meant:
            case HubReference():
                return self._hub
            case WebReference():
                return self._web
            case BucketReference():
                return self._buckets
            case ImageReference():
                return self._registries
            case FolderReference():
                return self._folders
            case PackageReference():
                if self._packages is None:
                    raise BadRequestError(
                        f"{reference[:200]} is inside packages, which nobody reads here"
                    )
                return self._packages
            case _:
                assert_never(meant)

    def close(self) -> None:
        """Close every connection that is kept; reads under way end by themselves."""
        self._asker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
