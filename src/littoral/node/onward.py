"""What goes with a request to another PoP: by which PoPs it came, whose it is, and until when.

Whose it is is said in digits that only this PoP can make, from the caller's scope and a secret:
another PoP can keep callers apart by them, and learns nothing else. Keys never leave this PoP.
"""

import hashlib
from functools import lru_cache
from typing import Final

from littoral.terms.ids import KeyId, PopId
from littoral.terms.limits import KEYS_MAX
from littoral.terms.ports import Signer
from littoral.terms.values import Caller, Passage

__all__ = ["Onward", "key_behind"]

_SECRET_OF: Final = b"littoral: the secret of this PoP's scopes"
"""No receipt is signed over this, and whoever has the signing key has the PoP."""

_DIGITS: Final = 32
_KEY_DIGITS: Final = 12


@lru_cache(KEYS_MAX)
def key_behind(pop: PopId, scope: str) -> KeyId:
    """The key id by which the PoP that is asked keeps a caller of another one apart.

    Args:
        pop: the PoP that passes the request on.
        scope: what it says of whose request it is.
    """
    return KeyId(f"p{hashlib.sha256(f'{pop}/{scope}'.encode()).hexdigest()[:_KEY_DIGITS]}")


class Onward:
    """Makes passages."""

    def __init__(self, pop: PopId, signer: Signer) -> None:
        """Take the PoP's name and its key, from which the secret follows: it outlives restarts."""
        self._pop = pop
        self._secret = hashlib.sha256(signer.sign(_SECRET_OF)).digest()
        self._scopes: dict[str, str] = {}

    def passage(self, caller: Caller, nonce: str) -> Passage:
        """What goes with this caller's request."""
        hop = caller.hop
        via, until = ((), None) if hop is None else (hop.via, hop.until)
        scope = self._scope(caller.scope)
        return Passage((*via, self._pop), scope, nonce, until, caller.requires)

    def _scope(self, scope: str) -> str:
        known = self._scopes.get(scope)
        if known is None:
            if len(self._scopes) >= KEYS_MAX:
                self._scopes.clear()
            digest = hashlib.sha256(self._secret + scope.encode())
            known = self._scopes[scope] = digest.hexdigest()[:_DIGITS]
        return known
