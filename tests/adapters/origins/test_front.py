"""One place that knows who reads what."""

import pytest

from littoral.adapters.origins import Credential, HubOrigin, Origins, OriginsSettings
from littoral.terms.errors import BadRequestError


def test_each_kind_of_reference_has_its_own_origin() -> None:
    references = ("hf:a/b", "https://h/x", "s3://bucket/x", "oci:h/x", "file:/x")
    with Origins(OriginsSettings()) as origins:
        found = [origins.origin_for(reference) for reference in references]
        assert len({id(origin) for origin in found}) == len(references)
        assert origins.origin_for("ollama:x") is origins.origin_for("oci:h/y")
        for nobodys in ("package:x", "ftp://h/x", "smollm2-135m"):
            with pytest.raises(BadRequestError):
                origins.origin_for(nobodys)


def test_the_hub_has_its_own_servers_token_and_shows_it_to_nobody() -> None:
    known = {"hub.example": Credential("hf_secret"), "huggingface.co": Credential("other")}
    settings = OriginsSettings(known, "https://hub.example/hub/")
    with Origins(settings) as origins:
        hub = origins.origin_for("hf:a/b")
    assert isinstance(hub, HubOrigin)
    assert (hub.endpoint, hub.token) == ("https://hub.example/hub", "hf_secret")
    assert "hf_secret" not in f"{hub!r} {settings!r} {known!r}"
