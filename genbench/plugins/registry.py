"""What can be named: models, datasets, feature extractors and metrics, each found through an entry point.

An entry point in one of the four groups names a function that returns cards. Cards hold strings, so that listing
imports no model code; `load` imports what a card's target names. One name claimed by two providers is an error that
names both, raised when that name is used; a provider that cannot be imported warns and never blocks the others.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal

from genbench.errors import RegistryError
from genbench.plugins.cards import Card, ModelCard

Group = Literal["models", "datasets", "features", "metrics", "benchmarks"]


@cache
def _providers(group: Group) -> Mapping[str, tuple[tuple[str, Card], ...]]:
    """Every card of a group by name, with the distribution that provides it."""
    found: dict[str, list[tuple[str, Card]]] = {}
    for point in entry_points(group=f"genbench.{group}"):
        provider = f"{point.dist.name if point.dist else 'unknown'} ({point.value})"
        try:
            cards = tuple(point.load()())
        except Exception as error:
            message = f"plug-in {provider} cannot be listed and is left out: {type(error).__name__}: {error}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
            continue
        for card in cards:
            claims = found.setdefault(card.name, [])
            if (provider, card) not in claims:
                claims.append((provider, card))
    return {name: tuple(claims) for name, claims in found.items()}


def refresh() -> None:
    """Forget what was found, so that the next call looks at the installed distributions again."""
    _providers.cache_clear()


def cards(group: Group) -> dict[str, Card]:
    """Every card of a group by name, in the order of their providers; a name that two claim raises."""
    return {name: find(group, name) for name in _providers(group)}


def models() -> dict[str, ModelCard]:
    """Every model card by name."""
    return {name: card for name, card in cards("models").items() if isinstance(card, ModelCard)}


def find(group: Group, name: str) -> Card:
    """The card of that name. Raises RegistryError with the closest names, or with both providers of a clash."""
    claims = _providers(group).get(name)
    if claims is None:
        raise RegistryError(unknown(group, name, _providers(group)))
    if len(claims) > 1:
        both = " and ".join(provider for provider, _ in claims)
        raise RegistryError(f"{group[:-1] if group != 'features' else 'extractor'} {name!r} is claimed by {both}")
    return claims[0][1]


def unknown(group: str, name: str, known: Iterable[str]) -> str:
    """One sentence that says a name is unknown and offers the closest ones."""
    singular = {"features": "feature extractor"}.get(group, group.removesuffix("s"))
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names) or 'none'}"
    return f"no {singular} is called {name!r}; {hint}"


def load(target: str) -> Any:
    """The object that ``"module:object"`` (dots allowed in both) names. Raises RegistryError in one sentence."""
    module_name, colon, attribute = target.partition(":")
    if not (module_name and colon and attribute):
        raise RegistryError(f"{target!r} should read module:factory, for example my_package.my_module:make")
    if os.getcwd() not in sys.path:
        # A user's own file beside them is importable under `python -m`, but not from a console script.
        sys.path.append(os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise RegistryError(f"cannot import {module_name}: {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            close = difflib.get_close_matches(part, dir(found), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise RegistryError(f"{module_name} has no attribute {attribute!r}{hint}")
        found = getattr(found, part)
    return found
