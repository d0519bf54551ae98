"""A number with the standard error of its draw of samples."""

from __future__ import annotations


class Estimate(float):
    """A float that carries its standard error over the draw of samples (`stderr`, None where unknown)."""

    stderr: float | None

    def __new__(cls, value: float, stderr: float | None = None) -> Estimate:
        self = super().__new__(cls, value)
        self.stderr = stderr
        return self

    def __getnewargs__(self) -> tuple[float, float | None]:  # type: ignore[override]
        return float(self), self.stderr

    @property
    def value(self) -> float:
        return float(self)

    def __repr__(self) -> str:
        return f"Estimate({float(self)!r}, stderr={self.stderr!r})"
