"""The front door, before any route."""

from typing import Any

import pytest

from services.gateway.front import Front


async def knocked(
    path: str = "/health", *, method: str = "GET", origins: str = "*", **headers: str
) -> tuple[dict[str, Any], dict[str, str], int]:
    """What the application sees, and what the caller gets."""
    seen: dict[str, Any] = {}
    sent: list[Any] = []

    async def app(scope: Any, _: Any, send: Any) -> None:
        seen.update(scope)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/html")],
            }
        )

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    given = [
        (name.replace("_", "-").encode(), value.encode())
        for name, value in headers.items()
    ]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "headers": given,
        "state": {},
    }
    await Front(app, origins=origins)(scope, receive, send)  # type: ignore[arg-type]
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return seen, answered, sent[0]["status"]


@pytest.mark.parametrize(
    ("given", "routed"),
    [
        ("//health", "/health"),
        ("/sync///message", "/sync/message"),
        ("/.convex.site/sync/session", "/sync/session"),
        ("//convex.site//sync/session", "/sync/session"),
        ("/.convex.site", "/"),
        ("/convex.sitemap", "/convex.sitemap"),
    ],
)
async def test_paths_are_made_plain(given: str, routed: str) -> None:
    """
    Doubled slashes and the prefixes of the plugins' login do not matter.
    """
    seen, _, _ = await knocked(given)

    assert seen["path"] == routed


async def test_preflight() -> None:
    """
    OPTIONS is answered everywhere, without asking the application.
    """
    seen, answered, status = await knocked(
        "/any/where", method="OPTIONS", origin="https://a.example"
    )

    assert (seen, status) == ({}, 204)
    assert "PATCH" in answered["access-control-allow-methods"]
    assert "Authorization" in answered["access-control-allow-headers"]
    assert answered["access-control-max-age"] == "86400"


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ("*", "https://a.example", "*"),
        (
            "https://a.example, https://b.example",
            "https://b.example",
            "https://b.example",
        ),
        ("https://a.example", "https://evil.example", None),
        ("", "https://a.example", None),
    ],
)
async def test_origins(origins: str, origin: str, allowed: str | None) -> None:
    """
    Browsers of other origins may only read what the setting allows.
    """
    _, answered, _ = await knocked(origins=origins, origin=origin)

    assert answered.get("access-control-allow-origin") == allowed


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [("a-1.b_C", True), ("x" * 65, False), ("a b", False), ("é", False)],
)
async def test_request_id(given: str, *, is_kept: bool) -> None:
    """
    A sane request id of the caller's is kept; any other is replaced.
    """
    _, answered, _ = await knocked(x_request_id=given)

    assert (answered["x-request-id"] == given) is is_kept


async def test_safe_headers() -> None:
    """
    Answers cannot be sniffed or framed, and pages load nothing from elsewhere.
    """
    _, answered, _ = await knocked()

    assert answered["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in answered["content-security-policy"]
