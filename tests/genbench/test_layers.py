"""Imports run downwards only, genbench never imports the zoo, and files stay readable."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOUNDATION = {"errors", "estimate"}
PURE = {*FOUNDATION, "contracts", "seeding"}
# What each room may import of genbench; a room may always import itself.
MAY_IMPORT = {
    "errors": set(),
    "estimate": set(),
    "contracts": {"errors"},
    "seeding": {"errors"},
    "cache": {"errors"},
    "registry": {"errors"},
    "catalogue": {"registry"},
    "atomic": {"errors"},
    "results": {"errors", "atomic"},
    "linalg": {*PURE, "polar"},
    "polar": PURE,
    "products": {*PURE, "polar"},
    "balls": {*PURE, "products", "neighbours"},
    "neighbours": {*PURE, "balls", "products", "linalg"},
    "likelihood": PURE,
    "metrics": {*PURE, "linalg", "neighbours", "balls", "products", "likelihood"},
    "data": {*PURE, "cache", "registry"},
    "features": {*PURE, "registry", "cache"},
    "devices": {"errors"},
    "extractors": {*PURE, "registry"},
    "extraction": {*PURE, "cache", "data", "extractors"},
    "benchmarks": {*PURE, "cache", "registry", "results", "data", "generators", "extractors"},
    "measuring": {*PURE, "results", "__init__"},
    "sample_files": {*PURE, "atomic"},
    "scoring": {
        *PURE,
        "benchmarks",
        "boards",
        "cache",
        "data",
        "extraction",
        "measuring",
        "metrics",
        "results",
        "sample_files",
    },
    "generators": {*PURE, "registry"},
    "pictures": {*PURE, "atomic"},
    "evidence": {*PURE, "benchmarks", "generators"},
    "checks": {*PURE, "generators", "likelihood"},
    "snapshots": {"errors", "atomic"},
    "trainer": {*PURE, "atomic", "benchmarks", "cache", "generators", "pictures", "registry", "snapshots"},
    "boards": {*PURE, "atomic", "registry", "results"},
    "truncation": {*PURE, "benchmarks", "generators", "evidence"},
    "runner": {
        *PURE,
        "benchmarks",
        "generators",
        "evidence",
        "pictures",
        "registry",
        "results",
        "sample_files",
        "measuring",
    },
    "report": {*PURE, "benchmarks", "boards", "runner", "truncation", "results"},
    "console": set(),
    "__main__": {"cli"},
}
ZOO_MAY_IMPORT = {"contracts", "likelihood", "registry", "errors", "seeding", "estimate"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The dotted names that a file imports, those behind TYPE_CHECKING included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module in ("genbench", "zoo"):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


def rooms(path: Path) -> set[str]:
    names = {name for name in imported(path) if name.split(".")[0] == "genbench"}
    return {name.split(".")[1] if "." in name else "__init__" for name in names}


@pytest.mark.parametrize("path", modules("genbench"), ids=lambda path: str(path.relative_to(ROOT)))
def test_genbench_imports_downwards(path):
    room = path.relative_to(ROOT / "genbench").parts[0].removesuffix(".py")
    assert not any(name.split(".")[0] == "zoo" for name in imported(path)), "genbench never imports the zoo"
    if room in ("__init__", "cli", "cli_files"):
        return
    assert rooms(path) - {room} <= MAY_IMPORT[room]


@pytest.mark.parametrize("path", modules("zoo"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_zoo_uses_the_contracts_only(path):
    assert rooms(path) <= ZOO_MAY_IMPORT


@pytest.mark.parametrize("path", modules("genbench") + modules("zoo"), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_readable(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text)) or path.stat().st_size == 0, "say what the file is for"
