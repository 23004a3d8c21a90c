"""Running the handler of one request, and telling the client of whatever it raises."""

import asyncio
from collections.abc import Awaitable, Callable

from littoral.terms.errors import LittoralError
from littoral.web.errors import defect, draining
from littoral.web.http import Request
from littoral.web.refusals import refusal
from littoral.web.response import Response
from littoral.web.service import Answers

__all__ = ["attended", "handled"]


async def attended(
    work: Awaitable[None],
    *,
    ended: Callable[[], bool],
    left: Callable[[], bool],
    tell: Callable[[LittoralError], None],
    on_defect: Callable[[BaseException], None],
) -> None:
    """Wait for a handler, and see that its client is told of whatever becomes of it.

    Args:
        work: the handler, called.
        ended: whether the answer is complete.
        left: whether the client has left.
        tell: answers with an error, if nothing was answered yet.
        on_defect: hears of what no handler should raise or leave undone.
    """
    try:
        await work
    except asyncio.CancelledError:
        tell(draining())
        raise
    except LittoralError as error:
        tell(error)
    except Exception as error:
        if not (isinstance(error, ConnectionResetError) and left()):
            on_defect(error)
            tell(defect())
    else:
        if not ended() and not left():
            on_defect(RuntimeError("a handler left its answer incomplete"))
            tell(defect())


async def handled(
    answers: Answers,
    request: Request,
    response: Response,
    closing: Callable[[], bool],
    on_defect: Callable[[BaseException], None],
) -> bool:
    """Answer the request; say whether the answer is complete.

    Args:
        answers: has the handler.
        request: what was asked.
        response: the way out.
        closing: whether the client has left.
        on_defect: hears of what no handler should raise or leave undone.
    """
    await attended(
        answers.handler(request, response),
        ended=lambda: response.ended,
        left=closing,
        tell=lambda error: _tell(error, request, response, closing),
        on_defect=on_defect,
    )
    return response.ended


def _tell(
    error: LittoralError, request: Request, response: Response, closing: Callable[[], bool]
) -> None:
    """Answer with the error, if nothing was answered yet and somebody is there to hear."""
    if not response.started and not closing():
        response.put(*refusal(error, request.path, request.headers, request.id))
