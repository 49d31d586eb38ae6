"""The laws of the tree: who may import whom, what is pure, what every module says."""

import ast
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
CODE = [
    path
    for top in ("services", "shared", "deploy", "bench")
    for path in sorted((ROOT / top).rglob("*.py"))
]
SERVICES = {
    path.name
    for path in (ROOT / "services").iterdir()
    if (path / "__init__.py").exists()
}
DRIVERS = {
    "psycopg",
    "psycopg_pool",
    "nats",
    "faststream",
    "litestar",
    "granian",
    "httpx",
    "os",
    "time",
    "random",
    "secrets",
    "asyncio",
}
MARK = "Pure."


def imports(path: Path) -> set[str]:
    """Name every module that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {
                f"{node.module}.{alias.name}" for alias in node.names
            }
    return found


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CODE, ids=named)
def test_module_says_what_it_owns(path: Path) -> None:
    """
    Every module opens with a docstring.
    """
    assert docstring(path)


@pytest.mark.parametrize(
    "path", [p for p in CODE if p.is_relative_to(ROOT / "services")], ids=named
)
def test_no_service_imports_another(path: Path) -> None:
    """
    A service imports shared and itself, never another service nor how it is deployed.
    """
    own = path.relative_to(ROOT / "services").parts[0]
    foreign = {f"services.{other}" for other in SERVICES - {own}} | {"deploy", "bench"}

    assert not [
        name
        for name in imports(path)
        if name.split(".")[0] in foreign or ".".join(name.split(".")[:2]) in foreign
    ]


@pytest.mark.parametrize(
    "path", [p for p in CODE if p.is_relative_to(ROOT / "shared")], ids=named
)
def test_shared_knows_no_service(path: Path) -> None:
    """
    The plumbing imports neither services nor deployment.
    """
    assert not [
        name
        for name in imports(path)
        if name.split(".")[0] in {"services", "deploy", "bench"}
    ]


PURE = [path for path in CODE if MARK in docstring(path)]


@pytest.mark.parametrize("path", PURE, ids=named)
def test_pure_files_do_nothing(path: Path) -> None:
    """
    A file marked pure imports no driver or clock, and has nothing to wait for.
    """
    tree = ast.parse(path.read_text())

    assert not DRIVERS & {name.split(".")[0] for name in imports(path)}
    assert not [
        node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)
    ]


def test_deciders_are_marked_pure() -> None:
    """
    The files that hold decisions and folds of state are marked pure.
    """
    assert {
        "services/ingest/session.py",
        "services/ingest/message.py",
        "services/gateway/keys.py",
    } <= set(map(named, PURE))


@pytest.mark.parametrize("path", CODE, ids=named)
def test_environment_is_read_once(path: Path) -> None:
    """
    Only the start of a process reads environment variables.
    """
    starts = {
        "shared/process.py",
        "deploy/local/psql.py",
        "deploy/local/up.py",
        "deploy/cli/running.py",
    }
    reads = [
        n
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Attribute)
        and n.attr in {"environ", "getenv"}
        and isinstance(n.value, ast.Name)
        and n.value.id == "os"
    ]

    assert not reads or named(path) in starts or path.name == "__main__.py"
