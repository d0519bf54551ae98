"""Models compared in pairs over the same held-out items, whose luck of the draw both share.

References: T. Dietterich, "Approximate Statistical Tests for Comparing Supervised Classification Learning Algorithms"
(1998), on why pairs tell apart what two separate errors do not.
"""

from __future__ import annotations

import math
from dataclasses import replace

from genbench.leaderboard.means import Mean
from genbench.storage.items import Items, Lookup
from genbench.storage.results import Result


def paired_error(first: Items, second: Items, nats: float) -> float | None:
    """The standard error of the difference of two models' means over the same items, in units of so many nats.

    Errors that all items of a model share, as that of a log Z, do not cancel and count in full. None for items of
    different numbers, and for fewer than two.
    """
    n = len(first.values)
    if n < 2 or len(second.values) != n:
        return None
    spread = float((first.values - second.values).std(ddof=1)) / math.sqrt(n)
    return math.hypot(spread, first.error, second.error) / nats


def error_of(first: Result | Mean, second: Result | Mean, of_first: Lookup, of_second: Lookup) -> float | None:
    """The paired error of two rows of one column, if they have equal protocols and all items behind them are kept.

    Of the mean of several seeds or trainings, the items are means, and the spread between them counts in full.
    """
    rows = [side.row if isinstance(side, Mean) else side for side in (first, second)]
    if rows[0].protocol != rows[1].protocol:
        return None
    first_items, second_items = _items(first, of_first), _items(second, of_second)
    if first_items is None or second_items is None:
        return None
    error = paired_error(first_items, second_items, first_items.columns[rows[0].column].nats)
    spreads = [side.spread for side in (first, second) if isinstance(side, Mean)]
    return None if error is None else math.hypot(error, *spreads)


def _items(side: Result | Mean, lookup: Lookup) -> Items | None:
    """The items behind a row, item by item the mean where it is one."""
    if isinstance(side, Result):
        return lookup.of(side)
    import numpy as np

    parts = [items for row in side.rows if (items := lookup.of(row)) is not None]
    if len(parts) < len(side.rows) or len({len(part.values) for part in parts}) > 1:
        return None
    values = np.average([part.values for part in parts], axis=0, weights=side.weights)
    error = math.hypot(*(weight * part.error for weight, part in zip(side.weights, parts, strict=True)))
    return replace(parts[0], values=values, error=error)
