"""The API's own documentation: OpenAPI, and a page that needs no internet."""

from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect

from services.gateway.gateway import AnyRequest, json_answer
from shared.events import encode


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>OpenSync API</title>
<link rel="icon" href="/docs/favicon-32x32.png?{version}">
<link rel="stylesheet" href="/docs/swagger-ui.css?{version}">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js?{version}"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = b"""const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
});
"""
FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
A_DAY = {"Cache-Control": "public, max-age=86400"}


@get("/", include_in_schema=False)
async def root() -> Redirect:
    return Redirect("/docs", status_code=302)


@get("/openapi.json", include_in_schema=False)
async def openapi_json(request: AnyRequest) -> Response[bytes]:
    schema = request.app.openapi_schema.to_schema()
    for path in schema["paths"].values():
        for operation in path.values():
            _summarise(operation)
    return json_answer(encode(schema))


def _summarise(operation: dict[str, Any]) -> None:
    """Take a route's first sentence as its summary; Litestar takes the handler's name."""
    first, _, _ = operation.get("description", "").partition("\n")
    if first:
        operation["summary"] = first.split(";")[0].rstrip(".")


@get("/docs", include_in_schema=False)
async def docs() -> Response[bytes]:
    page = PAGE.format(version=version("flask-swagger-ui")).encode()
    return Response(page, media_type="text/html")


@get("/docs/{name:str}", include_in_schema=False)
async def docs_file(name: FromPath[str]) -> Response[bytes]:
    if name == "start.js":
        return Response(START, media_type="text/javascript")
    if name not in FILES:
        raise NotFoundException
    return Response(_file(name), media_type=FILES[name], headers=A_DAY)


@cache
def _file(name: str) -> bytes:
    found = find_spec("flask_swagger_ui")  # found, not imported: it would want Flask
    if not found or not found.origin:
        raise NotFoundException
    return (Path(found.origin).parent / "dist" / name).read_bytes()


ROUTES = [root, openapi_json, docs, docs_file]
