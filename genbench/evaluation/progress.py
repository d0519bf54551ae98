"""Who hears how far long work is: one interface for runs, scores, curves and trainings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Tell = Callable[[str, int, int], None]  # a stage, how much of it is done, how much there is (0: not known)


class Progress(Protocol):
    """Hears of several jobs, one after the other: models, or sets of images."""

    def start(self, jobs: Sequence[str]) -> None: ...

    def stage(self, job: str, stage: str, done: int, total: int, /) -> None: ...

    def finish(self, job: str, note: str, failed: bool) -> None: ...


class Silent:
    """Progress that nobody hears."""

    def start(self, jobs: Sequence[str]) -> None: ...

    def stage(self, job: str, stage: str, done: int, total: int, /) -> None: ...

    def finish(self, job: str, note: str, failed: bool) -> None: ...
