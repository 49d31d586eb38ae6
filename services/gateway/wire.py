"""The bodies that sync calls accept, as the documentation shows them."""

from litestar.openapi.spec import OpenAPIType, Schema


def _string(description: str = "") -> Schema:
    return Schema(type=OpenAPIType.STRING, description=description or None)


def _number(description: str = "") -> Schema:
    return Schema(type=OpenAPIType.NUMBER, description=description or None)


_TIME = _number("Milliseconds since 1970, or ISO 8601.")
_SHARED: dict[str, Schema] = {
    "model": _string(),
    "provider": _string(),
    "source": _string("The tool: `claude-code`, `opencode`, `codex-cli` …"),
    "promptTokens": _number(),
    "completionTokens": _number(),
    "cacheReadTokens": _number(),
    "cacheWriteTokens": _number(),
    "reasoningTokens": _number(),
    "cost": _number("US dollars."),
    "durationMs": _number(),
    "createdAt": _TIME,
}
_PART = Schema(
    type=OpenAPIType.OBJECT,
    properties={"type": _string("`text`, `tool-call`, `tool-result` …")},
    description="Usually with a `content`; every key is kept.",
)

SESSION = Schema(
    type=OpenAPIType.OBJECT,
    description="Unknown keys are kept. `sessionId` is accepted for `externalId`.",
    required=["externalId"],
    properties={
        "externalId": _string("The client's own id of the session."),
        "title": _string(),
        "projectPath": _string(),
        "projectName": _string(),
        "messageCount": _number(),
        "toolCallCount": _number(),
        "endReason": _string(),
        **_SHARED,
    },
)
MESSAGE = Schema(
    type=OpenAPIType.OBJECT,
    description="Unknown keys are kept.",
    required=["sessionExternalId", "externalId"],
    properties={
        "sessionExternalId": _string("The client's own id of the session."),
        "externalId": _string("The client's own id of the message."),
        "role": _string("`user`, `assistant`, `system`, `tool`; others are accepted."),
        "textContent": _string(),
        "parts": Schema(type=OpenAPIType.ARRAY, items=_PART),
        **_SHARED,
    },
)
BATCH = Schema(
    type=OpenAPIType.OBJECT,
    properties={
        "sessions": Schema(type=OpenAPIType.ARRAY, items=SESSION),
        "messages": Schema(type=OpenAPIType.ARRAY, items=MESSAGE),
    },
)
NEW_TITLE = Schema(
    type=OpenAPIType.OBJECT,
    required=["title"],
    properties={"title": _string("1 to 500 characters.")},
)
NEW_KEY = Schema(
    type=OpenAPIType.OBJECT,
    required=["name"],
    properties={
        "name": _string("For your own eyes."),
        "scopes": Schema(
            type=OpenAPIType.ARRAY,
            items=Schema(
                type=OpenAPIType.STRING, enum=["sync", "read", "export", "admin"]
            ),
            description="Those of the asking key, if left out.",
        ),
        "expiresAt": _TIME,
    },
)
