"""Metrics by name, by one of their columns, or by ``module:factory``; a stranger's is held to what a metric is."""

from __future__ import annotations

import dataclasses
import json
import warnings
from functools import cache
from typing import Any, get_args

from genbench.contracts import Better, Column, Metric, Reads
from genbench.errors import GenbenchWarning, RegistryError
from genbench.plugins import registry
from genbench.plugins.cards import Card
from genbench.plugins.guard import guarded_as
from genbench.plugins.interruptions import printable, shown

READS = get_args(Reads)
BETTER = get_args(Better)


def metric_named(name: str | Metric) -> Metric:
    """The metric of that name, that has a column of that name, or that ``module:factory`` makes; a metric is taken too.

    A factory takes nothing; a metric itself may stand in its place. Raises RegistryError in one sentence for unknown
    names and for what is no metric.
    """
    if not isinstance(name, str):
        return _checked(name, printable(type(name).__name__))
    if registry.is_named("metrics", name):
        return _of(registry.find("metrics", name))
    if ":" in name:
        return _of(registry.card_of("metrics", name))
    owners = [metric for metric in _all() if any(column.name == name for column in metric.columns)]
    if not owners:
        columns = {column.name for metric in _all() for column in metric.columns}
        raise RegistryError(registry.unknown("metrics", name, {*registry.cards("metrics"), *columns}))
    if len(owners) > 1:
        raise RegistryError(f"{name} is a column of {' and of '.join(metric.name for metric in owners)}; name one")
    return owners[0]


def _all() -> list[Metric]:
    """Every metric that can be made; of the others a warning tells why they cannot."""
    metrics = []
    for card in registry.cards("metrics").values():
        try:
            metrics.append(_of(card))
        except RegistryError as error:
            warnings.warn(str(error), GenbenchWarning, stacklevel=3)
    return metrics


def _of(card: Card) -> Metric:
    return _own(card) if _is_own(card) else _checked(_made(card), card.name)


def _is_own(card: Card) -> bool:
    return card.target.startswith("genbench.")


@cache
def _own(card: Card) -> Metric:
    metric: Metric = registry.load(card.target)()
    return metric


def _made(card: Card) -> Any:
    target = registry.load(card.target)
    if not isinstance(target, type) and hasattr(target, "compute"):
        return target
    if not callable(target):
        raise RegistryError(f"{card.target} is a {type(target).__name__}, neither a metric nor a factory of one")
    return guarded_as(RegistryError, f"the factory of the metric {card.name}", target)


def _checked(metric: Any, called: str) -> Metric:
    fault = guarded_as(RegistryError, f"the metric {called}", lambda: _fault(metric))
    if fault:
        raise RegistryError(f"the metric {called} {fault}")
    checked: Metric = metric
    return checked


def _fault(metric: Any) -> str:
    """What keeps an object from being a metric, as the end of a sentence; empty where nothing does."""
    if isinstance(metric, type) or not callable(getattr(metric, "compute", None)):
        return "has no method compute(evidence)"
    if not dataclasses.is_dataclass(metric) or not getattr(metric, "__dataclass_params__").frozen:  # noqa: B009
        return "must be a frozen dataclass, whose fields are its parameters and enter the protocol"
    try:
        json.dumps(dataclasses.asdict(metric))  # type: ignore[arg-type]
    except (TypeError, ValueError, RecursionError):
        return "has parameters that are no plain values, as numbers and text are, so that no protocol can name them"
    name, columns, reads = (getattr(metric, part, None) for part in ("name", "columns", "reads"))
    if not isinstance(name, str) or not _is_text(name):
        return f"must have a name of printable text, it is {shown(name)}"
    if not isinstance(columns, tuple) or not columns or not all(isinstance(column, Column) for column in columns):
        return "must have columns, a tuple of genbench.contracts.Column"
    if fault := next((fault for column in columns if (fault := _column_fault(column))), ""):
        return fault
    if len({column.name for column in columns}) < len(columns):
        return "has two columns of one name"
    parts = (reads,) if isinstance(reads, str) else reads
    if not isinstance(parts, tuple) or not parts or not all(part in READS for part in parts):
        return f"must say what it reads, some of {', '.join(READS)}; it says {shown(reads)}"
    least, version = getattr(metric, "min_samples", None), getattr(metric, "version", 1)
    if not _is_count(least):
        return f"must have min_samples, a whole number of at least 1; it is {shown(least)}"
    if not _is_count(version):
        return f"must have a whole number for a version, it is {shown(version)}"
    return _taken(name, columns) if not type(metric).__module__.startswith("genbench.") else ""


def _column_fault(column: Column) -> str:
    if not (_is_text(column.name) and _is_text(column.title) and isinstance(column.unit, str)):
        return "has a column whose name, title or unit is no printable text"
    if column.better not in BETTER:
        return f"has a column {column.name} whose better is none of {', '.join(BETTER)}"
    if isinstance(column.digits, bool) or not isinstance(column.digits, int) or not 0 <= column.digits <= 17:
        return f"has a column {column.name} whose digits are not within 0..17"
    return ""


def _taken(name: str, columns: tuple[Column, ...]) -> str:
    """A row that is called by the name of one of genbench's metrics must be of that metric."""
    own = [_own(card) for card in registry.cards("metrics").values() if _is_own(card)]
    if name in {metric.name for metric in own}:
        return f"is called {name}, as one of genbench's own; choose another name"
    names = {column.name for metric in own for column in metric.columns}
    clash = next((column.name for column in columns if column.name in names), None)
    return "" if clash is None else f"has a column {clash}, as one of genbench's own metrics; choose another name"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value.strip())


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
