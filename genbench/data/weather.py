"""Sequences of weather from a Markov chain whose entropy is known exactly, so that a likelihood has a known optimum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbench.contracts import Dataset, SampleSpec

STATES = ("sunny", "rainy", "foggy")
TRANSITIONS = np.array([[0.8, 0.05, 0.15], [0.2, 0.6, 0.2], [0.2, 0.3, 0.5]])
DAYS = 30
TRAIN_ITEMS, HELDOUT_ITEMS = 1000, 1000


def stationary(transitions: np.ndarray) -> np.ndarray:
    """The distribution (S,) that a transition matrix (S, S) with rows summing to 1 leaves as it is."""
    states = len(transitions)
    equations = np.vstack([transitions.T - np.eye(states), np.ones(states)])
    solution: np.ndarray = np.linalg.lstsq(equations, np.append(np.zeros(states), 1.0), rcond=None)[0]
    return solution


def log_prob(x: Tensor) -> Tensor:
    """The true log-probability in nats, float64 (n,), of sequences (n, days) of states."""
    start = torch.from_numpy(np.log(stationary(TRANSITIONS)))
    steps = torch.from_numpy(np.log(TRANSITIONS))
    days = x.long()
    return start[days[:, 0]] + steps[days[:, :-1], days[:, 1:]].sum(1)


def entropy(days: int = DAYS) -> float:
    """The exact entropy in nats of a sequence: that of the first day plus that of each transition."""
    start = stationary(TRANSITIONS)
    per_step = -start @ (TRANSITIONS * np.log(TRANSITIONS)).sum(1)
    return float(-(start * np.log(start)).sum() + (days - 1) * per_step)


def weather(root: Path | None = None) -> Dataset:
    """1,000 train and 1,000 held-out sequences (30,) over sunny 0, rainy 1, foggy 2; `root` is not read."""
    uniforms = np.random.default_rng(0).random((TRAIN_ITEMS + HELDOUT_ITEMS, DAYS))
    days = np.empty(uniforms.shape, dtype=np.uint8)
    days[:, 0] = np.searchsorted(stationary(TRANSITIONS).cumsum()[:-1], uniforms[:, 0])
    cumulative = TRANSITIONS.cumsum(1)[:, :-1]
    for day in range(1, DAYS):
        days[:, day] = (uniforms[:, day, None] > cumulative[days[:, day - 1]]).sum(1)
    sequences = torch.from_numpy(days)
    return Dataset(
        name="weather",
        spec=SampleSpec((DAYS,), len(STATES)),
        train=sequences[:TRAIN_ITEMS],
        heldout=sequences[TRAIN_ITEMS:],
        true_log_prob=log_prob,
        entropy=entropy(),
    )
