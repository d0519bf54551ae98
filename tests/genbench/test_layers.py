"""Imports run downwards only, no two files import each other, genbench never imports the zoo, and what is written stays
readable: short files, few parameters, names that say what they hold."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
# From the top to the ground. A file may import from its own room and from the layers below; rooms of one layer do not
# know each other. The package's own file hands out every room's public names, lazily.
LAYERS = (
    ("__init__", "__main__"),
    ("cli",),
    ("leaderboard",),
    ("evaluation",),
    ("metrics",),
    ("features", "likelihood", "data"),
    ("plugins",),
    ("storage",),
    ("numerics",),
    ("contracts", "seeding"),
    ("errors",),
)
RANK = {room: len(LAYERS) - place for place, rooms in enumerate(LAYERS) for room in rooms}
# Metrics are pure functions of arrays, boards are made of rows: neither knows how those came about.
NEVER = {"metrics": {"data", "features", "plugins"}, "leaderboard": {"metrics", "features", "data"}}
ZOO_MAY_IMPORT = {"contracts", "likelihood", "plugins", "errors", "seeding", "numerics"}
MOST_ENTRIES = 16
MOST_PARAMETERS = 6
SAY_NOTHING = {"found", "one", "seen", "kept"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imported(path: Path) -> frozenset[str]:
    """The modules (dotted names) of this repository that a file imports, those behind TYPE_CHECKING included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(module for name in names if (module := module_of(name)))


@cache
def module_of(name: str) -> str:
    """The module that holds a dotted name; nothing where it is not of this repository."""
    parts = name.split(".")
    if parts[0] not in ("genbench", "zoo"):
        return ""
    while parts:
        path = ROOT.joinpath(*parts)
        if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
            return ".".join(parts)
        parts.pop()
    return name


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@pytest.mark.parametrize("path", modules("genbench"), ids=name_of)
def test_genbench_imports_downwards(path):
    own = room(name_of(path))
    for module in imported(path):
        assert module.split(".")[0] != "zoo", "genbench never imports the zoo"
        other = room(module)
        if other == own or (own in ("__init__", "__main__")):
            continue
        assert RANK[other] < RANK[own], f"{own} must not import {module}"
        assert other not in NEVER.get(own, ()), f"{own} must not import {module}"


@pytest.mark.parametrize("path", modules("zoo"), ids=name_of)
def test_the_zoo_uses_the_contracts_only(path):
    assert {room(module) for module in imported(path) if module.split(".")[0] == "genbench"} <= ZOO_MAY_IMPORT


@pytest.mark.parametrize("package", ["genbench", "zoo"])
def test_no_files_import_each_other(package):
    """Cycles inside a folder count too; the package's own file, which imports lazily, is no part of them."""
    graph = {name_of(path): imported(path) - {"genbench"} for path in modules(package)}
    assert not list(cycles(graph))


def cycles(graph: dict[str, frozenset[str]]) -> Iterator[list[str]]:
    """Every cycle that a depth-first walk closes."""
    done: set[str] = set()

    def walk(module: str, trail: list[str]) -> Iterator[list[str]]:
        if module in trail:
            yield trail[trail.index(module) :]
        elif module not in done:
            for other in sorted(graph.get(module, ())):
                if other != module:
                    yield from walk(other, [*trail, module])
            done.add(module)

    for module in sorted(graph):
        yield from walk(module, [])


def test_a_cycle_is_seen():
    graph = {"a": frozenset({"b"}), "b": frozenset({"c"}), "c": frozenset({"b"})}
    assert list(cycles(graph)) == [["b", "c"]]


def test_a_reader_sees_few_rooms():
    entries = [path.name for path in (ROOT / "genbench").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES
    assert {Path(name).stem for name in entries} - {"py"} <= {*RANK}


@pytest.mark.parametrize("path", modules("genbench") + modules("zoo"), ids=name_of)
def test_files_stay_readable(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text)) or path.stat().st_size == 0, "say what the file is for"


def too_many(tree: ast.AST, commands: bool = False) -> Iterator[str]:
    """The functions with more parameters than MOST_PARAMETERS; what a method is called on is none of them.

    With `commands`, those with decorators do not count.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not (commands and node.decorator_list):
            given = node.args
            names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            names += [each.arg for each in (given.vararg, given.kwarg) if each]
            if len(names[names[:1] in (["self"], ["cls"]) :]) > MOST_PARAMETERS:
                yield f"{node.name} in line {node.lineno}"


@pytest.mark.parametrize("path", modules("genbench") + modules("zoo"), ids=name_of)
def test_functions_take_few_parameters(path):
    """A command of the click layer has a parameter for each option, and decorators that say so."""
    assert not list(too_many(ast.parse(path.read_text()), commands="cli" in path.parts))


def test_many_parameters_are_seen():
    command = ast.parse("@command\ndef f(a, b, c, d, e, f, g): ...")
    assert list(too_many(command))
    assert not list(too_many(command, commands=True))
    assert list(too_many(ast.parse("def f(a, b, c, d, e, *f, g): ..."))) == ["f in line 1"]
    assert not list(too_many(ast.parse("class A:\n    def f(self, a, b, c, d, e, f): ...")))


@pytest.mark.parametrize("path", modules("genbench") + modules("zoo"), ids=name_of)
def test_names_say_what_they_hold(path):
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    assert not names & SAY_NOTHING


@pytest.mark.parametrize(
    "path", [p for p in modules("genbench") + modules("zoo") if p.name == "__init__.py"], ids=name_of
)
def test_no_public_name_stands_in_the_way_of_a_module(path):
    """What a package hands out under the name of a module of its own is that module."""
    package = importlib.import_module(name_of(path))
    inside = {other.stem for other in path.parent.glob("*.py")} | {
        other.parent.name for other in path.parent.glob("*/*.py")
    }
    public = {name: getattr(package, name, None) for name in inside - {"__init__", "__main__"}}
    assert not [name for name, value in public.items() if not isinstance(value, ModuleType | None)]
