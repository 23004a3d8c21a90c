"""API keys: made once, kept as hashes, refused in one sentence."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.terms.errors import BadRequestError, KeyMissingError, KeyRejectedError
from littoral.terms.ids import ModelName
from littoral.terms.values import Caller, KeyLimits
from littoral.trust.keys import KEY_RANDOM_BYTES, Grant, KeyRecord, check, key_id_of, make_key

RANDOM = bytes(range(KEY_RANDOM_BYTES))
NOW = 1_764_000_000


def made(grant: Grant | None = None, random: bytes = RANDOM) -> tuple[KeyRecord, str]:
    return make_key(random, name="laptop", unix_s=NOW, grant=grant)


randoms = st.binary(min_size=KEY_RANDOM_BYTES, max_size=KEY_RANDOM_BYTES)


@given(randoms)
def test_every_key_has_the_form_that_secret_scanners_look_for(random: bytes) -> None:
    record, token = made(random=random)
    assert re.fullmatch(r"lit_[a-z2-7]{12}_[A-Za-z0-9_-]{43}", token)
    assert record.key_id == "k" + token[4:16]
    assert key_id_of(token) == record.key_id
    assert check(record, token, NOW).key_id == record.key_id


def test_nothing_of_the_secret_is_kept() -> None:
    record, token = made()
    secret = token.split("_", 2)[2]
    assert len(record.hash) == 32
    assert secret not in repr(record)


def test_a_good_key_says_who_holds_it_and_what_it_allows() -> None:
    grant = Grant(
        models=(ModelName("tiny"),),
        limits=KeyLimits(tokens_per_day=9),
        operator=True,
        tenant="acme",
        reuse_error_max=0.02,
    )
    record, token = made(grant)
    caller = Caller(
        record.key_id,
        "laptop",
        operator=True,
        models=(ModelName("tiny"),),
        limits=KeyLimits(tokens_per_day=9),
        tenant="acme",
        reuse_error_max=0.02,
    )
    assert check(record, token, NOW) == caller


@given(st.integers(0, 59), st.sampled_from("aA0_-z"))
def test_a_key_with_one_character_changed_opens_nothing(at: int, character: str) -> None:
    record, token = made()
    changed = token[:at] + character + token[at + 1 :]
    if changed == token:
        return
    with pytest.raises(KeyRejectedError):
        check(record if key_id_of(changed) == record.key_id else None, changed, NOW)


def test_expired_revoked_unknown_and_malformed_keys_are_refused_in_the_same_words() -> None:
    record, token = made(Grant(expires_unix_s=NOW + 10))
    revoked = KeyRecord(record.key_id, "laptop", record.hash, NOW, Grant(), revoked_unix_s=NOW)
    said = set()
    for attempt in (
        lambda: check(record, token, NOW + 10),
        lambda: check(revoked, token, NOW),
        lambda: check(None, token, NOW),
        lambda: check(record, made(random=bytes(KEY_RANDOM_BYTES))[1], NOW),
        lambda: key_id_of("sk-something-else"),
        lambda: key_id_of(token + "\n"),
    ):
        with pytest.raises(KeyRejectedError) as caught:
            attempt()
        said.add(str(caught.value))
    assert len(said) == 1
    assert token not in said.pop()


def test_a_key_is_good_until_the_second_it_expires() -> None:
    record, token = made(Grant(expires_unix_s=NOW + 10))
    assert check(record, token, NOW + 9).name == "laptop"


@pytest.mark.parametrize("token", [None, ""])
def test_no_key_at_all_is_said_to_be_missing(token: str | None) -> None:
    with pytest.raises(KeyMissingError):
        key_id_of(token)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[31m", "n" * 65])
def test_a_name_that_would_spoil_a_table_is_refused(name: str) -> None:
    with pytest.raises(BadRequestError):
        make_key(RANDOM, name=name, unix_s=NOW)


@pytest.mark.parametrize("tenant", [" ", "a b", "-a", "a/b", "a\n", "é", "n" * 65])
def test_a_tenant_that_would_be_mistaken_for_another_is_refused(tenant: str) -> None:
    with pytest.raises(BadRequestError, match="tenant"):
        made(Grant(tenant=tenant))


@pytest.mark.parametrize("label", ["", "a,b", "a\n", "n" * 65])
def test_a_label_that_would_be_mistaken_for_others_is_refused(label: str) -> None:
    with pytest.raises(BadRequestError, match="label"):
        made(Grant(labels=(label,)))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 2.0, float("nan"), float("inf")])
def test_a_share_of_wrong_answers_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(BadRequestError, match="share"):
        made(Grant(reuse_error_max=share))
