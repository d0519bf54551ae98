"""What can be named: models, datasets, feature extractors, metrics and benchmarks, each found through an entry point.

An entry point in one of the groups ``genbench.GROUP`` names a function that returns cards. Cards hold strings, so that
listing imports no model code; `load` imports what a card's target names. Two providers of one name, and a provider that
cannot be imported or returns no cards, warn once and block nothing but the use of that name. A provider in whose place
a folder of the working directory was imported is an error: what it provides would be missing without a word.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, overload
from urllib.parse import urlparse
from urllib.request import url2pathname

from genbench.errors import GenbenchError, GenbenchWarning, RegistryError
from genbench.plugins import importing
from genbench.plugins.cards import Benchmark, Card, ModelCard
from genbench.plugins.guard import guarded, guarded_as

Group = Literal["models", "datasets", "features", "metrics", "benchmarks"]
KINDS: Mapping[Group, type[Card] | type[Benchmark]] = {
    "models": ModelCard,
    "datasets": Card,
    "features": Card,
    "metrics": Card,
    "benchmarks": Benchmark,
}
SINGULARS = {"features": "feature extractor", "datasets": "data set"}


@dataclass(slots=True)
class _Provided:
    """What the providers of one group hand in: claims on names, each with its provider, and what went wrong."""

    claims: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    shadowed: str = ""

    def clash(self, group: str, name: str) -> str:
        """The sentence that names those who claim a name together; empty where it has one provider."""
        claims = self.claims[name]
        if len(claims) == 1:
            return ""
        both = " and ".join(provider for provider, _ in claims)
        return f"{singular(group)} {name!r} is claimed by {both}; uninstall one of them to use it"


@cache
def _provided(group: Group) -> _Provided:
    """Every card of a group with the distribution that provides it; tells once what cannot be used."""
    provided = _Provided()
    for point in entry_points(group=f"genbench.{group}"):
        provider = f"{point.dist.name if point.dist else 'unknown'} ({point.value})"
        try:
            listed = guarded("it", _listed, point)
        except GenbenchError as error:
            if place := _place_in_working_directory(point):
                provided.shadowed = (
                    f"{place} in the working directory was imported in place of the {group} of {provider}, and is not "
                    f"that ({error}); rename it, or run genbench elsewhere"
                )
                continue
            provided.faults.append(f"plug-in {provider} cannot be listed and is left out: {error}")
            continue
        for card in listed:
            if not isinstance(card, KINDS[group]):
                fault = f"is a {type(card).__name__}, not a {KINDS[group].__name__}"
                provided.faults.append(f"what plug-in {provider} lists under genbench.{group} {fault}, and is left out")
                continue
            claims = provided.claims.setdefault(card.name, [])
            if (provider, card) not in claims:
                claims.append((provider, card))
    clashes = [clash for name in provided.claims if (clash := provided.clash(group, name))]
    for fault in [*provided.faults, *clashes]:
        warnings.warn(fault, GenbenchWarning, stacklevel=3)
    return provided


def _listed(point: EntryPoint) -> list[object]:
    return list(point.load()())


def _place_in_working_directory(point: EntryPoint) -> str:
    """The file or folder of the working directory that was taken for a provider's package; empty where it is not."""
    top = point.value.partition(":")[0].partition(".")[0]
    here = importing.working_directory()
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = getattr(sys.modules.get(top), "__spec__", None)
    if spec is None or not here:
        return ""
    places = [Path(place) for place in spec.submodule_search_locations or []]
    places += [Path(spec.origin)] if spec.origin and not places else []
    own = {Path(home).resolve() for home in _homes(point)}
    folders = {place: place.parent.resolve() for place in places}
    return next((str(p) for p, folder in folders.items() if folder == Path(here).resolve() and folder not in own), "")


def _homes(point: EntryPoint) -> list[str]:
    """Where the distribution of an entry point is installed, and the checkout that it is a link to, if it is one."""
    if point.dist is None:
        return []
    url = json.loads(point.dist.read_text("direct_url.json") or "{}").get("url", "")
    return [str(point.dist.locate_file("")), *([url2pathname(urlparse(url).path)] if url else [])]


def refresh() -> None:
    """Forget what was found, so that the next call looks at the installed distributions again."""
    _provided.cache_clear()


def _usable(group: Group) -> _Provided:
    provided = _provided(group)
    if provided.shadowed:
        raise RegistryError(provided.shadowed)
    return provided


@overload
def cards(group: Literal["models"]) -> dict[str, ModelCard]: ...
@overload
def cards(group: Literal["benchmarks"]) -> dict[str, Benchmark]: ...
@overload
def cards(group: Literal["datasets", "features", "metrics"]) -> dict[str, Card]: ...
@overload
def cards(group: Group) -> Mapping[str, Card | Benchmark]: ...
def cards(group: Group) -> Mapping[str, Any]:
    """Every card of a group by name, in the order of their providers, without names that several claim.

    Raises RegistryError where a folder of the working directory stands in a provider's place, and for nothing else.
    """
    return {name: claims[0][1] for name, claims in _usable(group).claims.items() if len(claims) == 1}


def models() -> dict[str, ModelCard]:
    """Every model card by name."""
    return cards("models")


def is_named(group: Group, name: str) -> bool:
    """Whether a name is claimed, by one provider or several."""
    return name in _usable(group).claims


@overload
def find(group: Literal["models"], name: str) -> ModelCard: ...
@overload
def find(group: Literal["benchmarks"], name: str) -> Benchmark: ...
@overload
def find(group: Literal["datasets", "features", "metrics"], name: str) -> Card: ...
def find(group: Group, name: str) -> Any:
    """The card of that name.

    Raises RegistryError with the closest names and what could not be listed, or with the providers of a clash.
    """
    provided = _usable(group)
    if name not in provided.claims:
        missing = "".join(f"; {fault}" for fault in provided.faults)
        raise RegistryError(unknown(group, name, provided.claims) + missing)
    if clash := provided.clash(group, name):
        raise RegistryError(clash)
    return provided.claims[name][0][1]


def card_of(group: Literal["features", "metrics"], name: str) -> Card:
    """The card of a name, or one made for ``module:object``, whose name is that.

    A registered name wins, with what follows its colon: the card of ``inception:768`` is that of ``inception``. What
    follows the object of a module is left out likewise. Raises RegistryError for a name that is neither.
    """
    head, colon, rest = name.partition(":")
    if is_named(group, name) or not colon:
        return find(group, name)
    if is_named(group, head):
        return find(group, head)
    if not (rest and _importable(head)):
        raise RegistryError(f"{unknown(group, head, cards(group))}, and no module {head} can be imported")
    target = f"{head}:{rest.partition(':')[0]}"
    return Card(target, target)


def _importable(module: str) -> bool:
    """Whether a dotted name can be a module's: its first part is one that can be found."""
    top = module.partition(".")[0]
    if not all(part.isidentifier() for part in module.split(".")):
        return False
    try:
        with importing.reachable(importing.working_directory()):
            return top in sys.modules or importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def singular(group: str) -> str:
    return SINGULARS.get(group, group.removesuffix("s"))


def unknown(group: str, name: str, known: Iterable[str]) -> str:
    """One sentence that says a name is unknown and offers the closest ones."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names) or 'none'}"
    return f"no {singular(group)} is called {name!r}; {hint}"


def load(target: str) -> Any:
    """The object that ``"module:object"`` names, imported under guard, from the working directory too.

    Raises RegistryError in one sentence, whatever the import raises.
    """
    return guarded_as(RegistryError, f"importing {target.partition(':')[0]}", importing.resolve, target)


def records(card: ModelCard) -> dict[str, dict[str, Any]]:
    """The records of a model's trainings by benchmark, as the card's provider keeps them; empty where it names none.

    A `curve` in a record that is none is left out. Raises RegistryError in one sentence, whatever the provider's code
    raises or returns beyond that.
    """
    if not card.records:
        return {}
    by_benchmark = guarded_as(RegistryError, f"the records of {card.name}", load(card.records), card.name)
    whole = isinstance(by_benchmark, Mapping) and all(isinstance(record, Mapping) for record in by_benchmark.values())
    if not whole:
        raise RegistryError(f"the records of {card.name} are no mapping from benchmarks to records")
    return {str(benchmark): _with_sound_curves(record) for benchmark, record in by_benchmark.items()}


def _with_sound_curves(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record whose `curve`, if it has one, is a list of phases: lists of numbers or None by name, long as `step`."""

    def sound(phase: object) -> bool:
        if not isinstance(phase, Mapping) or not all(isinstance(values, list) for values in phase.values()):
            return False
        numbers = [value for values in phase.values() for value in values if value is not None]
        alike = len({len(values) for values in phase.values()}) == 1
        return alike and "step" in phase and all(isinstance(value, int | float) for value in numbers)

    curve = record.get("curve")
    phases = [dict(phase) for phase in curve if sound(phase)] if isinstance(curve, list) else []
    rest = {str(name): value for name, value in record.items() if name != "curve"}
    return rest | ({"curve": phases} if phases else {})
