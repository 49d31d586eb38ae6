"""The API's own documentation: OpenAPI, and a page that needs no internet."""

from functools import cache
from pathlib import Path

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect
from swagger_ui_bundle import swagger_ui_path

from services.gateway.gateway import AnyRequest, json_answer
from shared.events import encode


PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>OpenSync API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = b"""SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
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
    return json_answer(encode(request.app.openapi_schema.to_schema()))


@get("/docs", include_in_schema=False)
async def docs() -> Response[bytes]:
    return Response(PAGE, media_type="text/html")


@get("/docs/{name:str}", include_in_schema=False)
async def docs_file(name: FromPath[str]) -> Response[bytes]:
    if name == "start.js":
        return Response(START, media_type="text/javascript")
    if name not in FILES:
        raise NotFoundException
    return Response(_file(name), media_type=FILES[name], headers=A_DAY)


@cache
def _file(name: str) -> bytes:
    return Path(str(swagger_ui_path), name).read_bytes()


ROUTES = [root, openapi_json, docs, docs_file]
