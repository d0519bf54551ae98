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


@cache
def modules(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imported(path: Path) -> frozenset[str]:
    """The modules (dotted names) of this repository that a file imports, those behind TYPE_CHECKING included."""
    names = set()
    for node in ast.walk(parsed(path)):
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


def test_genbench_imports_downwards():
    arrows = [(name_of(path), module) for path in modules("genbench") for module in imported(path)]
    assert len(arrows) > 300
    assert not [arrow for arrow in arrows if not may_import(*arrow)]


def may_import(importer: str, module: str) -> bool:
    """Whether a file of genbench may import a module; never one of the zoo."""
    own, other = room(importer), room(module)
    if module.split(".")[0] == "zoo":
        return False
    if other == own or own in ("__init__", "__main__"):
        return True
    return RANK[other] < RANK[own] and other not in NEVER.get(own, ())


def test_an_arrow_upwards_is_seen():
    assert may_import("genbench.metrics.frechet", "genbench.numerics.linalg")
    for importer, module in (
        ("genbench.numerics.linalg", "genbench.metrics.frechet"),
        ("genbench.features.inception", "genbench.data.images"),
        ("genbench.metrics.frechet", "genbench.data.images"),
        ("genbench", "zoo.nn"),
    ):
        assert not may_import(importer, module)


def test_the_zoo_uses_the_contracts_only():
    arrows = [(name_of(path), module) for path in modules("zoo") for module in imported(path)]
    rooms = [(path, room(module)) for path, module in arrows if module.split(".")[0] == "genbench"]
    assert len(rooms) > 50
    assert not [(path, other) for path, other in rooms if other not in ZOO_MAY_IMPORT]


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


def test_files_stay_readable():
    paths = modules("genbench", "zoo")
    assert not [str(path) for path in paths if len(path.read_text().splitlines()) > 400]
    silent = [path for path in paths if not ast.get_docstring(parsed(path))]
    assert not [str(path) for path in silent if path.stat().st_size > 0], "say what the file is for"


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


def test_functions_take_few_parameters():
    """A command of the click layer has a parameter for each option, and decorators that say so."""
    paths = modules("genbench", "zoo")
    assert not [(str(path), name) for path in paths for name in too_many(parsed(path), commands="cli" in path.parts)]


def test_many_parameters_are_seen():
    command = ast.parse("@command\ndef f(a, b, c, d, e, f, g): ...")
    assert list(too_many(command))
    assert not list(too_many(command, commands=True))
    assert list(too_many(ast.parse("def f(a, b, c, d, e, *f, g): ..."))) == ["f in line 1"]
    assert not list(too_many(ast.parse("class A:\n    def f(self, a, b, c, d, e, f): ...")))


def test_names_say_what_they_hold():
    paths = modules("genbench", "zoo", "tests", "docs", "examples")
    assert not [(str(path), name) for path in paths for name in sorted(names(parsed(path)) & SAY_NOTHING)]


def names(tree: ast.AST) -> set[str]:
    """What locals, parameters and globals are called."""
    nodes = list(ast.walk(tree))
    variables = {node.id for node in nodes if isinstance(node, ast.Name)}
    return variables | {node.arg for node in nodes if isinstance(node, ast.arg)}


def test_names_are_seen():
    assert names(ast.parse("def f(one, *, seen): found = [kept for kept in f.other]")) == SAY_NOTHING | {"f"}


@pytest.mark.parametrize("path", [p for p in modules("genbench", "zoo") if p.name == "__init__.py"], ids=name_of)
def test_no_public_name_stands_in_the_way_of_a_module(path):
    """What a package hands out under the name of a module of its own is that module."""
    package = importlib.import_module(name_of(path))
    inside = {other.stem for other in path.parent.glob("*.py")} | {
        other.parent.name for other in path.parent.glob("*/*.py")
    }
    public = {name: getattr(package, name, None) for name in inside - {"__init__", "__main__"}}
    assert not [name for name, value in public.items() if not isinstance(value, ModuleType | None)]
