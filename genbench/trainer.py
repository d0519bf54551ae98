"""Training a model of the catalogue on a benchmark's train split, and recording how it was done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from genbench import benchmarks, generators, registry, seeding
from genbench.contracts import Budget, Generator, Setting, Trainable
from genbench.errors import ModelError

Progress = Callable[[int, int, Mapping[str, float]], None]


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
