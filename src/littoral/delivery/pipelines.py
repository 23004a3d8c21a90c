"""Pipelines as documents: read from what a person writes, checked, signed, and read again.

Rules
- There is one way to write a document (JSON with sorted members and no blanks); anything else is
  refused. The same pipeline, defined by the same PoP, is the same artifact everywhere.
- A definition says who has defined a document, by its digest. It is signed by the key that its PoP
  is named after, and has that key in it, as claims do. Whether that PoP is to be believed is for
  whoever takes it to decide.
- What is defined has a meaning: every step uses only what is there before it, and of the right
  kind, and nothing is named that no step uses. So a misspelling is found when it is made.

It is not known here whether the models and collections exist, nor how a pipeline is run.
"""

import base64
import tomllib
from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Annotated, Final, assert_never

import msgspec

from littoral.delivery.claims import CLAIM_BYTES_MAX
from littoral.terms.errors import BadRequestError, ReceiptRejectedError, RecordRejectedError
from littoral.terms.ids import PopId
from littoral.terms.limits import PIPELINE_DOCUMENT_BYTES_MAX, PIPELINE_STEPS_MAX
from littoral.terms.pipelines import INPUT, Embed, Generate, Pipeline, Recall, Rerank, Step
from littoral.terms.ports import Signer, Verify
from littoral.trust import dsse
from littoral.trust.decoding import ENCODER, PopName, Sha256, bytes_of_base64, decode_exactly
from littoral.trust.names import digest_of, pop_id

__all__ = [
    "DEFINITION_FILE",
    "PIPELINE_FILE",
    "PIPELINE_TYPE",
    "Definition",
    "encoded",
    "opened_definition",
    "read_pipeline",
    "signed_definition",
]

PIPELINE_TYPE: Final = "application/vnd.littoral.pipeline+json"
PIPELINE_FILE: Final = "pipeline.json"
DEFINITION_FILE: Final = "pipeline.sig"
"""The two files of an artifact that is a pipeline: the document, and who has defined it."""

_STEPS: Final[Mapping[str, type[Step]]] = {
    "embed": Embed,
    "recall": Recall,
    "rerank": Rerank,
    "generate": Generate,
}
_TEXT, _VECTOR, _PASSAGES = "a text", "a vector", "passages"


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=1, tag_field="v"):
    """What a PoP says: this pipeline is its own. The tag is the version of this form."""

    pipeline: Sha256
    """Of the document."""
    pop: PopName
    """Who says it."""
    public_key: Annotated[str, msgspec.Meta(max_length=44)]
    """Of that PoP: 32 bytes in base64."""


_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_PIPELINE: Final = msgspec.json.Decoder(Pipeline)
_DEFINITION: Final = msgspec.json.Decoder(Definition)
_ENVELOPE: Final = msgspec.json.Decoder(dsse.Envelope)


def read_pipeline(text: str) -> Pipeline:
    """The pipeline that somebody has written in TOML.

    Raises:
        BadRequestError: it is none, or has no meaning; the message says where.
    """
    if len(text.encode("utf-8", "replace")) > PIPELINE_DOCUMENT_BYTES_MAX:
        raise _refusal(f"it has more than {PIPELINE_DOCUMENT_BYTES_MAX} bytes")
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _refusal(f"it is no TOML: {error}") from None
    rows = document.pop("steps", None)
    if not isinstance(rows, list) or not rows:
        raise _refusal("it has no [[steps]]")
    steps = tuple(_step(number, row) for number, row in enumerate(rows, 1))
    named = {"about": "", "models": {}, "prompts": {}, "collections": {}}
    try:
        pipeline = msgspec.convert({**named, **document, "steps": ()}, Pipeline)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None
    pipeline = msgspec.structs.replace(pipeline, steps=steps)
    _check(pipeline)
    return pipeline


def encoded(pipeline: Pipeline) -> bytes:
    """The document of a pipeline.

    Raises:
        BadRequestError: it is over the bounds.
    """
    document = _ENCODER.encode(pipeline)
    if len(document) > PIPELINE_DOCUMENT_BYTES_MAX:
        raise _refusal(f"as JSON it has more than {PIPELINE_DOCUMENT_BYTES_MAX} bytes")
    return document


def signed_definition(signer: Signer, document: bytes) -> bytes:
    """What whoever holds this key says of a document, as its envelope travels."""
    key = signer.public_key
    said = Definition(digest_of(document), pop_id(key), base64.b64encode(key).decode())
    return ENCODER.encode(dsse.sealed(PIPELINE_TYPE, ENCODER.encode(said), signer))


def opened_definition(document: bytes, envelope: bytes, verify: Verify) -> tuple[Pipeline, PopId]:
    """The pipeline that this document is, and who has defined it.

    Raises:
        RecordRejectedError: the PoP that the envelope names has not signed it, or the document is
            no pipeline that has a meaning.
    """
    if len(document) > PIPELINE_DOCUMENT_BYTES_MAX or len(envelope) > CLAIM_BYTES_MAX:
        raise RecordRejectedError("a pipeline is over the bounds")
    try:
        sealed = decode_exactly(_ENVELOPE, envelope, "the envelope of a pipeline")
        payload = sealed.payload
        said = decode_exactly(_DEFINITION, payload, "the definition of a pipeline")
        key = bytes_of_base64(said.public_key)
        dsse.opened(sealed, PIPELINE_TYPE, key, verify)
        if pop_id(key) != said.pop or digest_of(document) != said.pipeline:
            raise RecordRejectedError(
                "a pipeline is another, or by another, than its envelope says"
            )
        pipeline = decode_exactly(_PIPELINE, document, "a pipeline", encoder=_ENCODER)
        _check(pipeline)
    except (ReceiptRejectedError, BadRequestError) as error:
        raise RecordRejectedError(error.message) from error
    return pipeline, said.pop


def _step(number: int, row: object) -> Step:
    """One step, by the table that it is written as."""
    if not isinstance(row, dict):
        raise _refusal(f"step {number} is no table: write [[steps]] before it")
    does = row.get("does")
    kind = _STEPS.get(does) if isinstance(does, str) else None
    if kind is None:
        known = ", ".join(_STEPS)
        raise _refusal(f"step {number} does {does!r}, and a step does one of {known}")
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        raise _refusal(f"step {number} ({does}): {error}") from None


def _check(pipeline: Pipeline) -> None:
    """See that a pipeline has a meaning.

    Raises:
        BadRequestError: it has none.
    """
    steps = pipeline.steps
    if not 0 < len(steps) <= PIPELINE_STEPS_MAX:
        raise _refusal(f"it has {len(steps)} steps; 1 to {PIPELINE_STEPS_MAX} is possible")
    names = [step.name for step in steps]
    results = {INPUT: _TEXT}
    used: set[str] = set()
    for number, step in enumerate(steps, 1):
        where = f"step {number} ({step.name})"
        if step.name in results:
            raise _refusal(f"{where} has the name of the input or of another step")
        _check_parts(pipeline, step, where)
        for name, kinds in _takes(step):
            _check_taken(name, kinds, results, names[number:], where)
            used.add(name)
        results[step.name] = _gives(step)
    idle = [name for name in names[:-1] if name not in used]
    if idle:
        raise _refusal(f"no step uses what {idle[0]!r} gives")
    _check_used(pipeline)


def _check_taken(
    name: str, kinds: tuple[str, ...], results: Mapping[str, str], later: list[str], where: str
) -> None:
    """See that a step can take what it names."""
    found = results.get(name)
    if found is None:
        what = "comes later" if name in later else "is neither the input nor a step"
        raise _refusal(f"{where} uses {name!r}, which {what}")
    if found not in kinds:
        raise _refusal(f"{where} uses {name!r}, which is {found}, as {' or '.join(kinds)}")


def _check_parts(pipeline: Pipeline, step: Step, where: str) -> None:
    """See that what a step names besides results is there."""
    if not isinstance(step, Recall):
        _check_named(step.model, pipeline.models, "[models]", where)
    else:
        _check_named(step.collection, pipeline.collections, "[collections]", where)
    if isinstance(step, Generate):
        _check_named(step.prompt, pipeline.prompts, "[prompts]", where)
        wanted = _places(step.prompt, pipeline.prompts[step.prompt])
        for name in sorted(wanted - step.uses.keys()):
            raise _refusal(f"{where} does not say what {{{name}}} of its prompt is: see `uses`")
        for name in sorted(step.uses.keys() - wanted):
            raise _refusal(f"{where} gives {name!r}, and its prompt has no {{{name}}}")


def _check_named(name: str, known: Iterable[str], table: str, where: str) -> None:
    if name not in known:
        raise _refusal(f"{where} names {name!r}, which is not in {table}")


def _check_used(pipeline: Pipeline) -> None:
    """See that nothing is named in vain: it may be a misspelling of what should be used."""
    steps = pipeline.steps
    tables = (
        ("models", pipeline.models, {it.model for it in steps if not isinstance(it, Recall)}),
        ("prompts", pipeline.prompts, {it.prompt for it in steps if isinstance(it, Generate)}),
        (
            "collections",
            pipeline.collections,
            {it.collection for it in steps if isinstance(it, Recall)},
        ),
    )
    for table, known, used in tables:
        for name in sorted(known.keys() - used):
            raise _refusal(f"no step uses {name!r} of [{table}]")


def _takes(step: Step) -> list[tuple[str, tuple[str, ...]]]:
    """The results that a step uses, and as what."""
    match step:
        case Embed():
            return [(step.text, (_TEXT,))]
        case Recall():
            return [(step.query, (_TEXT, _VECTOR))]
        case Rerank():
            return [(step.query, (_TEXT,)), (step.passages, (_PASSAGES,))]
        case Generate():
            return [(name, (_TEXT, _PASSAGES)) for name in step.uses.values()]
        case _:
            assert_never(step)


def _gives(step: Step) -> str:
    match step:
        case Embed():
            return _VECTOR
        case Recall() | Rerank():
            return _PASSAGES
        case Generate():
            return _TEXT
        case _:
            assert_never(step)


def _places(name: str, prompt: str) -> set[str]:
    """What is put into a prompt."""
    found = set()
    try:
        for _, place, form, turned in Formatter().parse(prompt):
            if place is None:
                continue
            if not place.isidentifier() or form or turned:
                raise _refusal(f"prompt {name!r} has {{{place}}}: a name alone can stand there")
            found.add(place)
    except ValueError as error:
        problem = f"{error}; a brace of the text itself is written twice"
        raise _refusal(f"prompt {name!r}: {problem}") from None
    return found


def _refusal(problem: str) -> BadRequestError:
    return BadRequestError(
        f"this pipeline can't be used: {problem}", advice="docs/pipelines.md has an example"
    )
