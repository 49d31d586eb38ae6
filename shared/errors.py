"""What can go wrong between services, and the HTTP status each kind becomes.

* ServiceError            500
  + Invalid               400
  + Unprocessable         422
  + NotAuthenticated      401
  + NotPermitted          403
  + NotFound              404
  + Conflict              409
    - WrongExpectedSeq
  + TooLarge              413
  + TooManyRequests       429
  + Unavailable           503  (the only one worth a retry)
"""

from typing import ClassVar


class ServiceError(Exception):
    """Something that has a sentence for the caller."""

    status: ClassVar[int] = 500


class Invalid(ServiceError):
    """The request cannot be understood."""

    status = 400


class Unprocessable(ServiceError):
    """The request is well formed, its content makes no sense."""

    status = 422


class NotAuthenticated(ServiceError):
    """No key, or one that is unknown, revoked or expired."""

    status = 401


class NotPermitted(ServiceError):
    """The key is good, its scopes do not reach this far."""

    status = 403


class NotFound(ServiceError):
    """Not there, or not the caller's: the two are never told apart."""

    status = 404


class Conflict(ServiceError):
    """The decision cannot be made in the present state."""

    status = 409


class WrongExpectedSeq(Conflict):
    """Someone else wrote to the subject first."""


class TooLarge(ServiceError):
    """Over a documented size limit."""

    status = 413


class TooManyRequests(ServiceError):
    """Over the rate limit."""

    status = 429


class Unavailable(ServiceError):
    """A dependency is away; the same request may succeed later."""

    status = 503


BY_NAME: dict[str, type[ServiceError]] = {
    kind.__name__: kind
    for kind in (
        ServiceError,
        Invalid,
        Unprocessable,
        NotAuthenticated,
        NotPermitted,
        NotFound,
        Conflict,
        WrongExpectedSeq,
        TooLarge,
        TooManyRequests,
        Unavailable,
    )
}
