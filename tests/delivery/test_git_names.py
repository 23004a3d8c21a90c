"""What git calls the files of an artifact."""

from littoral.delivery.git_names import git_name, pointer_of, stand_in_commit
from littoral.terms.artifacts import OriginFile
from littoral.terms.ids import digest_of_hex

DIGEST = digest_of_hex("53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")
LARGE = OriginFile("model.safetensors", 90868376, DIGEST, place="1")
SMALL = OriginFile("a.json", 3, DIGEST, place="2", git_oid="0123456789" * 4)


def test_a_file_outside_of_git_is_named_by_its_pointer() -> None:
    assert pointer_of(DIGEST, 90868376) == (
        b"version https://git-lfs.github.com/spec/v1\n"
        b"oid sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db\n"
        b"size 90868376\n"
    )
    assert git_name(LARGE) == "d49eff1e4a6f0e3ba5069f21c6d20aad156dd2c9"
    assert git_name(SMALL) == "0123456789" * 4


def test_the_same_files_have_the_same_commit_in_any_order_and_other_files_another() -> None:
    both = stand_in_commit([LARGE, SMALL])
    assert both == stand_in_commit([SMALL, LARGE])
    assert len({both, stand_in_commit([LARGE]), stand_in_commit([SMALL])}) == 3
    assert len(both) == 40
