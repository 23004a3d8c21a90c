"""Running the handler of one request, and telling the client of whatever it raises."""

import asyncio
from collections.abc import Callable

from littoral.terms.errors import LittoralError
from littoral.web.errors import defect, draining, error_answer, shape_of
from littoral.web.http import Request
from littoral.web.response import Response
from littoral.web.service import Service

__all__ = ["handled"]


async def handled(
    service: Service, request: Request, response: Response, closing: Callable[[], bool]
) -> bool:
    """Answer the request; say whether the answer is complete.

    Args:
        service: has the handler, and hears of defects.
        request: what was asked.
        response: the way out.
        closing: whether the client has left.
    """
    try:
        await service.answers.handler(request, response)
    except asyncio.CancelledError:
        _tell(draining(), request, response, closing)
        raise
    except LittoralError as error:
        _tell(error, request, response, closing)
    except Exception as error:
        if not (isinstance(error, ConnectionResetError) and closing()):
            service.on_defect(error)
            _tell(defect(), request, response, closing)
    else:
        if not response.ended and not closing():
            service.on_defect(RuntimeError("a handler left its answer incomplete"))
            _tell(defect(), request, response, closing)
    return response.ended


def _tell(
    error: LittoralError, request: Request, response: Response, closing: Callable[[], bool]
) -> None:
    """Answer with the error, if nothing was answered yet and somebody is there to hear."""
    if not response.started and not closing():
        shape = shape_of(request.path, request.headers)
        response.put(*error_answer(error, shape, request.id))
