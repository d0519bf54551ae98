"""The training loop that the gradient-trained models share: Adam, a cosine schedule, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from genbench.contracts import Budget
from genbench.errors import ModelError


def batches(data: Tensor, size: int) -> Iterator[Tensor]:
    """Minibatches for ever, epoch after epoch in a new random order; the last of an epoch may be smaller."""
    while True:
        for rows in torch.randperm(len(data)).split(size):
            yield data[rows]


def report(budget: Budget, step: int, steps: int, figures: dict[str, float]) -> None:
    """Pass the figures of a step on, and stop a training whose figures are no longer finite."""
    if not all(math.isfinite(value) for value in figures.values()):
        raise ModelError(f"training diverged at step {step} of {steps}: {figures}; the old checkpoint stays")
    if budget.progress is not None:
        budget.progress(step, steps, figures)


class Average:
    """An exponential moving average of a module's parameters; `apply` puts it in their place."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay, self.updates = module, decay, 0
        self.shadow = [parameter.detach().clone() for parameter in module.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        # Early averages must not remember the initial weights.
        decay = min(self.decay, self.updates / (self.updates + 10))
        for kept, parameter in zip(self.shadow, self.module.parameters(), strict=True):
            kept.lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def apply(self) -> None:
        for kept, parameter in zip(self.shadow, self.module.parameters(), strict=True):
            parameter.copy_(kept)


class Recipe(Protocol):
    """What a configuration says of its training: optimiser steps, items per step, initial rate, weight decay."""

    @property
    def steps(self) -> int: ...

    @property
    def batch(self) -> int: ...

    @property
    def rate(self) -> float: ...

    @property
    def decay(self) -> float: ...


def minimise(
    loss: Callable[[Tensor], Tensor],
    module: nn.Module,
    data: Tensor,
    budget: Budget,
    recipe: Recipe,
    average: float = 0.99,
) -> dict[str, float]:
    """Minimise ``loss(minibatch)`` over the module's parameters and leave their moving average in it.

    The learning rate falls to zero on a cosine, the decay is AdamW's, gradients are clipped at norm 5. Returns the mean
    loss of the last tenth of the steps. Raises ModelError where the loss is no longer finite.
    """
    device = next(module.parameters()).device
    steps = budget.steps or recipe.steps
    optimiser = torch.optim.AdamW(module.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    averaged = Average(module, average)
    recent: list[float] = []
    module.train()
    for step, x in zip(range(1, steps + 1), batches(data, recipe.batch), strict=False):
        value = loss(x.to(device))
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        averaged.update()
        recent = [*recent, value.item()][-max(1, steps // 10) :]
        report(budget, step, steps, {"loss": recent[-1]})
    averaged.apply()
    module.eval()
    return {"loss": sum(recent) / len(recent)}


def in_batches(function: Callable[[Tensor], Tensor], x: Tensor, size: int) -> Tensor:
    """``function`` applied to parts of at most `size` items, so that memory stays bounded whatever n."""
    return torch.cat([function(part) for part in x.split(size)])


def sizes(n: int, size: int) -> Iterable[int]:
    """n as a sum of parts of at most `size`, for drawing samples in bounded memory."""
    return (min(size, n - start) for start in range(0, n, size))
