"""What a caller hears when something goes wrong: always {"error": "<sentence>"}."""

from traceback import format_tb
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
)
from litestar.types import ExceptionHandlersMap

from shared.errors import NotAuthenticated, ServiceError, Unavailable
from shared.events import encode


log = structlog.get_logger()

RETRY_AFTER_S = 1
OUR_FAULT = "Something went wrong on our side. The request was not completed."

AnyRequest = Request[Any, Any, Any]


def sentence(
    message: str, status: int, headers: dict[str, str] | None = None
) -> Response[bytes]:
    return Response(
        encode({"error": message}),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )


def service_error(_: AnyRequest, error: ServiceError) -> Response[bytes]:
    headers: dict[str, str] = {}
    wait = getattr(error, "retry_after", None)
    if wait or isinstance(error, Unavailable):
        headers["Retry-After"] = str(wait or RETRY_AFTER_S)
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if type(error) is ServiceError:
        return sentence(OUR_FAULT, 500)
    return sentence(str(error), error.status, headers)


def http_error(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    method, path = request.method, request.url.path[:200]
    if isinstance(error, NotFoundException):
        return sentence(f"There is nothing at {method} {path}; see /docs.", 404)
    if isinstance(error, MethodNotAllowedException):
        return sentence(f"{path} does not know {method}; see /docs.", 405)
    if error.status_code < 500:  # noqa: PLR2004
        return sentence("The request cannot be understood.", error.status_code)
    return unexpected(request, error)


def unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Log where it happened; an exception's own text may quote what was sent."""
    log.error(
        "request.failed",
        method=request.method,
        path=request.scope.get("path_template", ""),
        error=type(error).__name__,
        where="".join(format_tb(error.__traceback__)),
    )
    return sentence(OUR_FAULT, 500)


HANDLERS: ExceptionHandlersMap = {
    ServiceError: service_error,
    HTTPException: http_error,
    Exception: unexpected,
}
