"""A receipt of the story, checked as anyone can who has the answer and the PoPs' public keys."""

from collections.abc import Collection
from typing import Final

from littoral.adapters.identity import verify
from littoral.node.asking import Reply
from littoral.node.demo.told import Line, Proven
from littoral.terms.errors import DemoFailedError
from littoral.trust.saved import SavedAnswer, read_saved
from littoral.trust.verification import Standing, Verdict, verify_answer

__all__ = ["prove"]

_SHOWN: Final = ("signature", "signer", "request", "response", "text", "neighbour")
_RIGHT: Final = b"Paris"
_WRONG: Final = b"Lyons"


def prove(reply: Reply, trusted: Collection[bytes]) -> Proven:
    """What a receipt proves of an answer, and of the same answer with another word in it.

    Args:
        reply: has `Paris` in it.
        trusted: public keys, 32 bytes each: of the PoP that was asked and the one that answered.

    Raises:
        DemoFailedError: the right one is not accepted, or the other one is.
    """
    answer = read_saved(reply.bundle())
    verdict = verify_answer(answer, verify=verify, trusted=trusted)
    changed = SavedAnswer(
        response=answer.response.replace(_RIGHT, _WRONG, 1),
        document=answer.document,
        request=answer.request,
    )
    altered = verify_answer(changed, verify=verify, trusted=trusted)
    if changed.response == answer.response or not verdict.accepted or altered.accepted:
        raise DemoFailedError("an answer is not proven by its receipt, or an altered one is")
    return Proven(
        receipt=reply.receipt_id,
        accepted=verdict.accepted,
        lines=tuple(each for each in _lines(verdict) if each.name in _SHOWN),
        altered_accepted=altered.accepted,
        altered=tuple(each for each in _lines(altered) if each.standing == Standing.REJECTED.value),
    )


def _lines(verdict: Verdict) -> list[Line]:
    return [Line(each.standing.value, each.name, each.text) for each in verdict.claims]
