"""What people see of long work: progress on stderr, as a bar on a terminal and in plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_SECONDS = 10.0  # between two plain lines about the same job
FALLBACK_WIDTH = 120  # of a table that is not printed on a terminal


def output() -> Console:
    """The console of results; where it is no terminal as wide as COLUMNS says, or 120 characters."""
    if sys.stdout.isatty():
        return Console()
    return Console(width=shutil.get_terminal_size((FALLBACK_WIDTH, 24)).columns)


class Shown:
    """Progress as people see it: a line per finished job and, below, a bar with the stage of the current one.

    Where stderr is no terminal, plain lines say every few seconds how far the current job is. `unit` is what jobs are.
    """

    def __init__(self, unit: str = "models") -> None:
        console = Console(stderr=True)
        self.terminal = console.is_terminal
        self.unit, self.width = unit, 0
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[stage]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not self.terminal,
        )
        self.task: TaskID | None = None
        self.job, self.jobs, self.finished = "", 0, 0
        self.said = self.began = time.monotonic()

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def start(self, jobs: Sequence[str]) -> None:
        self.width, self.jobs, self.finished = max(map(len, jobs), default=0), len(jobs), 0

    def stage(self, job: str, stage: str, done: int, total: int, /) -> None:
        now = time.monotonic()
        if job != self.job:
            self.job, self.began, self.said = job, now, now
            if self.task is not None:
                self.bar.remove_task(self.task)
            self.task = self.bar.add_task(job, total=None, stage="")
        count = f"{done}/{total}" if total else ""
        where = f"{min(self.finished + 1, self.jobs)}/{self.jobs} {self.unit}" if self.jobs > 1 else ""
        if self.task is not None and self.terminal:
            shown = "  ".join(part for part in (where, stage, count) if part)
            self.bar.update(self.task, completed=done, total=total or None, stage=shown)
        elif now - self.said >= PLAIN_SECONDS:
            self.said = now
            parts = (where, job, stage, count, f"{now - self.began:.0f} s")
            click.echo("  ".join(part for part in parts if part), err=True)

    def finish(self, job: str, note: str, failed: bool) -> None:
        self.finished += 1
        line = f"{job.ljust(self.width)}  {'failed ' if failed else ''}{printable(note)}"
        if self.terminal:
            self.bar.console.print(line, markup=False, highlight=False, soft_wrap=True, style="red" if failed else "")
        else:
            click.echo(line, err=True)

    def tell(self, job: str) -> Callable[[str, int, int], None]:
        """Whom to tell of the stages of one job."""
        return lambda stage, done, total: self.stage(job, stage, done, total)

    def sets(self, name: str, done: int, total: int, /) -> None:
        """Of sets of images, whose names are the jobs."""
        self.stage(name, "images" if total else "", done, total)

    def steps(self, job: str) -> Callable[[int, int, Mapping[str, float]], None]:
        """Whom to tell of a training's steps and figures."""

        def tell(step: int, steps: int, figures: Mapping[str, float]) -> None:
            shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
            self.stage(job, f"training  {shown}", step, steps)

        return tell


def printable(text: str) -> str:
    """Text without the control characters by which a name or a message could take hold of a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
