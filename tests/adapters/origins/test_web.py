"""Files of web servers: what is promised, what is private, and servers of all sorts."""

import hashlib
import http.server
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from littoral.adapters.origins.asking import Asker, Patience, Question
from littoral.adapters.origins.credentials import Credential
from littoral.adapters.origins.web import WebOrigin
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import OriginBrokeError, OriginChangedError, OriginRefusedError
from tests.certificates import self_signed
from tests.contract.servers import nginx
from tests.contract.troubled import Trouble, Troubled, troubled

CONTENT = b"0123456789" * 1_000
SHA256 = hashlib.sha256(CONTENT)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Troubled]:
    with nginx(tmp_path / "nginx") as port, troubled(port) as made:
        (tmp_path / "nginx" / "www" / "x.bin").write_bytes(CONTENT)
        yield made


@pytest.fixture
def url(wire: Troubled) -> str:
    return f"http://{wire.address}/x.bin"


@pytest.fixture
def origin(asker: Asker) -> WebOrigin:
    return WebOrigin(asker)


def read(origin: WebOrigin, file: OriginFile, start: int = 0) -> bytes:
    with origin.read(file, start, file.size_bytes) as pieces:
        return b"".join(pieces)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("repr-digest", f"sha-256=:{b64encode(SHA256.digest()).decode()}:"),
        ("digest", f"md5=x,SHA-256={b64encode(SHA256.digest()).decode()}"),
    ],
)
def test_a_digest_is_promised_by_the_server_or_by_the_reference(
    origin: WebOrigin, wire: Troubled, url: str, name: str, value: str
) -> None:
    digest = f"sha256:{SHA256.hexdigest()}"
    assert origin.find(url).files[0].digest is None
    wire.troubles = [Trouble(headers={name: value})]
    assert origin.find(url).files[0].digest == digest
    pinned = f"{url}#sha256={SHA256.hexdigest()}"
    assert (origin.find(pinned).files[0].digest, origin.find(pinned).reference) == (digest, pinned)


@pytest.mark.parametrize("value", ["sha-256=:AAAA:", "sha-512=:x:", "sha-256=" + "!" * 44])
def test_a_malformed_digest_promises_nothing(
    origin: WebOrigin, wire: Troubled, url: str, value: str
) -> None:
    wire.troubles = [Trouble(headers={"repr-digest": value})]
    assert origin.find(url).files[0].digest is None


def test_an_address_with_a_query_is_private_and_is_not_shown(
    origin: WebOrigin, wire: Troubled, url: str
) -> None:
    assert not origin.find(url).private
    assert origin.find(f"{url}?signature=secret").private
    with pytest.raises(OriginRefusedError) as caught:
        origin.find(f"http://{wire.address}/none?signature=secret")
    assert "secret" not in str(caught.value)


def test_what_needed_a_credential_is_private(asker: Asker, wire: Troubled, url: str) -> None:
    for credential, header in ((Credential("t"), "Bearer t"), (Credential("p", "u"), "Basic dTpw")):
        origin = WebOrigin(asker, {"127.0.0.1": credential, "other": Credential("no")})
        assert origin.find(url).private
        assert wire.seen[-1].headers["authorization"] == header


@pytest.mark.parametrize(
    ("headers", "conditional"),
    [
        ({"etag": 'W/"weak"'}, False),
        ({"etag": None}, True),
        ({"etag": None, "last-modified": None}, False),
    ],
    ids=["weak", "time", "nothing"],
)
def test_a_server_says_in_several_ways_which_file_it_is(
    origin: WebOrigin, wire: Troubled, url: str, headers: dict[str, str | None], conditional: bool
) -> None:
    wire.troubles = [Trouble(headers=headers) for _ in range(2)]
    file = origin.find(url).files[0]
    assert read(origin, file, 5_000) == CONTENT[5_000:]
    assert ("if-range" in wire.seen[-1].headers) == conditional
    wire.troubles = [Trouble(headers={"etag": '"another"'})]
    with pytest.raises(OriginChangedError):
        read(origin, file)


def test_a_server_without_ranges_is_for_small_files_only(
    origin: WebOrigin, wire: Troubled, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.troubles = [Trouble(ignore_range=True), Trouble(ignore_range=True)]
    assert read(origin, origin.find(url).files[0], 9_990) == CONTENT[-10:]
    monkeypatch.setattr("littoral.adapters.origins.web.WITHOUT_RANGES_BYTES_MAX", 9_999)
    wire.troubles = [Trouble(ignore_range=True)]
    with pytest.raises(OriginRefusedError, match="whole files only"):
        origin.find(url)


def test_a_server_that_does_not_say_a_size_is_refused(
    origin: WebOrigin, wire: Troubled, url: str
) -> None:
    for headers in ({"content-range": "bytes 0-0/*"}, {"content-range": "bytes 0-0/" + "9" * 400}):
        wire.troubles = [Trouble(headers={**headers})]
        with pytest.raises(OriginRefusedError, match="how large"):
            origin.find(url)


def test_an_empty_file_and_one_at_the_root_are_files_too(
    origin: WebOrigin, wire: Troubled, tmp_path: Path
) -> None:
    www = tmp_path / "nginx" / "www"
    (www / "empty").touch()
    (www / "index.html").write_bytes(b"hello")
    (empty,) = origin.find(f"http://{wire.address}/empty").files
    assert (empty.size_bytes, read(origin, empty)) == (0, b"")
    (root,) = origin.find(f"http://{wire.address}").files
    assert (root.path, read(origin, root)) == ("index", b"hello")


@pytest.mark.parametrize("name", ["%2e%2e", "a%00b", "a%5cb"])
def test_a_name_that_no_file_may_have_is_refused(
    origin: WebOrigin, wire: Troubled, url: str, name: str
) -> None:
    wire.troubles = [Trouble(status=302, headers={"location": url})]
    with pytest.raises(OriginRefusedError):
        origin.find(f"http://{wire.address}/{name}")


@pytest.mark.parametrize(
    "location",
    ["file:///etc/hostname", "ftp://127.0.0.1/x", "mailto:x", "http://[", "//", "/x.bin"],
)
def test_a_redirect_is_followed_only_to_the_web_and_not_in_circles(
    origin: WebOrigin, wire: Troubled, url: str, location: str
) -> None:
    wire.troubles = [Trouble(status=302, headers={"location": location}) for _ in range(6)]
    with pytest.raises(OriginRefusedError):
        origin.find(url)


def test_a_secret_does_not_go_where_a_redirect_leads(
    asker: Asker, wire: Troubled, url: str
) -> None:
    with troubled(wire.target) as other:
        wire.troubles = [Trouble(status=307, headers={"location": f"http://{other.address}/x.bin"})]
        origin = WebOrigin(asker, {wire.address: Credential("secret")})
        assert origin.find(url).files[0].size_bytes == len(CONTENT)
        assert "authorization" in wire.seen[0].headers
        assert "authorization" not in other.seen[0].headers


def test_a_secret_that_no_header_can_hold_is_not_told(
    asker: Asker, wire: Troubled, url: str
) -> None:
    origin = WebOrigin(asker, {wire.address: Credential("hunter2\nx")})
    with pytest.raises(OriginRefusedError) as caught:
        origin.find(url)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_nobody_listening_is_said_at_once(origin: WebOrigin) -> None:
    with pytest.raises(OriginBrokeError) as caught:
        origin.find("http://127.0.0.1:1/x")
    assert caught.value.retry_after_s == 0


def test_a_proxy_of_the_machine_is_used(wire: Troubled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:pass@{wire.address}")
    monkeypatch.setenv("no_proxy", "")
    asker = Asker(Patience())
    assert WebOrigin(asker).find("http://models.invalid/x.bin").files[0].size_bytes == len(CONTENT)
    asker.close()
    assert wire.seen[0].path == "http://models.invalid/x.bin"
    assert wire.seen[0].headers["proxy-authorization"] == "Basic bWU6cGFzcw=="


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """An address over TLS, and the file with the certificate that it has."""
    certificate, key = self_signed(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.HTTPServer(("127.0.0.1", 0), _Hello)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"https://localhost:{server.server_address[1]}/hello", certificate
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_certificate_that_the_machine_does_not_trust_is_refused(
    asker: Asker, secure: tuple[str, str]
) -> None:
    with pytest.raises(OriginRefusedError, match="certificate"):
        asker.ask(Question(secure[0], "x"))


def test_one_that_it_trusts_is_good(
    asker: Asker, secure: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", secure[1])
    with asker.ask(Question(secure[0], "x")) as reply:
        assert reply.read(100, "x") == b"hello"


def test_an_answer_that_is_too_long_is_not_read(asker: Asker, wire: Troubled, url: str) -> None:
    for trouble in (Trouble(), Trouble(chunked=True)):
        wire.troubles = [trouble]
        with asker.ask(Question(url, "x")) as reply, pytest.raises(OriginRefusedError):
            reply.read(len(CONTENT) - 1, "x")


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Nothing."""
