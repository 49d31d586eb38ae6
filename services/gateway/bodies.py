"""Request bodies: read up to a limit that is named, decoded to what a route expects."""

from typing import TypeVar

import msgspec
from litestar.exceptions import InternalServerException

from services.gateway.gateway import AnyRequest
from shared.errors import Invalid, TooLarge, Unprocessable


MIB = 2**20
T = TypeVar("T")


async def body_of(request: AnyRequest, *, limit: int) -> bytes:
    """Read the body; TooLarge, naming the limit, if it is over."""
    length = request.headers.get("content-length")
    if length is not None and int(length) > limit:
        raise _too_large(limit)
    try:
        if length is not None:
            return await request.body()
        return await _counted(request, limit)
    except InternalServerException:
        raise Invalid("The connection broke off within the body.") from None


async def _counted(request: AnyRequest, limit: int) -> bytes:
    """Read a body that does not say how long it is."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is over the limit of {_spelled(limit)}.")


def _spelled(limit: int) -> str:
    return f"{limit // MIB} MB" if limit % MIB == 0 else f"{limit:,} bytes"


def decoded(body: bytes, kind: type[T]) -> T:
    """Read a small JSON body of a known shape."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        complaint = str(error).replace("`", "'").replace("$.", "")
        if "missing required field" in complaint:
            raise Invalid(f"{complaint}.") from None
        raise Unprocessable(f"The body does not fit: {complaint}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid("The body is not valid JSON.") from None
