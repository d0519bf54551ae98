"""Training a model of the catalogue on a benchmark's train split, and recording how it was done."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from genbench import atomic, benchmarks, generators, registry, seeding
from genbench.contracts import Budget, Generator, Setting, Trainable
from genbench.errors import GenbenchError, ModelError

Progress = Callable[[int, int, Mapping[str, float]], None]
COLUMNS = ("benchmark", "model", "seed", "budget", "seconds", "version")  # of the log of trainings


def _fresh(card: registry.ModelCard, setting: Setting) -> Generator:
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


def train(
    card: registry.ModelCard,
    benchmark: str,
    *,
    steps: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    data_root: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Build a fresh model, fit it under a scoped seed and save it with its record.

    The old checkpoint is replaced only once training has succeeded. Raises ModelError for a model that cannot be
    trained, or whose training breaks.
    """
    found = benchmarks.find(benchmark)
    dataset = benchmarks.load_dataset(found, data_root)
    setting = found.setting(card.name, dataset, device, trained=False)
    start = time.monotonic()
    with seeding.scoped(seed, "train", card.name):
        model = _fresh(card, setting)
        if not isinstance(model, Trainable):
            raise ModelError(f"{card.name} has nothing to train: it defines no fit and save")
        fit = model.fit
        figures = generators.shielded(f"fit of {card.name}", fit, dataset, Budget(steps, seed, progress))
    seconds = round(time.monotonic() - start, 1)
    budget = "" if steps is None else f" --budget {steps}"
    record = {
        "command": f"genbench train {card.name} --benchmark {benchmark}{budget} --seed {seed}",
        "seed": seed,
        "budget": steps,
        "figures": dict(figures),
        "seconds": seconds,
    }
    return Trained(model.save(setting, record), figures, seconds)


@dataclass(slots=True)
class Todo:
    """What is left of training everything; a CSV at `log` notes what is done, after every model.

    A model is done if the log names it with the same seed and budget, and the checkpoint that is there, with the code
    that is there, is the one noted. `fresh` forgets what was noted before.
    """

    log: Path
    seed: int = 0
    budget: int | None = None
    fresh: bool = False
    data_root: Path | None = None
    done: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.fresh:
            self.done = self._read()
        self._write()

    def pairs(self, benchmark: str | None = None) -> Iterator[tuple[registry.ModelCard, str]]:
        """Every trainable model with each bundled benchmark (or the one named) that it stands on, unless it is done."""
        for board in benchmarks.bundled() if benchmark is None else [benchmark]:
            for card in registry.models().values():
                if "training" in card.capabilities and card.stands_on(board) and not self._is_done(card, board):
                    yield card, board

    def note(self, card: registry.ModelCard, benchmark: str, trained: Trained) -> None:
        """Write down that a training is finished, beside what other processes may have noted meanwhile."""
        self.done = self._read()
        self.done[benchmark, card.name] = {
            "benchmark": benchmark,
            "model": card.name,
            "seed": str(self.seed),
            "budget": "" if self.budget is None else str(self.budget),
            "seconds": str(trained.seconds),
            "version": self._version(card, benchmark),
        }
        self._write()

    def summary(self) -> str:
        """How many models are trained, and how long that took in all."""
        seconds = sum(float(row["seconds"]) for row in self.done.values())
        return f"{len(self.done)} models are trained, in {seconds / 60:.1f} min"

    def _is_done(self, card: registry.ModelCard, benchmark: str) -> bool:
        noted = self.done.get((benchmark, card.name))
        if noted is None or noted["seed"] != str(self.seed) or noted["budget"] != str(self.budget or ""):
            return False
        try:
            return noted["version"] == self._version(card, benchmark)
        except GenbenchError:
            return False

    def _version(self, card: registry.ModelCard, benchmark: str) -> str:
        found = benchmarks.find(benchmark)
        dataset = benchmarks.load_dataset(found, self.data_root)
        return generators.version(generators.build(card, found.setting(card.name, dataset, "cpu")))

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
        atomic.write_text(self.log, text.getvalue())
