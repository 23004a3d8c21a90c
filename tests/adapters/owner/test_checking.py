"""Whom a certificate is believed, and whom not, whatever they show."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from littoral.adapters.owner import (
    Bundle,
    Checker,
    FabricFiles,
    Owner,
    issuer_request,
    read_request,
)
from littoral.terms.errors import IdentityError, JoinRejectedError
from littoral.terms.limits import CLOCK_SKEW_S, LEAF_S
from littoral.trust.admission import ADMISSION, POLICY, Admission, Membership, OwnerPolicy, Signed
from tests.adapters.owner.made import (
    START_UNIX_S,
    SetClock,
    answer_for,
    identity,
    member_of,
    owner_at,
)

WHO = identity(5)
POP = WHO.pop_id
NOW = START_UNIX_S


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return owner_at(tmp_path / "own", SetClock())


@pytest.fixture
def other(tmp_path: Path) -> Owner:
    return owner_at(tmp_path / "other", SetClock(), 2)


@pytest.fixture
def chain(tmp_path: Path, owner: Owner) -> tuple[bytes, ...]:
    return answer_for(owner, FabricFiles(tmp_path), SetClock(), 5).chain


def private(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def forged(
    leaf: bytes,
    *,
    by: bytes,
    key: ec.EllipticCurvePrivateKey,
    change: Callable[[x509.Extension[x509.ExtensionType]], x509.ExtensionType | None] | None = None,
    common_name: str = "",
    of: ec.EllipticCurvePublicKey | None = None,
) -> bytes:
    """A certificate like this one, that whoever has this key signs as this issuer."""
    model, issuer = map(x509.load_der_x509_certificate, (leaf, by))
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, common_name or model.subject.rfc4514_string()[3:])]
    )
    public = of or model.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject)
        .public_key(public)
        .serial_number(77)
        .not_valid_before(model.not_valid_before_utc)
        .not_valid_after(model.not_valid_after_utc)
    )
    for extension in model.extensions:
        value: x509.ExtensionType | None = extension.value
        if isinstance(value, x509.AuthorityKeyIdentifier):
            value = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        elif change is not None:
            value = change(extension)
        if value is not None:
            built = built.add_extension(value, critical=extension.critical)
    return built.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def named(*names: x509.GeneralName) -> Callable[..., x509.ExtensionType]:
    def change(extension: x509.Extension[x509.ExtensionType]) -> x509.ExtensionType:
        san = isinstance(extension.value, x509.SubjectAlternativeName)
        return x509.SubjectAlternativeName(names) if san else extension.value

    return change


def test_a_member_is_known_by_its_name(owner: Owner, chain: tuple[bytes, ...]) -> None:
    checker = Checker(Bundle([owner.root]))
    checked = checker.checked(chain, NOW)
    assert checked.member == checker.member(chain, NOW) == member_of(owner, POP)
    assert checked.issuer == owner.pop
    assert checked.expires_unix_s == NOW + LEAF_S
    assert checker.member((*chain, owner.root), NOW) == checked.member


def test_what_a_certificate_has_is_what_zenoh_and_tls_libraries_need(
    owner: Owner, chain: tuple[bytes, ...]
) -> None:
    leaf, issuer, root = map(x509.load_der_x509_certificate, (*chain, owner.root))
    assert leaf.subject.rfc4514_string() == f"CN={POP}"
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc) == dt.timedelta(
        seconds=LEAF_S + CLOCK_SKEW_S
    )
    for authority, length in ((issuer, 0), (root, 1)):
        limits = authority.extensions.get_extension_for_class(x509.BasicConstraints)
        assert limits.critical
        assert limits.value == x509.BasicConstraints(ca=True, path_length=length)
        assert authority.extensions.get_extension_for_class(x509.KeyUsage).critical
        names = authority.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
            f"spiffe://{owner.owner_id}"
        ]


def test_clocks_may_differ_by_minutes(owner: Owner, chain: tuple[bytes, ...]) -> None:
    checker = Checker(Bundle([owner.root]))
    for unix_s in (NOW - CLOCK_SKEW_S, NOW + LEAF_S):
        assert checker.member(chain, unix_s).pop == POP
    with pytest.raises(IdentityError, match="ran out 7 s ago"):
        checker.member(chain, NOW + LEAF_S + 7)
    with pytest.raises(IdentityError, match="good only in 100 s") as caught:
        checker.member(chain, NOW - CLOCK_SKEW_S - 100)
    assert "is a clock wrong?" in caught.value.advice


def test_another_owner_is_not_known_until_its_root_is(
    tmp_path: Path, owner: Owner, other: Owner, chain: tuple[bytes, ...]
) -> None:
    with pytest.raises(IdentityError, match="an owner that is not known here"):
        Checker(Bundle([other.root])).member(chain, NOW)
    with pytest.raises(IdentityError, match="an owner that is not known here"):
        Checker(Bundle()).member(chain, NOW)
    both = Checker(Bundle([owner.root, other.root]))
    theirs = answer_for(other, FabricFiles(tmp_path), SetClock(), 6).chain
    assert both.member(chain, NOW).owner == owner.owner_id
    assert both.member(theirs, NOW).owner == other.owner_id


def test_an_issuer_can_not_name_the_pops_of_another_owner(
    tmp_path: Path, owner: Owner, other: Owner, chain: tuple[bytes, ...]
) -> None:
    """What URI name constraints would forbid, if TLS libraries knew them."""
    theirs = answer_for(other, FabricFiles(tmp_path), SetClock(), 6).chain[1]
    key = private(tmp_path / "other" / "owner" / "issuer.key")
    stolen = forged(chain[0], by=theirs, key=key)
    checker = Checker(Bundle([owner.root, other.root]))
    for shown in ((stolen, theirs), (stolen, theirs, other.root), (stolen, chain[1], theirs)):
        with pytest.raises(IdentityError, match=f"no issuer of {owner.owner_id} vouches"):
            checker.member(shown, NOW)


def test_another_authority_of_the_same_names_is_not_believed(
    tmp_path: Path, owner: Owner, chain: tuple[bytes, ...]
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    root = forged(owner.root, by=owner.root, key=key, of=key.public_key())
    issuer = forged(chain[1], by=root, key=key, of=key.public_key())
    leaf = forged(chain[0], by=issuer, key=key)
    for shown in ((leaf, issuer), (leaf, issuer, root), (leaf, chain[1]), (chain[0], issuer)):
        with pytest.raises(IdentityError, match="vouches"):
            Checker(Bundle([owner.root])).member(shown, NOW)
    with pytest.raises(IdentityError, match="no owner's root"):
        Bundle([root])


def test_a_pop_can_not_issue(tmp_path: Path, owner: Owner, chain: tuple[bytes, ...]) -> None:
    key = private(FabricFiles(tmp_path).key)
    leaf = forged(chain[0], by=chain[0], key=key)
    for shown in ((leaf, chain[0]), (leaf, chain[0], chain[1])):
        with pytest.raises(IdentityError, match="vouches"):
            Checker(Bundle([owner.root])).member(shown, NOW)


def test_an_authority_is_no_pop(tmp_path: Path, owner: Owner, chain: tuple[bytes, ...]) -> None:
    checker = Checker(Bundle([owner.root]))
    for shown in ((chain[1],), (owner.root,), (chain[1], owner.root)):
        with pytest.raises(IdentityError, match="an authority's, not a PoP's"):
            checker.member(shown, NOW)
    by_root = forged(chain[0], by=owner.root, key=private(tmp_path / "own/owner/root.key"))
    with pytest.raises(IdentityError, match="not issued by an owner's issuer"):
        checker.member((by_root, owner.root), NOW)


def test_a_wrong_name_by_the_right_issuer_is_refused(
    tmp_path: Path, owner: Owner, chain: tuple[bytes, ...]
) -> None:
    key = private(tmp_path / "own" / "owner" / "issuer.key")
    uri, host = x509.UniformResourceIdentifier, x509.DNSName
    name = member_of(owner, POP).name
    another = identity(6).pop_id
    wrong: list[tuple[Callable[..., x509.ExtensionType], str]] = [
        (named(uri("spiffe://elsewhere/pop/x"), host(POP)), "not the name of a PoP"),
        (named(uri(name.upper()), host(POP)), "not the name of a PoP"),
        (named(uri(f"{name}/more"), host(POP)), "not the name of a PoP"),
        (named(uri(f"spiffe://{owner.owner_id}"), host(POP)), "not the name of a PoP"),
        (named(uri(name), uri(name.replace("/eu/", "/us/")), host(POP)), "or several"),
        (named(host(POP)), "no PoP"),
        (named(uri(name), host(another)), "do not agree"),
        (named(uri(name), host(POP), host("pop.example")), "do not agree"),
        (named(uri(name)), "do not agree"),
    ]
    checker = Checker(Bundle([owner.root]))
    for change, why in wrong:
        leaf = forged(chain[0], by=chain[1], key=key, change=change)
        with pytest.raises(IdentityError, match=why):
            checker.member((leaf, chain[1]), NOW)
    leaf = forged(chain[0], by=chain[1], key=key, common_name=another)
    with pytest.raises(IdentityError, match="do not agree"):
        checker.member((leaf, chain[1]), NOW)


@pytest.mark.parametrize("kind", [x509.SubjectAlternativeName, x509.BasicConstraints])
def test_what_a_certificate_must_have_it_has(
    tmp_path: Path, owner: Owner, chain: tuple[bytes, ...], kind: type[x509.ExtensionType]
) -> None:
    key = private(tmp_path / "own" / "owner" / "issuer.key")

    def change(extension: x509.Extension[x509.ExtensionType]) -> x509.ExtensionType | None:
        return None if isinstance(extension.value, kind) else extension.value

    leaf = forged(chain[0], by=chain[1], key=key, change=change)
    with pytest.raises(IdentityError):
        Checker(Bundle([owner.root])).member((leaf, chain[1]), NOW)


def test_what_is_no_chain_at_all_is_refused(owner: Owner, chain: tuple[bytes, ...]) -> None:
    checker = Checker(Bundle([owner.root]))
    damaged = bytearray(chain[0])
    damaged[-1] ^= 1
    for shown in ((), chain[:1], (b"",), (b"nonsense",), chain * 3, (bytes(5000),)):
        with pytest.raises(IdentityError):
            checker.member(shown, NOW)
    with pytest.raises(IdentityError, match="vouches"):
        checker.member((bytes(damaged), chain[1]), NOW)
    for at in range(0, len(chain[0]), 7):
        changed = bytearray(chain[0])
        changed[at] ^= 0x5A
        with pytest.raises(IdentityError):
            checker.member((bytes(changed), chain[1]), NOW)


def admitted(owner: Owner, at_unix_s: int = NOW) -> Signed:
    admission = Admission(
        member_of(owner, POP).name,
        WHO.public_key,
        1,
        Membership.ADMITTED,
        issuer=False,
        at=at_unix_s * 1000,
    )
    return owner.sign(ADMISSION, admission.encoded(), NOW)


def test_an_admission_outlives_its_issuers_certificate(owner: Owner) -> None:
    checker, signed = Checker(Bundle([owner.root])), admitted(owner)
    assert checker.admission(signed, NOW).member == member_of(owner, POP)
    assert checker.admission(signed, NOW + 400 * 86_400).good


def test_a_word_is_not_believed_for_a_time_when_its_issuer_was_none(owner: Owner) -> None:
    checker = Checker(Bundle([owner.root]))
    with pytest.raises(IdentityError, match="was not good"):
        checker.admission(admitted(owner, NOW - 86_400), NOW)
    with pytest.raises(IdentityError, match="600 s in the future") as caught:
        checker.admission(admitted(owner, NOW + 600), NOW)
    assert "is a clock wrong?" in caught.value.advice


def test_a_word_that_no_issuer_of_that_owner_signed_is_refused(
    tmp_path: Path, owner: Owner, other: Owner, chain: tuple[bytes, ...]
) -> None:
    signed, checker = admitted(owner), Checker(Bundle([owner.root, other.root]))
    stolen = other.sign(ADMISSION, signed.payload, NOW)
    key = private(FabricFiles(tmp_path).key)
    by_pop = key.sign(b"anything", ec.ECDSA(hashes.SHA256()))
    changes: list[dict[str, object]] = [
        {"payload": signed.payload.replace(b"false", b"true")},
        {"payload": signed.payload.replace(b"/eu/", b"/us/")},
        {"signature": b""},
        {"signature": stolen.signature},
        {"signature": by_pop, "chain": (chain[0],)},
        {"chain": ()},
        {"chain": stolen.chain},
        {"chain": (owner.root,)},
        {"chain": (b"nonsense",)},
        {"kind": POLICY},
    ]
    for change in changes:
        with pytest.raises(IdentityError):
            checker.admission(msgspec.structs.replace(signed, **change), NOW)
    with pytest.raises(IdentityError, match="no issuer of"):
        checker.admission(stolen, NOW)
    with pytest.raises(IdentityError, match="not known here"):
        Checker(Bundle([other.root])).admission(signed, NOW)


def test_a_policy_is_by_our_own_issuer_and_about_the_root_it_holds(
    owner: Owner, other: Owner
) -> None:
    checker = Checker(Bundle([owner.root]))
    policy = OwnerPolicy(other.owner_id, other.root, 1, NOW * 1000, may_ask=True)
    signed = owner.sign(POLICY, policy.encoded(), NOW)
    assert checker.policy(signed, owner.owner_id, NOW) == policy
    by_itself = other.sign(POLICY, policy.encoded(), NOW)
    with pytest.raises(IdentityError, match="no issuer of"):
        checker.policy(by_itself, owner.owner_id, NOW)
    wrong = OwnerPolicy(other.owner_id, owner.root, 1, NOW * 1000)
    with pytest.raises(IdentityError, match="another owner's root"):
        checker.policy(owner.sign(POLICY, wrong.encoded(), NOW), owner.owner_id, NOW)
    with pytest.raises(IdentityError, match="not a policy"):
        checker.policy(admitted(owner), owner.owner_id, NOW)


def test_a_request_is_for_its_own_pop_and_key(tmp_path: Path) -> None:
    csr = issuer_request(tmp_path, POP, SetClock())
    assert read_request(csr, POP).pop == POP
    damaged = bytearray(csr)
    damaged[-1] ^= 1
    for request, pop, why in [
        (csr, identity(6).pop_id, "and not for"),
        (bytes(damaged), POP, "not signed by the key"),
        (b"nonsense", POP, "can't be read"),
        (b"", POP, "can't be read"),
    ]:
        with pytest.raises(JoinRejectedError, match=why):
            read_request(request, pop)
    large = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, POP)])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(large, hashes.SHA256())
    with pytest.raises(JoinRejectedError, match="not P-256"):
        read_request(made.public_bytes(Encoding.DER), POP)
