"""What people see of long work: progress on stderr, tables on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def output() -> Console:
    """The console of results; wide enough for a board where it is not a terminal."""
    return Console() if sys.stdout.isatty() else Console(width=1000)


def _bar(*extra: TextColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        *extra,
        TimeElapsedColumn(),
        console=(console := Console(stderr=True)),
        transient=True,
        disable=not console.is_terminal,
    )


class RunProgress:
    """A line per finished model and, below, a bar over the models with the current stage."""

    def __init__(self) -> None:
        self.bar = _bar(TextColumn("{task.completed}/{task.total} models  {task.fields[stage]}"))

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def start(self, models: Sequence[str]) -> None:
        self.width = max((len(model) for model in models), default=0)
        self.task = self.bar.add_task("running", total=len(models), stage="")

    def stage(self, model: str, stage: str, done: int, total: int) -> None:
        count = f" {done}/{total}" if done else ""
        self.bar.update(self.task, description=model, stage=f"{stage}{count}")

    def finish(self, model: str, note: str, failed: bool) -> None:
        mark = "[red]failed[/red] " if failed else ""
        self.bar.console.print(f"{model.ljust(self.width)}  {mark}", end="")
        self.bar.console.print(note, markup=False, highlight=False, soft_wrap=True)
        self.bar.update(self.task, advance=1, stage="")


@contextmanager
def training_progress(model: str) -> Iterator[Callable[[int, int, Mapping[str, float]], None]]:
    """A bar over the steps of a training with its latest figures and the time left."""
    with _bar(TextColumn("{task.completed}/{task.total}  {task.fields[figures]}  left")) as bar:
        bar.columns = (*bar.columns, TimeRemainingColumn())
        task = bar.add_task(f"training {model}", total=None, figures="")

        def tell(step: int, steps: int, figures: Mapping[str, float]) -> None:
            shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
            bar.update(task, completed=step, total=steps, figures=shown)

        yield tell


@contextmanager
def reading_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar over the images of each set, with their rate and the time left; a total of 0 names a step without count."""
    started: dict[str, tuple[TaskID, float]] = {}
    with _bar(TextColumn("{task.completed}/{task.total}  {task.fields[rate]}")) as bar:
        bar.columns = (*bar.columns, TextColumn("left"), TimeRemainingColumn())

        def tell(name: str, done: int, total: int) -> None:
            if name not in started:
                for task, _ in started.values():
                    bar.update(task, visible=False)
                started[name] = bar.add_task(name, total=total or None, rate=""), time.monotonic()
            task, start = started[name]
            seconds = time.monotonic() - start
            rate = f"{done / seconds:.1f} images/s" if done and seconds > 0.5 else ""
            bar.update(task, completed=done, rate=rate)

        yield tell


@contextmanager
def counting(model: str) -> Iterator[Callable[[float, int, int], None]]:
    """A bar over the points of a truncation curve."""
    with _bar(TextColumn("{task.completed}/{task.total}  psi {task.fields[psi]}")) as bar:
        task = bar.add_task(model, total=None, psi="")

        def tell(psi: float, index: int, total: int) -> None:
            bar.update(task, completed=index, total=total, psi=f"{psi:g}")

        yield tell
