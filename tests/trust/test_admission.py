"""Admissions and policies: everybody keeps the same, and a revoked PoP stays out."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.terms.errors import IdentityError
from littoral.terms.ids import ModelName, OwnerId, PopId, SiteName, ZoneName
from littoral.trust.admission import (
    ADMISSION,
    Admission,
    Membership,
    OwnerPolicy,
    Roll,
    Signed,
    merged,
    merged_policy,
    merged_signed,
)
from littoral.trust.members import Member
from littoral.trust.names import pop_id

OWNER = OwnerId("own-0123456789abcdef")
ISSUER = PopId("pop-0000000000000000")
KEY = bytes(range(32))
MEMBER = Member(OWNER, ZoneName("eu"), SiteName("attic"), pop_id(KEY))

ADMISSIONS = st.builds(
    Admission,
    name=st.sampled_from(["eu", "us"]).map(
        lambda zone: Member(OWNER, ZoneName(zone), SiteName("attic"), pop_id(KEY)).name
    ),
    receipt_key=st.just(KEY),
    version=st.integers(1, 3),
    status=st.sampled_from(Membership),
    issuer=st.booleans(),
    at=st.integers(0, 2),
    note=st.sampled_from(["", "moved"]),
)
POLICIES = st.builds(
    OwnerPolicy,
    owner=st.just(OWNER),
    root=st.binary(max_size=1),
    version=st.integers(1, 3),
    at=st.integers(0, 2),
    may_ask=st.booleans(),
    models=st.none() | st.just((ModelName("tiny"),)),
    revoked=st.booleans(),
)
SIGNED = st.builds(
    lambda admission, signature: Signed(ADMISSION, admission.encoded(), signature, (b"",)),
    ADMISSIONS,
    st.binary(max_size=1),
)


def admission(
    status: Membership = Membership.ADMITTED, version: int = 1, *, member: Member = MEMBER
) -> Admission:
    return Admission(member.name, KEY, version, status, issuer=False, at=0)


@given(ADMISSIONS, ADMISSIONS, ADMISSIONS)
def test_merging_admissions_has_one_outcome(
    one: Admission, two: Admission, three: Admission
) -> None:
    assert merged(one, one) == one
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three))


@given(POLICIES, POLICIES, POLICIES)
def test_merging_policies_has_one_outcome(
    one: OwnerPolicy, two: OwnerPolicy, three: OwnerPolicy
) -> None:
    assert merged_policy(one, one) == one
    assert merged_policy(one, two) == merged_policy(two, one)
    assert merged_policy(merged_policy(one, two), three) == merged_policy(
        one, merged_policy(two, three)
    )


@given(SIGNED, SIGNED, SIGNED)
def test_merging_signed_words_has_one_outcome(one: Signed, two: Signed, three: Signed) -> None:
    assert merged_signed(one, one) == one
    assert merged_signed(one, two) == merged_signed(two, one)
    assert merged_signed(merged_signed(one, two), three) == merged_signed(
        one, merged_signed(two, three)
    )
    both = Admission.of_payload(one.payload), Admission.of_payload(two.payload)
    assert Admission.of_payload(merged_signed(one, two).payload) == merged(*both)


@given(st.lists(ADMISSIONS, min_size=1, max_size=4))
def test_a_revoked_pop_stays_revoked_whatever_is_said_and_in_whichever_order(
    said: list[Admission],
) -> None:
    revoked = any(each.status is Membership.REVOKED for each in said)
    for order in itertools.permutations(said):
        kept = Roll(order).admissions[MEMBER.pop]
        assert kept == Roll(said).admissions[MEMBER.pop]
        assert (kept.status is Membership.REVOKED) == revoked


def test_of_two_that_are_not_revoked_the_higher_version_is_kept() -> None:
    old, new = admission(Membership.DRAINED, 2), admission(Membership.ADMITTED, 3)
    assert merged(old, new) is new
    assert merged(admission(Membership.REVOKED, 1), new).status is Membership.REVOKED


@given(ADMISSIONS)
def test_an_admission_is_read_back_from_the_one_way_to_write_it(value: Admission) -> None:
    payload = value.encoded()
    assert Admission.of_payload(payload) == value
    with pytest.raises(IdentityError, match="written anew"):
        Admission.of_payload(payload.replace(b":", b": ", 1))
    with pytest.raises(IdentityError, match="damaged"):
        Admission.of_payload(payload[:-1])


def test_an_admission_holds_the_key_that_its_name_follows_from() -> None:
    other = msgspec.structs.replace(admission(), receipt_key=bytes(32))
    with pytest.raises(IdentityError, match="another PoP's key"):
        Admission.of_payload(other.encoded())


@given(POLICIES)
def test_a_policy_is_read_back(value: OwnerPolicy) -> None:
    assert OwnerPolicy.of_payload(value.encoded()) == value


@given(SIGNED)
def test_a_signed_word_is_read_back(value: Signed) -> None:
    assert Signed.of_bytes(value.encoded()) == value


def test_something_else_is_no_word_of_an_issuer() -> None:
    other = Signed("text/plain", b"{}", b"", ())
    with pytest.raises(IdentityError, match="nothing that an issuer signs"):
        merged_signed(other, other)


@pytest.mark.parametrize("status", [Membership.ADMITTED, Membership.DRAINED])
def test_the_roll_knows_a_member(status: Membership) -> None:
    assert Roll().with_(admission(status)).check(MEMBER, ISSUER) == admission(status)


@pytest.mark.parametrize("status", [Membership.REMOVED, Membership.REVOKED])
def test_the_roll_says_what_became_of_who_is_no_member(status: Membership) -> None:
    with pytest.raises(IdentityError, match=f"was {status.value}"):
        Roll([admission(status)]).check(MEMBER, ISSUER)


def test_of_whom_the_roll_knows_nothing_it_says_nothing() -> None:
    assert Roll().check(MEMBER, ISSUER) is None


def test_a_certificate_for_another_place_than_admitted_to_is_refused() -> None:
    moved = Member(OWNER, ZoneName("us"), MEMBER.site, MEMBER.pop)
    with pytest.raises(IdentityError, match="its owner knows it as"):
        Roll([admission()]).check(moved, ISSUER)


def test_a_certificate_that_a_revoked_pop_issued_is_refused() -> None:
    key = bytes(32)
    thief = Member(OWNER, MEMBER.zone, MEMBER.site, pop_id(key))
    revoked = Admission(thief.name, key, 1, Membership.REVOKED, issuer=False, at=0)
    roll = Roll([admission(), revoked])
    with pytest.raises(IdentityError, match=r"issued by pop-[0-9a-f]+, which was"):
        roll.check(MEMBER, thief.pop)
    assert roll.check(MEMBER, ISSUER) == admission()
    with pytest.raises(IdentityError, match="which was revoked"):
        Roll([revoked]).check(MEMBER, thief.pop)
