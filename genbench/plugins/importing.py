"""Importing what ``"module:object"`` names, from the working directory too, without leaving that on the path.

A console script does not look for modules where the user stands; `python -m` does. Here the working directory stands at
the end of `sys.path` while a target is imported, and the directories that targets came from stand there again while
their code is called (`guard`), so that it may import its neighbours late. In between they are on no path: a file of the
user's never takes the place of a module that somebody else looks for.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from genbench.errors import RegistryError, way_to_install
from genbench.plugins.interruptions import described

_origins: list[str] = []  # directories that targets were imported from and that are on no path of themselves


@contextmanager
def reachable(*directories: str) -> Iterator[None]:
    """Inside, modules beside those that were imported by `resolve`, and in these directories, can be imported."""
    path = sys.path
    added = [each for each in dict.fromkeys([*_origins, *directories]) if each not in path]
    path.extend(added)
    try:
        yield
    finally:
        for directory in added:
            if directory in path:
                del path[len(path) - 1 - path[::-1].index(directory)]


def working_directory() -> str:
    """Where the user stands; empty where that is gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def resolve(target: str) -> Any:
    """The object that ``"module:object"`` (dots allowed in both) names. Raises RegistryError in one sentence."""
    module_name, colon, attribute = target.partition(":")
    if not (module_name and colon and attribute):
        raise RegistryError(f"{target!r} should read module:factory, for example my_package.my_module:make")
    here = working_directory()
    with reachable(*([here] if here and "" not in sys.path else [])):
        value: Any = _imported(module_name)
    if here and here not in (*sys.path, *_origins) and "" not in sys.path and _lies_in(value, here):
        _origins.append(here)
    for part in attribute.split("."):
        try:
            value = getattr(value, part)
        except AttributeError as error:
            close = difflib.get_close_matches(part, dir(value), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise RegistryError(f"{_shown(module_name)} has no attribute {attribute!r}{hint}") from error
    return value


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        hint = way_to_install(error)
        if name.endswith(".py") or os.sep in name:
            dotted = ".".join(Path(name.removesuffix(".py")).parts)
            hint = f"; a module is named as it is imported: {dotted}"
        raise RegistryError(f"cannot import {name}: {described(error)}{hint}") from error


def _shown(name: str) -> str:
    """A module's name, with the file that it came from."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return f"{name} ({file})" if isinstance(file, str) else name


def _lies_in(module: ModuleType, directory: str) -> bool:
    """Whether a module, or the package that it belongs to, stands in a directory."""
    top = sys.modules.get(module.__name__.split(".")[0], module)
    places = [getattr(top, "__file__", None), *getattr(top, "__path__", [])]
    return any(Path(place).resolve().is_relative_to(Path(directory).resolve()) for place in places if place)
