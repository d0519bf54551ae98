"""Several models of a run at the same time, each in one of a few processes; rows are those of one after the other.

A process that ends fails the model that it was at, and another takes its place.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing import connection
from pathlib import Path
from typing import Any

import torch

from genbench.errors import GenbenchError, GenbenchWarning
from genbench.evaluation import benchmarks, isolation
from genbench.evaluation import run as runner
from genbench.evaluation.benchmarks import Task
from genbench.evaluation.progress import Progress, Silent
from genbench.evaluation.run import Options, Outcome
from genbench.plugins.cards import ModelCard
from genbench.plugins.extractors import Computing
from genbench.plugins.interruptions import described


@dataclass(frozen=True, slots=True)
class Loading:
    """What `benchmarks.load` is told, from which every process has the same task."""

    name: str
    metrics: tuple[str, ...] | None = None
    n: int | None = None
    data_root: Path | None = None
    features: str | None = None
    computing: Computing | None = None

    def load(self) -> Task:
        return benchmarks.load(
            self.name,
            metrics=self.metrics,
            n=self.n,
            data_root=self.data_root,
            features=self.features,
            computing=self.computing,
        )


def run(
    loading: Loading, models: Sequence[ModelCard], options: Options, jobs: int, progress: Progress | None = None
) -> Outcome:
    """As `run.run`, with as many as `jobs` models at the same time; each process has its share of the threads.

    What `options.finished` is must be a thing that can be sent to a process. Raises as `run.run` does.
    """
    progress = progress or Silent()
    progress.start([card.name for card in models])
    pool = _Pool(loading, options, min(jobs, len(models)))
    try:
        outcomes = pool.all(models, progress)
    finally:
        pool.close()
    whole = Outcome()
    for card in models:
        whole.rows += outcomes[card.name].rows
        whole.computed += outcomes[card.name].computed
    return whole


class _Pool:
    """Processes, and the models that wait for them."""

    def __init__(self, loading: Loading, options: Options, jobs: int) -> None:
        self.loading, self.options, self.jobs = loading, options, jobs
        self.threads = max(1, torch.get_num_threads() // jobs)
        self.workers: list[_Worker] = []

    def all(self, models: Sequence[ModelCard], progress: Progress) -> dict[str, Outcome]:
        waiting, outcomes = deque(models), dict[str, Outcome]()
        self.workers = [self._worker() for _ in range(self.jobs)]
        while len(outcomes) < len(models):
            for worker in self.workers:
                if worker.card is None and waiting:
                    worker.begin(waiting.popleft())
            busy = [worker for worker in self.workers if worker.card is not None]
            names = ", ".join(worker.card.name for worker in busy if worker.card is not None)
            progress.stage(f"{len(busy)} at once", names, len(outcomes), len(models))
            ready = connection.wait([worker.pipe for worker in busy], timeout=10.0)
            for worker in busy:
                if worker.pipe not in ready:
                    continue
                card, outcome = worker.card, self._answer(worker, progress)
                if outcome is not None and card is not None:
                    outcomes[card.name] = outcome
        return outcomes

    def close(self) -> None:
        for worker in self.workers:
            worker.close()

    def _worker(self) -> _Worker:
        return _Worker((self.loading, replace(self.options), dict(os.environ), list(sys.path), self.threads))

    def _answer(self, worker: _Worker, progress: Progress) -> Outcome | None:
        """What a process says: the outcome of its model, or nothing yet. Raises GenbenchError where it could not write.

        The rows of a model whose process has ended say so.
        """
        card = worker.card
        assert card is not None
        try:
            kind, *content = pickle.loads(worker.pipe.recv_bytes())
        except (EOFError, ConnectionError, pickle.UnpicklingError):
            reason = worker.end()
            self.workers[self.workers.index(worker)] = self._worker()
            outcome = self._failed(card, f"the process of {card.name} {reason}")
            progress.finish(card.name, outcome.rows[0].detail, True)
            return outcome
        if kind == "warning":
            warnings.warn(content[0], GenbenchWarning, stacklevel=2)
        elif kind == "finish":
            progress.finish(*content)
        elif kind == "error":
            raise GenbenchError(content[0])
        elif kind == "outcome":
            worker.card = None
            outcome = content[0]
            return outcome
        return None

    def _failed(self, card: ModelCard, reason: str) -> Outcome:
        """A row with the reason for each column, where there is none that is sound."""
        task = self.loading.load()
        return runner.without_numbers(task, card, self.options, reason)


class _Worker:
    """One process, and the model that it is at."""

    def __init__(self, surroundings: tuple[Any, ...]) -> None:
        context = isolation.context()
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), name="genbench run")
        self.process.start()
        theirs.close()
        self.card: ModelCard | None = None
        self.pipe.send_bytes(pickle.dumps(surroundings))

    def begin(self, card: ModelCard) -> None:
        self.card = card
        try:
            self.pipe.send_bytes(pickle.dumps(card))
        except ConnectionError:  # it has ended, as the next reading finds
            return

    def end(self) -> str:
        """End the process, and say how it ended if it has by itself."""
        self.process.join(isolation.LOOK)
        reason = isolation.how_it_ended(self.process.exitcode).rstrip(",")
        self.close()
        return reason

    def close(self) -> None:
        isolation.end(self.process, self.pipe)


# What follows runs in the processes.


def _serve(pipe: connection.Connection[Any, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first decides
    os.dup2(2, 1)
    threading.Thread(target=isolation.end_with_parent, daemon=True).start()
    relay = _Relay(pipe)
    loading, options, environment, paths, threads = pickle.loads(pipe.recv_bytes())
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = paths
    torch.set_num_threads(threads)
    warnings.showwarning = lambda message, *_, **__: relay.send("warning", str(message))
    task = loading.load()
    while True:
        try:
            card = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            relay.send("outcome", runner.run(task, [card], options, relay))
        except Exception as error:
            relay.send("error", str(error) if isinstance(error, GenbenchError) else described(error))


class _Relay:
    """Progress that another process hears: of what is finished."""

    def __init__(self, pipe: connection.Connection[Any, Any]) -> None:
        self.pipe = pipe

    def send(self, kind: str, *content: Any) -> None:
        self.pipe.send_bytes(pickle.dumps((kind, *content)))

    def start(self, jobs: Sequence[str]) -> None: ...

    def stage(self, job: str, stage: str, done: int, total: int, /) -> None: ...

    def finish(self, job: str, note: str, failed: bool) -> None:
        self.send("finish", job, note, failed)
