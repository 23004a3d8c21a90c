"""What installs the pins tells uv what pip is told, and brings in the uv that is pinned."""

from tests.tidy.test_source import ROOT
from tools.install import pinned, told

LISTED = """\
global.index-url='https://index.example/simple'
global.extra-index-url='https://one.example/simple\\nhttps://two.example/simple'
global.find-links='/wheels /more'
global.constraint='/etc/constraints.txt'
install.cert='/etc/ca.pem'
user.name='nobody'
:env:.index-url='https://nearer.example/simple'
:env:.proxy="http://it's.example:3128"
"""


def test_uv_is_told_what_pip_is_told_and_the_nearest_word_counts() -> None:
    assert told(LISTED) == {
        "UV_DEFAULT_INDEX": "https://nearer.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": "/wheels,/more",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "ALL_PROXY": "http://it's.example:3128",
    }


def test_of_nothing_nothing_is_told() -> None:
    assert told("") == told("what pip says when it fails\n") == {}


def test_the_pinned_uv_is_brought_in_with_its_hashes() -> None:
    first, *hashes = pinned((ROOT / "constraints.txt").read_text(), "uv").splitlines()
    assert first.startswith("uv==")
    assert hashes
    assert all("--hash=sha256:" in line for line in hashes)
    assert pinned("uvloop==1 \\\n    --hash=sha256:0\n", "uv") == ""
