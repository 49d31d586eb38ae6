"""What routes say about themselves: query parameters, bodies and answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
    SecurityScheme,
)


ABOUT = """
Keeps what AI coding agents did: plugins sync sessions and messages, their owners read,
share and export them.

Send `Authorization: Bearer osk_…`. A key has scopes: `sync` writes sessions and
messages, `read` reads them, `export` downloads them, `admin` renames, shares and
deletes sessions and manages keys. Errors are `{"error": "<sentence>"}`; 429 and 503
carry `Retry-After`, and every request may safely be sent again.

A write answers with `seq`, its place in the log. A read with `?after=<seq>` waits,
two seconds at most, until it can show that write.
"""


class Error(msgspec.Struct):
    """Why a request was refused, in a sentence."""

    error: str


class Described(Operation):
    """An operation whose parameters and body are read from the raw request."""


def described(
    *,
    query: Sequence[Parameter] = (),
    body: Schema | None = None,
    media_type: str = "application/json",
) -> type[Operation]:
    """Make the operation class of a handler that reads the raw request itself."""

    @dataclass
    class WithRequest(Described):
        def __post_init__(self) -> None:
            self.parameters = [*(self.parameters or []), *query]
            if body:
                content = {media_type: OpenAPIMediaType(schema=body)}
                self.request_body = RequestBody(content=content, required=True)

    return WithRequest


def text(name: str, description: str, *, is_required: bool = False) -> Parameter:
    return _parameter(
        name, description, Schema(type=OpenAPIType.STRING), is_required=is_required
    )


def whole(name: str, description: str, **bounds: int) -> Parameter:
    schema = Schema(
        type=OpenAPIType.INTEGER,
        minimum=bounds.get("low"),
        maximum=bounds.get("high"),
        default=bounds.get("default"),
    )
    return _parameter(name, description, schema)


def choice(name: str, description: str, options: Sequence[str]) -> Parameter:
    schema = Schema(type=OpenAPIType.STRING, enum=options, default=options[0])
    return _parameter(name, description, schema)


def flag(name: str, description: str) -> Parameter:
    return _parameter(name, description, Schema(type=OpenAPIType.BOOLEAN))


def _parameter(
    name: str, description: str, schema: Schema, *, is_required: bool = False
) -> Parameter:
    return Parameter(
        name=name,
        param_in="query",
        schema=schema,
        description=description,
        required=is_required,
    )


AFTER = whole("after", "A `seq` that a write returned: wait until it can be seen.")
CURSOR = text("cursor", "`nextCursor` of the page before.")


def answers(
    kind: Any, *, status: int = 200, description: str = "", media_type: str = ""
) -> dict[int, ResponseSpec]:
    """Describe the good answer; the bad ones look alike everywhere."""
    return {
        status: ResponseSpec(
            data_container=kind,
            description=description or "As asked.",
            media_type=media_type or "application/json",
            generate_examples=False,
        ),
        **{
            code: ResponseSpec(Error, description=said, generate_examples=False)
            for code, said in PROBLEMS.items()
        },
    }


PROBLEMS = {
    400: "The request cannot be understood.",
    401: "No key, or one that is unknown, revoked or expired.",
    403: "The key lacks the scope.",
    404: "Not there, or not yours: the two look alike.",
    413: "Over a limit, which the answer names.",
    422: "The content makes no sense.",
    429: "Over the key's rate limit; see `Retry-After`.",
    503: "Something we need is away; see `Retry-After`.",
}


def configuration(version: str) -> OpenAPIConfig:
    bearer = SecurityScheme(
        type="http", scheme="bearer", description="An API key: `osk_…`."
    )
    return OpenAPIConfig(
        title="OpenSync",
        version=version,
        description=ABOUT,
        components=Components(security_schemes={"key": bearer}),
        security=[{"key": []}],
        use_handler_docstrings=True,
        path="/openapi",
        render_plugins=[JsonRenderPlugin(path="/openapi.json")],
    )
