"""Registries: manifests of all sorts, and the ways in which they ask who we are."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from littoral.adapters.origins.asking import Asker
from littoral.adapters.origins.credentials import Credential
from littoral.adapters.origins.registries import RegistryOrigin
from littoral.terms.errors import OriginChangedError, OriginRefusedError
from tests.certificates import self_signed
from tests.contract.servers import Pushed, registry
from tests.contract.troubled import Trouble, Troubled, troubled

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
RAW = "application/vnd.cncf.model.weight.v1.raw"
NAME = "someone/tiny"
WEIGHTS = b"weights" * 1_000


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Troubled]:
    with registry(tmp_path / "registry") as port, troubled(port) as made:
        yield made


def manifest_of(pushed: Pushed, *layers: dict[str, object]) -> dict[str, object]:
    config = {"mediaType": "application/vnd.oci.empty.v1+json", **pushed.blob(NAME, b"{}")}
    return {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": list(layers)}


def layer_of(pushed: Pushed, kind: str = RAW, **notes: str) -> dict[str, object]:
    layer = {"mediaType": kind, **pushed.blob(NAME, WEIGHTS)}
    return {**layer, "annotations": notes} if notes else layer


TITLE = {"org.opencontainers.image.title": "./w.bin"}


def test_an_index_of_one_artifact_is_that_artifact(asker: Asker, wire: Troubled) -> None:
    pushed = Pushed(wire.target)
    document = manifest_of(pushed, layer_of(pushed, **TITLE))
    digests = [pushed.manifest(NAME, "one", document)]
    document["annotations"] = {"another": "one"}
    digests.append(pushed.manifest(NAME, "two", document))
    size = len(json.dumps(document))
    rows = [{"mediaType": MANIFEST, "digest": digest, "size": size} for digest in digests]
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}
    pushed.manifest(NAME, "single", {**index, "manifests": rows[:1]})
    pushed.manifest(NAME, "several", {**index, "manifests": rows})
    origin = RegistryOrigin(asker)
    listing = origin.find(f"oci:{wire.address}/{NAME}:single")
    assert listing.reference == f"oci:{wire.address}/{NAME}@{digests[0]}"
    assert [file.path for file in listing.files] == ["w.bin"]
    assert not listing.private
    with pytest.raises(OriginRefusedError, match="several artifacts"):
        origin.find(f"oci:{wire.address}/{NAME}:several")


@pytest.mark.parametrize(
    ("kind", "notes", "reason"),
    [
        ("application/vnd.cncf.model.weight.v1.tar", TITLE, "packed"),
        ("application/vnd.cncf.model.weight.v1.tar+zstd", TITLE, "packed"),
        ("application/vnd.oci.image.layer.v1.tar+gzip", TITLE, "packed"),
        ("application/vnd.oci.image.layer.v1.tar", {}, "packed"),
        (
            "application/vnd.oci.image.layer.v1.tar",
            {**TITLE, "io.deis.oras.content.unpack": "true"},
            "packed",
        ),
        (RAW, {}, "without a name"),
        (RAW, {"org.cncf.model.filepath": "../w"}, "no file may have"),
    ],
)
def test_what_is_no_file_as_it_is_is_refused(
    asker: Asker, wire: Troubled, kind: str, notes: dict[str, str], reason: str
) -> None:
    pushed = Pushed(wire.target)
    pushed.manifest(NAME, "v1", manifest_of(pushed, layer_of(pushed, kind, **notes)))
    with pytest.raises(OriginRefusedError, match=reason):
        RegistryOrigin(asker).find(f"oci:{wire.address}/{NAME}:v1")


def test_a_single_file_that_oras_pushed_is_a_file(asker: Asker, wire: Troubled) -> None:
    pushed = Pushed(wire.target)
    layer = layer_of(pushed, "application/vnd.oci.image.layer.v1.tar", **TITLE)
    pushed.manifest(NAME, "v1", manifest_of(pushed, layer))
    (file,) = RegistryOrigin(asker).find(f"oci:{wire.address}/{NAME}:v1").files
    assert file.digest == f"sha256:{hashlib.sha256(WEIGHTS).hexdigest()}"


def test_a_manifest_that_has_another_digest_than_it_is_named_by_is_refused(
    asker: Asker, wire: Troubled
) -> None:
    pushed = Pushed(wire.target)
    pushed.manifest(NAME, "v1", manifest_of(pushed, layer_of(pushed, **TITLE)))
    origin = RegistryOrigin(asker)
    other = "sha256:" + "0" * 64
    wire.troubles = [Trouble(headers={"docker-content-digest": other})]
    with pytest.raises(OriginChangedError):
        origin.find(f"oci:{wire.address}/{NAME}:v1")
    wire.troubles = [Trouble(headers={"docker-content-digest": "sha512:whatever"})]
    assert origin.find(f"oci:{wire.address}/{NAME}:v1").files


def test_a_host_that_speaks_without_tls_must_be_named(asker: Asker, wire: Troubled) -> None:
    pushed = Pushed(wire.target)
    pushed.manifest(NAME, "v1", manifest_of(pushed, layer_of(pushed, **TITLE)))
    host = wire.address.replace("127.0.0.1", "0.0.0.0")
    plain = RegistryOrigin(asker, plain_hosts=frozenset({host}))
    assert plain.find(f"oci:{host}/{NAME}:v1").files
    with pytest.raises(Exception, match=r"SSL|broke"):
        RegistryOrigin(asker).find(f"oci:{host}/{NAME}:v1")


@dataclass
class Issuer:
    """Gives tokens that the registry believes, to who knows the password."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    password: str | None = None
    life_s: int = 300
    seen: list[str] = field(default_factory=list)

    def token(self, query: dict[str, list[str]]) -> str:
        name, actions = query["scope"][0].split(":")[1:]
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        head = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        now = int(time.time())
        access = {"type": "repository", "name": name, "actions": actions.split(",")}
        body = {
            "iss": "issuer",
            "sub": "",
            "aud": query["service"][0],
            "jti": "1",
            "exp": now + self.life_s,
            "nbf": now - 600,
            "iat": now - 600,
            "access": [access],
        }
        signed = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(body).encode())}"
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encoded(r.to_bytes(32) + s.to_bytes(32))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    certificate, key = self_signed(tmp_path, "issuer")
    private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return Issuer(private, x509.load_pem_x509_certificate(Path(certificate).read_bytes()))


@pytest.fixture
def realm(issuer: Issuer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            issuer.seen.append(given)
            wanted = f"Basic {base64.b64encode(f'me:{issuer.password}'.encode()).decode()}"
            allowed = issuer.password is None or given == wanted
            query = parse_qs(urlsplit(self.path).query)
            body = json.dumps({"token": issuer.token(query)}).encode() if allowed else b"{}"
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/token"
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def guarded(tmp_path: Path, issuer: Issuer, realm: str) -> Iterator[Troubled]:
    """A registry that wants tokens of the issuer, with one artifact in it."""
    auth = (
        f"auth: {{token: {{realm: '{realm}', service: registry, issuer: issuer, "
        f"rootcertbundle: {tmp_path}/cert.pem}}}}\n"
    )
    with registry(tmp_path / "registry", auth) as port, troubled(port) as wire:
        scope = {"service": ["registry"], "scope": [f"repository:{NAME}:pull,push"]}
        pushed = Pushed(port, {"Authorization": f"Bearer {issuer.token(scope)}"})
        pushed.manifest(NAME, "v1", manifest_of(pushed, layer_of(pushed, **TITLE)))
        yield wire


def test_a_token_is_asked_for_once_and_again_when_it_has_run_out(
    asker: Asker, guarded: Troubled, issuer: Issuer
) -> None:
    origin = RegistryOrigin(asker)
    issuer.life_s = -300  # what is given now has run out before it is used
    with pytest.raises(OriginRefusedError, match="401"):
        origin.find(f"oci:{guarded.address}/{NAME}:v1")
    issuer.life_s = 300
    listing = origin.find(f"oci:{guarded.address}/{NAME}:v1")
    assert not listing.private
    asked = len(issuer.seen)
    (file,) = listing.files
    for _ in range(3):
        with origin.read(file, 10, 100) as pieces:
            assert b"".join(pieces) == WEIGHTS[10:100]
    assert len(issuer.seen) == asked
    assert set(issuer.seen) == {""}


def test_a_password_goes_to_who_gives_tokens_and_not_to_the_registry(
    asker: Asker, guarded: Troubled, issuer: Issuer, realm: str
) -> None:
    issuer.password = "hunter2"
    who = urlsplit(realm).netloc
    reference = f"oci:{guarded.address}/{NAME}:v1"
    for host, pair in ((guarded.address, "hunter2"), (who, "guess")):
        origin = RegistryOrigin(asker, {host: Credential(pair, "me")})
        with pytest.raises(OriginRefusedError, match="credential for") as caught:
            origin.find(reference)
        assert "hunter2" not in str(caught.value)
    assert RegistryOrigin(asker, {who: Credential("hunter2", "me")}).find(reference).private
    shown = [one.headers.get("authorization", "Bearer") for one in guarded.seen]
    assert all(value.startswith("Bearer") for value in shown)


@pytest.mark.parametrize(
    "challenge", ["Negotiate", "Bearer", 'Bearer realm="ftp://h/"', 'Bearer realm="http://[/"']
)
def test_a_registry_that_asks_in_another_way_is_refused(
    asker: Asker, wire: Troubled, challenge: str
) -> None:
    wire.troubles = [Trouble(status=401, headers={"www-authenticate": challenge})]
    with pytest.raises(OriginRefusedError):
        RegistryOrigin(asker).find(f"oci:{wire.address}/{NAME}:v1")


def test_a_registry_that_wants_a_password_itself_gets_it(asker: Asker, wire: Troubled) -> None:
    pushed = Pushed(wire.target)
    pushed.manifest(NAME, "v1", manifest_of(pushed, layer_of(pushed, **TITLE)))
    wire.troubles = [Trouble(status=401, headers={"www-authenticate": 'Basic realm="x"'})]
    origin = RegistryOrigin(asker, {wire.address: Credential("p", "u")})
    assert origin.find(f"oci:{wire.address}/{NAME}:v1").private
    shown = [one.headers.get("authorization") for one in wire.seen]
    assert shown == [None, "Basic dTpw"]
