"""How artifacts are named, read from whatever people write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.adapters.origins.references import (
    BucketReference,
    FolderReference,
    HubReference,
    ImageReference,
    PackageReference,
    Reference,
    WebReference,
    parse_reference,
)
from littoral.terms.errors import BadRequestError
from littoral.terms.ids import digest_of_hex

HEX = "0123456789abcdef" * 4
DIGEST = digest_of_hex(HEX)
STATE = "5" * 32


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hf:a/b", HubReference("a/b")),
        ("hf:a/b:c/d.gguf", HubReference("a/b", "c/d.gguf")),
        ("hf:a/b:c.gguf@v1", HubReference("a/b", "c.gguf", "v1")),
        ("hf:a/b@refs/pr/1:x@y:z.bin", HubReference("a/b", "x@y:z.bin", "refs/pr/1")),
        ("hf:a/b:*.safetensors", HubReference("a/b", "*.safetensors")),
        ("https://h:8/x?y=1", WebReference("https://h:8/x?y=1")),
        (f"http://h/x#sha256={HEX.upper()}", WebReference("http://h/x", DIGEST)),
        (f"https://h/x#state={STATE}", WebReference("https://h/x", state=STATE)),
        ("s3://bucket/a/b c.bin", BucketReference("bucket", "a/b c.bin")),
        ("s3://bucket", BucketReference("bucket", "")),
        (f"s3://bucket/a#b#state={STATE}", BucketReference("bucket", "a#b", STATE)),
        ("oci:h.io/a/b:v1", ImageReference("oci", "h.io", "a/b", "v1")),
        ("oci:h:5000/a/b", ImageReference("oci", "h:5000", "a/b", "latest")),
        (f"oci:h.io/a/b:v1@{DIGEST}", ImageReference("oci", "h.io", "a/b", digest=DIGEST)),
        (
            "ollama:smollm2:135m",
            ImageReference("ollama", "registry.ollama.ai", "library/smollm2", "135m"),
        ),
        ("ollama:me/own", ImageReference("ollama", "registry.ollama.ai", "me/own")),
        ("ollama:h.io/me/own:1b", ImageReference("ollama", "h.io", "me/own", "1b")),
        ("ollama:localhost:9/own", ImageReference("ollama", "localhost:9", "library/own")),
        ("file:/a/b c", FolderReference("/a/b c")),
        ("file:///a//b/", FolderReference("/a/b")),
        (f"file:/a#b#state={STATE}", FolderReference("/a#b", STATE)),
        ("package:smollm2-135m", PackageReference("smollm2-135m")),
    ],
)
def test_each_way_of_writing_means_one_thing_and_is_read_back(text: str, meant: Reference) -> None:
    assert parse_reference(text) == meant
    assert parse_reference(str(meant)) == meant


@pytest.mark.parametrize(
    "text",
    [
        *("", "hf:", "hf:a", "hf:a/b/c", "hf:../b", "hf:a/b:/x", "hf:a/b:x/../y", "hf:a/b@../x"),
        *("hf:a/b:x\\y", "hf:a/b:x\ny", "hf:a/b@v 1", "hf:a/b@v1@v2", "ftp://h/x", "https://"),
        *("https://user@h/x", "https://user:pass@h/x", "https://h:x/y", "https://h/x y"),
        *("https://h/x#md5=1", f"https://h/x#sha256={HEX[1:]}", "https://[h/x", "https://h/ä"),
        *("s3:/b/k", "s3://B/k", "s3://b", "s3://bucket/a\\b", "oci:/a", "oci:h", "oci:h/a:"),
        *("oci:h/../b", "oci:h/a@sha256:1", f"oci:h/a@sha512:{HEX}", "oci:h/-a", "oci:h:x/a"),
        *(
            "oci:user@h/a",
            "ollama:",
            "ollama:a:b:c",
            "file:a",
            "file:",
            "file:/a/../b",
            "file://h/x",
        ),
        *("package:", "package:../x", "package:A", "upstream:http://h", "x" * 5_000, "file:/a\0b"),
    ],
)
def test_what_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        parse_reference(text)


def test_a_password_is_not_repeated_in_the_refusal() -> None:
    for text in ("https://me:hunter2@h/x", "https://me:hunter2@h/x?y=hunter2"):
        with pytest.raises(BadRequestError) as caught:
            parse_reference(text)
        assert "hunter2" not in str(caught.value)


SCHEMES = ("hf:", "https://", "s3://", "oci:", "ollama:", "file:/", "package:", "")
TRICKY = st.text(st.sampled_from("ab/:@#=.*%\\ \0ä-_?[]0123456789"), max_size=40)


@given(st.sampled_from(SCHEMES), st.one_of(TRICKY, st.text(max_size=60)))
def test_any_text_is_a_reference_that_reads_back_or_is_refused(scheme: str, rest: str) -> None:
    try:
        meant = parse_reference(f"{scheme}{rest}")
    except BadRequestError:
        return
    assert parse_reference(str(meant)) == meant
