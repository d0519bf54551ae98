"""A number with what is known of its error."""

from __future__ import annotations

from typing import Self


class Estimate(float):
    """A float that carries what is known of its error; None where something is not.

    `stderr` is the standard error over the draw of samples, the real items held fixed; `total_stderr` covers their draw
    too. `low` and `high`, given together, are the ends of an interval within which the truth lies.
    """

    stderr: float | None
    low: float | None
    high: float | None
    total_stderr: float | None

    def __new__(
        cls,
        value: float,
        stderr: float | None = None,
        *,
        low: float | None = None,
        high: float | None = None,
        total_stderr: float | None = None,
    ) -> Self:
        self = super().__new__(cls, value)
        self.stderr, self.low, self.high, self.total_stderr = stderr, low, high, total_stderr
        return self

    def __getnewargs__(self) -> tuple[float, float | None]:  # type: ignore[override]
        return float(self), self.stderr  # what else there is, pickling and copying take from the instance

    @property
    def value(self) -> float:
        return float(self)

    def __repr__(self) -> str:
        known = {"low": self.low, "high": self.high, "total_stderr": self.total_stderr}
        rest = "".join(f", {name}={number!r}" for name, number in known.items() if number is not None)
        return f"Estimate({float(self)!r}, stderr={self.stderr!r}{rest})"
