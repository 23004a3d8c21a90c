"""The side that asks: takes an issuer's answer, checks it, and writes it down."""

from pathlib import Path

from littoral.adapters.owner import Bundle, Checker, FabricFiles, keep_issuer
from littoral.terms.errors import IdentityError
from littoral.terms.ids import PopId
from littoral.terms.limits import CLOCK_SKEW_S
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND
from littoral.trust.admission import Admission
from littoral.trust.joining import JoinAnswer
from littoral.trust.members import Member

__all__ = ["accept"]


def accept(
    home: Path, answer: JoinAnswer, *, pop: PopId, fingerprint: bytes, clock: Clock
) -> tuple[Member, Admission]:
    """Become what an issuer has answered; gives this PoP's name and its admission.

    Args:
        home: this PoP's, whose keys the request was made with.
        answer: to `join`, `renew` or `come_back`.
        pop: this PoP.
        fingerprint: of the owner's root key: the ticket's, or `FabricFiles.fingerprint()`.
        clock: this machine's, which is compared with the issuer's.

    Raises:
        IdentityError: the answer is not of that owner, or not for this PoP and its keys; or the
            clocks differ by more than limits.CLOCK_SKEW_S. Nothing was written.
        HomeUnwritableError: it can't be written.
    """
    unix_s = clock.unix_ns() // SECOND
    ahead_s = unix_s - answer.unix_s
    if abs(ahead_s) > CLOCK_SKEW_S:
        how = f"{abs(ahead_s)} s {'ahead of' if ahead_s > 0 else 'behind'}"
        raise IdentityError(
            f"this machine's clock is {how} that of the PoP that answered",
            advice="set the wrong one of them by a time server",
        )
    own = Bundle([answer.root])
    files = FabricFiles(home)
    if own.fingerprints != (fingerprint,):
        raise IdentityError("the answer is of another owner than the one that was asked")
    checker = Checker(own)
    member = checker.member(answer.chain, unix_s)
    admission = checker.admission(answer.admission, unix_s)
    if member.pop != pop or admission.member != member:
        raise IdentityError(f"the answer is for {member.pop}, and not for this PoP")
    if answer.root not in Bundle(answer.bundle).roots:
        raise IdentityError("the answer trusts others, and not the owner that was asked")
    files.check(answer, clock)
    if answer.issuer_certificate:
        keep_issuer(home, answer.issuer_certificate, answer.root)
    files.keep(answer, clock)
    return member, admission
