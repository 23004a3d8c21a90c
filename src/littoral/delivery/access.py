"""Who may be given the files of an artifact, and in which words what is not there is refused.

- A key that is limited to models reads what one of them is made of, and is refused the rest.
- What is private at its origin is read by a key that names one of its models, and by operators.
  For all others it is not there: its name alone says too much.

It does not authenticate. `details["missing"]` of a NotFoundError says what is not there:
`repository`, `revision` or `file`; front doors put it in the words of their API.
"""

from littoral.terms.artifacts import Shelved
from littoral.terms.errors import NotAllowedError, NotFoundError
from littoral.terms.values import Caller

__all__ = ["check_may_read", "unknown_file", "unknown_repository", "unknown_revision"]


def check_may_read(caller: Caller, shelved: Shelved) -> None:
    """See that this caller may read the artifact.

    Raises:
        NotFoundError: it may not even know of it.
        NotAllowedError: it may not read it.
    """
    named = caller.models is not None and not set(caller.models).isdisjoint(shelved.models)
    if caller.operator or named or (caller.models is None and not shelved.private):
        return
    if shelved.private:
        raise unknown_repository(shelved.repository)
    raise NotAllowedError(
        f"this key may not read {shelved.repository}",
        advice="ask the operator for a key that may use its model",
    )


def unknown_repository(repository: str) -> NotFoundError:
    """What is said of a repository that is not here, and of one that is nobody's business."""
    return _unknown("repository", repository, "check its name, and whether the key may read it")


def unknown_revision(repository: str, revision: str) -> NotFoundError:
    """There is no such branch, tag or commit."""
    return _unknown("revision", f"{revision} of {repository}", "leave it out for the present one")


def unknown_file(repository: str, path: str) -> NotFoundError:
    """There is no such file."""
    return _unknown("file", f"{path} in {repository}", "list the repository to see what it has")


def _unknown(what: str, name: str, advice: str) -> NotFoundError:
    said = f"there is no {what} {name[:200]!r} here"
    return NotFoundError(said, advice=advice, details={"missing": what})
