"""Prose is tested: settings, events, commands, targets and paths are as the words say."""

import re
import runpy
from pathlib import Path

import pytest

from shared.events import EVENTS
from shared.settings import NAMES


ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("name", sorted(NAMES))
def test_setting_is_documented(name: str) -> None:
    """
    Every setting has a row in the README's table.
    """
    assert re.search(rf"^\| `{name}` \|", README, re.MULTILINE)


def test_no_unknown_setting() -> None:
    """
    The README's table names no setting that the code does not read.
    """
    assert set(NAMES) == set(
        re.findall(r"^\| `(OPENSYNC_\w+)` \|", README, re.MULTILINE)
    )


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_event_is_described(name: str) -> None:
    """
    Every event has a sentence that says what happened.
    """
    assert (EVENTS[name].__doc__ or "").strip().endswith(".")


def test_generated_pages_are_current() -> None:
    """
    docs/events.md and docs/asyncapi.json say what the code says; `make docs` mends it.
    """
    pages = runpy.run_path(str(ROOT / "docs" / "generate.py"))["pages"]()

    assert [path.name for path, text in pages.items() if path.read_text() != text] == []


@pytest.mark.parametrize("target", re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
def test_target_is_explained(target: str) -> None:
    """
    Every make target has a word of help.
    """
    assert re.search(rf"^{target}:.*## \S", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z]+)", README))))
def test_target_exists(target: str) -> None:
    """
    The README names no make target that is not there.
    """
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


def tree_paths() -> list[str]:
    """Read the paths that the README's tree draws."""
    (tree,) = re.findall(r"## The tree\n+```\n(.*?)```", README, re.DOTALL)
    paths, folders = [], []
    for line in tree.splitlines():
        indent, name = re.match(r"( *)(\S*)", line).groups()  # type: ignore[union-attr]
        del folders[len(indent) // 2 :]
        folders.append(name)
        paths.append("".join(folders))
    return [path for path in paths if path]


@pytest.mark.parametrize("path", tree_paths())
def test_path_exists(path: str) -> None:
    """
    The README's tree names nothing that is not there.
    """
    assert (ROOT / path).exists()


@pytest.mark.parametrize(
    "link", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)", README)))
)
def test_link_leads_somewhere(link: str) -> None:
    """
    The README's links to files are alive.
    """
    assert (ROOT / link).exists()
