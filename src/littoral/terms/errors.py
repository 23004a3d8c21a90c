"""Every error that Littoral raises on purpose, in one tree, by whose fault it is.

The four families decide what a reader does next: a `CallerError` is mended by whoever sent the
request, a `PeerError` by another server, an `OperatorError` by the person who runs this machine,
and a `NodeError` is ours. Each error carries

- `code`: one word for machines, the same in every API's error shape, in logs and in `--json`;
- `status`, `exit_code`: the HTTP status for a client, and what the command line exits with;
- `advice`: what to do about it, one sentence, for a person;
- `retry_after_s`: when trying again makes sense, or None.

The text never holds a secret, a prompt or an answer. Adapters make these of foreign exceptions.
"""

from typing import ClassVar

__all__ = [
    "LittoralError",
    "CallerError",
    "PeerError",
    "OperatorError",
    "NodeError",
    "BadRequestError",
    "UnsupportedError",
    "KeyMissingError",
    "KeyRejectedError",
    "NotAllowedError",
    "UnknownModelError",
    "NotFoundError",
    "NotCachedError",
    "MethodNotAllowedError",
    "RequestTimeoutError",
    "DeadlineOverError",
    "RequirementUnmetError",
    "LoopDetectedError",
    "StrangerError",
    "ConflictError",
    "BodyTooLargeError",
    "HeadTooLargeError",
    "ContextLengthError",
    "RateLimitedError",
    "BudgetExhaustedError",
    "ReceiptRejectedError",
    "TicketRejectedError",
    "JoinRejectedError",
    "UpstreamFailedError",
    "UpstreamTimeoutError",
    "OriginError",
    "OriginRefusedError",
    "OriginBrokeError",
    "OriginChangedError",
    "NotDeliveredError",
    "DigestMismatchError",
    "RecordRejectedError",
    "ConfigError",
    "HomeUnwritableError",
    "HomeHeldError",
    "PortInUseError",
    "UnsafeBindError",
    "MemoryShortError",
    "DiskShortError",
    "IdentityError",
    "OwnerKeyAwayError",
    "StoreError",
    "MissingExtraError",
    "ModelDamagedError",
    "EngineStartError",
    "EngineLostError",
    "EngineFailedError",
    "QueueFullError",
    "LoadingError",
    "DrainingError",
    "DemoFailedError",
    "InternalError",
]


class LittoralError(Exception):
    """What all errors here have in common. Only its leaves are raised."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 70
    default_advice: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        advice: str = "",
        param: str | None = None,
        retry_after_s: float | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        """Say what went wrong.

        Args:
            message: one sentence that says what is wrong.
            advice: what to do about it; the class's own advice when empty.
            param: the request field at fault, for API error shapes.
            retry_after_s: seconds until another try makes sense.
            details: further facts for machines (token counts, progress), JSON-shaped.
        """
        super().__init__(message)
        self.message = message
        self.advice = advice or self.default_advice
        self.param = param
        self.retry_after_s = retry_after_s
        self.details = details or {}

    def __str__(self) -> str:
        """The message and the advice, as a person reads them."""
        return f"{self.message}: {self.advice}" if self.advice else self.message


class CallerError(LittoralError):
    """The request is at fault; sending it again unchanged will not help (429 apart)."""

    status = 400
    exit_code = 5


class PeerError(LittoralError):
    """Another server failed or lied."""

    status = 502
    exit_code = 4


class OperatorError(LittoralError):
    """This machine is not set up for what was asked; its operator can mend it."""

    status = 503
    exit_code = 3


class NodeError(LittoralError):
    """This PoP could not do what it should; the request may succeed later."""

    status = 503
    exit_code = 70


class BadRequestError(CallerError):
    """A field is missing, of the wrong type or out of range."""

    code = "invalid_request"
    default_advice = "mend the field that the message names"


class UnsupportedError(CallerError):
    """The request is well formed and asks for something that this model or PoP does not do."""

    code = "unsupported"
    default_advice = "leave that out, or ask a model that does it"


class KeyMissingError(CallerError):
    """No API key came with the request."""

    code = "missing_api_key"
    status = 401
    default_advice = "send it as `Authorization: Bearer KEY` or `x-api-key: KEY`"


class KeyRejectedError(CallerError):
    """The API key is unknown, expired or revoked; which of them is not said."""

    code = "invalid_api_key"
    status = 401
    default_advice = "make one with `littoral keys create NAME`"


class NotAllowedError(CallerError):
    """The key is good and may not do this."""

    code = "permission_denied"
    status = 403
    default_advice = "use another key, or ask the operator for one that may"


class UnknownModelError(CallerError):
    """No model of this name is on this PoP, or the key may not see it."""

    code = "model_not_found"
    status = 404
    default_advice = "GET /v1/models lists what there is; `littoral models add` brings more"


class NotFoundError(CallerError):
    """No such path or receipt."""

    code = "not_found"
    status = 404
    default_advice = "check the path or the id"


class NotCachedError(CallerError):
    """The request takes a kept answer or none (`only-if-cached`), and there is none."""

    code = "not_cached"
    status = 504
    default_advice = "leave `only-if-cached` out to have the answer computed"


class MethodNotAllowedError(CallerError):
    """The path exists and does not take this method."""

    code = "method_not_allowed"
    status = 405
    default_advice = "use a method that the `Allow` header names"


class RequestTimeoutError(CallerError):
    """The request was not sent in full within the time allowed."""

    code = "request_timeout"
    status = 408
    default_advice = "send the whole request faster, or check the connection"


class DeadlineOverError(CallerError):
    """Another PoP passed the request on with less time than its answer takes."""

    code = "deadline_over"
    status = 504
    default_advice = "give it more time"


class RequirementUnmetError(CallerError):
    """No PoP that is known here has what the request requires."""

    code = "requirement_unmet"
    status = 412
    default_advice = "`littoral route explain` says what each PoP lacks; or require less"


class LoopDetectedError(CallerError):
    """Another PoP passed on a request that has been here, or at too many PoPs, already."""

    code = "loop_detected"
    status = 508
    default_advice = "nobody between the client and here should pass it on in a circle"


class StrangerError(CallerError):
    """Whoever asks has shown no valid certificate of a member of the fabric."""

    code = "not_a_member"
    status = 401
    default_advice = "join the fabric first, or renew the certificate"


class ConflictError(CallerError):
    """What was asked contradicts what is there (a name taken, a model in use)."""

    code = "conflict"
    status = 409
    default_advice = "remove or rename one of the two, or wait until it is free"


class BodyTooLargeError(CallerError):
    """The body is over the limit."""

    code = "body_too_large"
    status = 413
    default_advice = "send less at a time"


class HeadTooLargeError(CallerError):
    """The request line and headers are over the limit."""

    code = "head_too_large"
    status = 431
    default_advice = "send fewer or shorter headers"


class ContextLengthError(CallerError):
    """The prompt does not fit the model's context. Nothing is ever cut to make it fit."""

    code = "context_length_exceeded"
    default_advice = "shorten it; nothing was cut"

    def __init__(self, *, prompt_tokens: int, context_tokens: int, what: str = "prompt") -> None:
        """Say both counts.

        Args:
            prompt_tokens: length of what was sent, by the model's own tokenizer.
            context_tokens: the most that the model takes.
            what: the thing that is too long, as the sentence names it.
        """
        super().__init__(
            f"the {what} is {prompt_tokens} tokens and this model takes at most {context_tokens}",
            details={"prompt_tokens": prompt_tokens, "context_tokens": context_tokens},
        )


class RateLimitedError(CallerError):
    """This key's own limit per minute is reached (not the machine's: see QueueFullError)."""

    code = "rate_limit_exceeded"
    status = 429
    default_advice = "wait as long as `Retry-After` says"


class BudgetExhaustedError(CallerError):
    """This key's tokens for the day are spent or reserved."""

    code = "insufficient_quota"
    status = 429
    default_advice = "wait until the day ends, or ask the operator for a larger budget"


class ReceiptRejectedError(CallerError):
    """A receipt does not prove the answer it came with."""

    code = "receipt_rejected"
    exit_code = 1
    default_advice = "do not trust this answer; ask its PoP for the receipt again"


class TicketRejectedError(CallerError):
    """A ticket is mistyped, unknown, expired or used up; `details["reason"]` says which."""

    code = "ticket_rejected"
    status = 403
    default_advice = "ask whoever invited you for a new ticket"


class JoinRejectedError(CallerError):
    """A PoP has not proven what it must to join or come back; `details["reason"]` says what."""

    code = "join_rejected"
    status = 403
    default_advice = "join again; if it stays so, ask for a new ticket"


class UpstreamFailedError(PeerError):
    """An upstream refused the connection, broke off, or answered with an error of its own."""

    code = "upstream_failed"
    default_advice = "look at the upstream's own log, then send the request again"


class UpstreamTimeoutError(PeerError):
    """An upstream did not answer in time."""

    code = "upstream_timeout"
    status = 504
    default_advice = "send the request again later, or ask another model"


class OriginError(PeerError):
    """A place that artifacts come from failed; its leaves say whether to ask it again."""

    code = "origin_failed"


class OriginRefusedError(OriginError):
    """A registry, hub or server that models come from refuses, or does not have what was asked."""

    default_advice = "check the name and the network, then try again"


class OriginBrokeError(OriginError):
    """A place that models come from broke off, fell silent or is busy. Asking again may mend it."""

    code = "origin_broke"
    default_advice = "try again later"


class OriginChangedError(OriginError):
    """What models come from has other bytes under this name than before. Nothing was taken."""

    code = "origin_changed"
    default_advice = "ask anew what the name means, then take that"


class NotDeliveredError(OriginError):
    """A model that was on its way to this PoP will not come."""

    code = "not_delivered"
    default_advice = "have it pulled again; `littoral pull` says how far it gets"


class DigestMismatchError(PeerError):
    """Bytes came that are not the ones named. They were dropped."""

    code = "digest_mismatch"
    default_advice = "try again; if it stays, the source has changed and must not be trusted"


class RecordRejectedError(PeerError):
    """What a PoP is said to say is malformed, too large, or not signed by it. It was dropped."""

    code = "record_rejected"
    default_advice = "look at the PoP that it came from: it is of another version, or lies"


class ConfigError(OperatorError):
    """A setting is unknown, malformed or contradicts another."""

    code = "bad_setting"
    exit_code = 2
    default_advice = "docs/settings.md lists every setting"


class HomeUnwritableError(OperatorError):
    """The state directory can't be made or written."""

    code = "home_unwritable"
    default_advice = "choose another with --home or LITTORAL_HOME"


class HomeHeldError(OperatorError):
    """Another PoP already runs on this state directory."""

    code = "home_held"
    default_advice = "stop that PoP, or choose another directory with --home"


class PortInUseError(OperatorError):
    """Something else listens on the address."""

    code = "port_in_use"
    default_advice = "choose another with --port"


class UnsafeBindError(OperatorError):
    """Listening beyond this machine without TLS was asked for."""

    code = "unsafe_bind"
    default_advice = "give --tls-cert and --tls-key, or name the danger: --expose-without-tls"


class MemoryShortError(OperatorError):
    """The model does not fit in the memory that is free."""

    code = "memory_short"
    default_advice = "unload or remove a model, or choose a smaller one"


class DiskShortError(OperatorError):
    """There is not enough free disk for what was asked."""

    code = "disk_short"
    default_advice = "free some disk, or choose another directory with --home"


class MissingExtraError(OperatorError):
    """An optional part of Littoral is not installed."""

    code = "missing_extra"
    default_advice = "install it: `pip install 'littoral[engines]'`"


class ModelDamagedError(OperatorError):
    """A model's entry in the catalogue can't be read."""

    code = "model_damaged"
    default_advice = "remove it with `littoral models remove NAME` and add it again"


class IdentityError(OperatorError):
    """A key or certificate is missing, damaged, expired, not to be trusted, or not a secret."""

    code = "bad_identity"
    default_advice = "restore HOME/identity.key from a backup, readable by its owner only"


class OwnerKeyAwayError(OperatorError):
    """This takes a key of the owner that is not on this machine, or no longer certified."""

    code = "owner_key_away"
    default_advice = "do this on a PoP that has the owner's key, or bring root.key back"


class StoreError(OperatorError):
    """The PoP's database is damaged, held, or of another version."""

    code = "store_failed"
    default_advice = "restore HOME/littoral.db from a backup, or choose another --home"


class EngineStartError(NodeError):
    """An engine did not become ready."""

    code = "engine_start_failed"
    default_advice = "look at the worker's log in HOME/logs, and run `littoral doctor`"


class EngineLostError(NodeError):
    """The engine's worker died while it worked on this request."""

    code = "engine_lost"
    default_advice = "the worker is being restarted; send the request again"


class EngineFailedError(NodeError):
    """The engine answered with an error of its own."""

    code = "engine_failed"
    status = 500
    default_advice = "send the request again; the worker's log in HOME/logs has more"


class QueueFullError(NodeError):
    """This machine's queue is full (not the caller's limit: see RateLimitedError)."""

    code = "machine_overloaded"
    default_advice = "send the request again as `Retry-After` says, or to another PoP"


class LoadingError(NodeError):
    """The model is still loading and the wait for it is over. `details` has the progress."""

    code = "model_loading"
    default_advice = "send the request again as `Retry-After` says"


class DrainingError(NodeError):
    """The PoP is stopping and takes no new work."""

    code = "draining"
    default_advice = "send the request again in a moment, or to another PoP"


class DemoFailedError(NodeError):
    """A step of `littoral demo` came out otherwise. `details["logs"]` has the PoPs' last lines."""

    code = "demo_failed"
    default_advice = "look at those lines; `littoral doctor` finds what is wrong with a machine"


class InternalError(NodeError):
    """A defect of ours. The log has the trace."""

    code = "internal"
    status = 500
    default_advice = "report it with the log's trace"
