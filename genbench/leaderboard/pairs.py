"""Models compared in pairs over the same held-out items, whose luck of the draw both share.

References: T. Dietterich, "Approximate Statistical Tests for Comparing Supervised Classification Learning Algorithms"
(1998), on why pairs tell apart what two separate errors do not.
"""

from __future__ import annotations

import math

from genbench.storage.log_probs import Items, Lookup
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


def error_of(first: Result, second: Result, of_first: Lookup, of_second: Lookup) -> float | None:
    """The paired error of two rows of one column, if they have equal protocols and both rows' items are kept."""
    if first.protocol != second.protocol:
        return None
    first_items, second_items = of_first.of(first), of_second.of(second)
    if first_items is None or second_items is None:
        return None
    return paired_error(first_items, second_items, first_items.columns[first.column].nats)
