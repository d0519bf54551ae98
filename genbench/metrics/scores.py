"""From an estimate to what a board shows of it."""

from __future__ import annotations

from torch import Tensor

from genbench.contracts import Kind, Score
from genbench.numerics.estimate import Estimate

# Noted of columns that miss in leaderboards/coverage.csv; a test holds the one to the other.
FALLS_SHORT = "its 95 % interval covers less than 90 % in some of the simulations of `make coverage`"


def as_score(
    estimate: Estimate,
    detail: str = "",
    *,
    biased: bool = False,
    kind: Kind | None = None,
    parts: Tensor | None = None,
) -> Score:
    """The number of a column with all that an estimate knows of its error, a remark, and what each item adds to it."""
    return Score(
        estimate.value,
        estimate.stderr,
        kind,
        detail,
        low=estimate.low,
        high=estimate.high,
        total_stderr=estimate.total_stderr,
        biased=biased,
        parts=parts,
    )
