"""Training a model of the catalogue on a benchmark's train split, and recording how it was done."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from genbench import seeding
from genbench.contracts import Budget, Dataset, Generator, Setting
from genbench.errors import GenbenchError, ModelError
from genbench.evaluation import benchmarks, generators
from genbench.evaluation.training_curve import Curve
from genbench.plugins import registry
from genbench.plugins.cards import ModelCard
from genbench.plugins.guard import attribute, guarded, watching
from genbench.storage import atomic, cache, snapshots
from genbench.storage.names import file_name, training

Progress = Callable[[int, int, Mapping[str, float]], None]
COLUMNS = ("benchmark", "model", "seed", "budget", "seconds", "version")  # of the log of trainings


def _fresh(card: ModelCard, setting: Setting) -> Generator:
    try:
        return generators.build(card, setting)
    except ModelError as error:
        if setting.benchmark in card.benchmarks or not card.benchmarks:
            raise
        raise ModelError(f"{error}; {card.name} is trained with --benchmark {' or '.join(card.benchmarks)}") from error


@dataclass(frozen=True, slots=True)
class Trained:
    """Where a checkpoint went, what `fit` reported, and how long it took."""

    path: object
    figures: Mapping[str, float]
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How models are trained: the optimiser steps (None: each model's own recipe), the seed, the device, a folder that
    holds the data already, and whether to go on from where an earlier training stopped."""

    steps: int | None = None
    seed: int = 0
    device: str = "cpu"
    data_root: Path | None = None
    resume: bool = False


def train(card: ModelCard, benchmark: str, plan: Plan, progress: Progress | None = None) -> Trained:
    """Build a fresh model, fit it under a scoped seed and save it with its record.

    The old checkpoint is replaced only once training has succeeded; until then the last good state is kept in the
    cache folder, and a plan to resume goes on from it. A model that is named by a seed, as ``dcgan@1``, is trained with
    that seed in place of the plan's, as the model itself would be. Raises ModelError for a model that cannot be
    trained, whose training breaks, or which has nothing to go on from.
    """
    model_name, seed = training(card.name)
    plan = plan if seed is None else replace(plan, seed=seed)
    board = benchmarks.find(benchmark)
    dataset = benchmarks.load_dataset(board, plan.data_root)
    setting = benchmarks.setting(board, card.name, dataset, plan.device, trained=False)
    start = time.monotonic()
    state = kept_state(card, benchmark, plan, dataset)
    if plan.resume:
        state.resume()
    with seeding.scoped(plan.seed, "train", model_name), watching(card.name):
        model = _fresh(card, setting)
        if not generators.offers(model, "training"):
            raise ModelError(f"{card.name} has nothing to train: it defines no fit and save")
        curve = Curve(state.notes)
        budget = Budget(plan.steps, plan.seed, _heard(curve, state, progress), state)
        figures = _figures(guarded(f"fit of {card.name}", attribute(model, "fit"), dataset, budget), card.name)
    seconds = round(time.monotonic() - start + state.seconds_before, 1)
    steps = "" if plan.steps is None else f" --budget {plan.steps}"
    record = {
        "command": f"genbench train {card.name} --benchmark {benchmark}{steps} --seed {plan.seed}",
        "seed": plan.seed,
        "budget": plan.steps,
        "figures": figures,
        "seconds": seconds,
        **({"curve": phases} if (phases := curve.record()) else {}),
    }
    try:
        path = guarded(f"save of {card.name}", attribute(model, "save"), setting, record)
    except ModelError as error:
        raise type(error)(f"{error}{state.remedy()}") from error
    state.remove()
    return Trained(path, figures, seconds)


def _heard(curve: Curve, state: snapshots.FileSnapshots, progress: Progress | None) -> Progress:
    """Whom a training tells of its steps: its curve, and whoever wants to know."""

    def tell(step: int, steps: int, figures: Mapping[str, float]) -> None:
        curve.add(max(state.phase, 0), step, steps, figures)
        if progress is not None:
            progress(step, steps, figures)

    return tell


def _figures(reported: object, model: str) -> dict[str, float]:
    """What a training reports, as numbers by name. Raises ModelError for anything else."""
    if not isinstance(reported, Mapping):
        raise ModelError(f"fit of {model} returned {type(reported).__name__}, not figures by their names")
    try:
        return guarded(f"the figures of {model}", lambda: {str(name): float(reported[name]) for name in reported})
    except ModelError as error:
        raise ModelError(f"fit of {model} returned figures that are no numbers: {error}") from error


def kept_state(card: ModelCard, benchmark: str, plan: Plan, dataset: Dataset) -> snapshots.FileSnapshots:
    """Where the states of a training are kept while it is under way."""
    identity = {
        "model": card.name,
        "benchmark": benchmark,
        "seed": plan.seed,
        "budget": plan.steps,
        "data": dataset.sha256,
    }
    return snapshots.FileSnapshots(state_path(card, benchmark), identity)


def state_path(card: ModelCard, benchmark: str) -> Path:
    """The file that holds the states of a training under way: in the cache folder."""
    name = benchmarks.find(benchmark).name
    return cache.root() / "training" / file_name(name) / f"{file_name(card.name)}.pt"


@dataclass(slots=True)
class Todo:
    """What is left of training everything; a CSV at `log` notes what is done, after every model.

    A model is done if the log names it with the same seed and budget, and the checkpoint that is there, with the code
    that is there, is the one noted. `fresh` forgets what was noted before.
    """

    log: Path
    plan: Plan = Plan()
    fresh: bool = False
    done: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.fresh:
            self.done = self._read()
        self._write()

    def pairs(self, benchmark: str | None = None) -> Iterator[tuple[ModelCard, str]]:
        """Every trainable model with each bundled benchmark (or the one named) that it stands on, unless it is done."""
        for board in benchmarks.bundled() if benchmark is None else [benchmark]:
            for card in registry.models().values():
                if "training" in card.capabilities and card.stands_on(board) and not self._is_done(card, board):
                    yield card, board

    def plan_of(self, card: ModelCard, benchmark: str) -> Plan:
        """How a model is trained: a plan to resume begins those of which nothing is kept."""
        return replace(self.plan, resume=self.plan.resume and state_path(card, benchmark).is_file())

    def note(self, card: ModelCard, benchmark: str, trained: Trained) -> None:
        """Write down that a training is finished, beside what other processes may have noted meanwhile."""
        self.done = self._read()
        self.done[benchmark, card.name] = {
            "benchmark": benchmark,
            "model": card.name,
            "seed": str(self.plan.seed),
            "budget": "" if self.plan.steps is None else str(self.plan.steps),
            "seconds": str(trained.seconds),
            "version": self._version(card, benchmark),
        }
        self._write()

    def summary(self) -> str:
        """How many models are trained, and how long that took in all."""
        seconds = sum(float(row["seconds"]) for row in self.done.values())
        return f"{len(self.done)} models are trained, in {seconds / 60:.1f} min"

    def _is_done(self, card: ModelCard, benchmark: str) -> bool:
        noted = self.done.get((benchmark, card.name))
        if noted is None or noted["seed"] != str(self.plan.seed) or noted["budget"] != str(self.plan.steps or ""):
            return False
        try:
            return noted["version"] == self._version(card, benchmark)
        except GenbenchError:
            return False

    def _version(self, card: ModelCard, benchmark: str) -> str:
        board = benchmarks.find(benchmark)
        dataset = benchmarks.load_dataset(board, self.plan.data_root)
        return generators.version(generators.build(card, benchmarks.setting(board, card.name, dataset, "cpu")))

    def _read(self) -> dict[tuple[str, str], dict[str, str]]:
        if not self.log.exists():
            return {}
        with self.log.open(newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ModelError(f"{self.log} is no log of trainings; name another with --log")
            return {(row["benchmark"], row["model"]): row for row in reader}

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.done[key] for key in sorted(self.done))
        atomic.write_text(self.log, text.getvalue(), "name another file with --log")
