"""The training loops that the gradient-trained models share: steps that can be resumed, Adam, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Snapshots
from genbench.errors import ModelError

SNAPSHOTS = 20  # how many states a training keeps on its way, one after the other


class Batches:
    """Minibatches for ever, epoch after epoch in a new random order; the last of an epoch may be smaller."""

    def __init__(self, data: Tensor, size: int) -> None:
        self.data, self.size = data, size
        self.order, self.position = torch.empty(0, dtype=torch.long), 0

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        return self.data[self.rows()]

    def rows(self) -> Tensor:
        """The next minibatch as row numbers (batch,), for data that have more to them than one tensor."""
        if self.position >= len(self.order):
            self.order, self.position = torch.randperm(len(self.data)), 0
        start, self.position = self.position, self.position + self.size
        return self.order[start : self.position]

    def state_dict(self) -> dict[str, Any]:
        return {"order": self.order, "position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.order, self.position = state["order"], state["position"]


def report(budget: Budget, step: int, steps: int, figures: Mapping[str, float], remedy: str = "") -> None:
    """Pass the figures of a step on, and stop a training whose figures are no longer finite."""
    if not all(math.isfinite(value) for value in figures.values()):
        shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        raise ModelError(f"training diverged at step {step} of {steps} ({shown}); the old checkpoint stays{remedy}")
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

    def state_dict(self) -> dict[str, Any]:
        return {"shadow": self.shadow, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for kept, value in zip(self.shadow, state["shadow"], strict=True):
            kept.copy_(value)
        self.updates = state["updates"]


class Stateful(Protocol):
    """Anything with a state to keep: modules, optimisers, schedules, averages, batches."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Any, /) -> object: ...


class Memory(SimpleNamespace):
    """What a loss remembers from one step to the next, as ``Memory(chains=...)``: snapshots keep it too."""

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)


class Course:
    """The steps of a training: iterating gives those to be done, `report` ends each.

    >>> course = Course(budget, steps, {"model": model, "optimiser": optimiser, "feed": feed})
    >>> for _ in course:
    ...     course.report({"loss": descend(next(feed))})

    Where the budget has snapshots, the state of all `parts` and of the random numbers is kept before the first step and
    after every twentieth of the way, and a training that goes on from it ends with the same weights as one that was
    never interrupted. After a divergence it goes on from the last good state with other random numbers and half the
    learning rates.
    """

    def __init__(self, budget: Budget, steps: int, parts: Mapping[str, Stateful]) -> None:
        self.budget, self.steps, self.parts = budget, budget.steps or steps, parts
        self.step = 0
        self.recent: dict[str, list[float]] = {}

    def __iter__(self) -> Iterator[int]:
        snapshots = self.budget.snapshots
        state = None if snapshots is None else snapshots.enter()
        if state is not None:
            self._restore(state)
        elif snapshots is not None:
            self._keep(snapshots)
        while self.step < self.steps:
            self.step += 1
            yield self.step

    def report(self, figures: Mapping[str, float]) -> None:
        """End a step with its figures. Raises ModelError where they, or the weights, are no longer finite."""
        for name, value in figures.items():
            self.recent[name] = [*self.recent.get(name, ()), value][-max(1, self.steps // 10) :]
        due = self.step == self.steps or self.step % max(1, self.steps // SNAPSHOTS) == 0
        if due and not all(_finite(part) for part in self.parts.values()):
            figures = {**figures, "weights": math.nan}
        snapshots = self.budget.snapshots
        good = all(math.isfinite(value) for value in figures.values())
        report(self.budget, self.step, self.steps, figures, "" if good or snapshots is None else snapshots.diverged())
        if due and snapshots is not None:
            self._keep(snapshots)

    def figures(self) -> dict[str, float]:
        """The mean of every figure over the last tenth of the steps."""
        return {name: sum(values) / len(values) for name, values in self.recent.items()}

    def _keep(self, snapshots: Snapshots) -> None:
        random = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_initialized():
            random["cuda"] = torch.cuda.get_rng_state()
        states = {name: part.state_dict() for name, part in self.parts.items()}
        buffers = {name: dict(part.named_buffers()) for name, part in self.parts.items() if isinstance(part, nn.Module)}
        kept = {"step": self.step, "recent": self.recent, "random": random, "parts": states, "buffers": buffers}
        snapshots.keep(kept)

    def _restore(self, state: Mapping[str, Any]) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
            if isinstance(part, nn.Module):  # some buffers are no part of a checkpoint and matter while training
                for buffer, value in state["buffers"][name].items():
                    owner, _, leaf = buffer.rpartition(".")
                    setattr(part.get_submodule(owner), leaf, value.to(part.get_buffer(buffer).device))
        self.step = state["step"]
        self.recent = dict(state["recent"])
        divergences = state.get("divergences", 0)
        if divergences:
            torch.manual_seed(torch.initial_seed() + divergences)
            for part in self.parts.values():
                for group in part.param_groups if isinstance(part, torch.optim.Optimizer) else ():
                    group["lr"] *= 0.5**divergences
            return
        torch.set_rng_state(state["random"]["cpu"])
        if "cuda" in state["random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["random"]["cuda"])


def _finite(part: Stateful) -> bool:
    return not isinstance(part, nn.Module) or all(bool(torch.isfinite(p).all()) for p in part.parameters())


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
    memory: Memory | None = None,
) -> dict[str, float]:
    """Minimise ``loss(minibatch)`` over the module's parameters and leave their moving average in it.

    The learning rate falls to zero on a cosine, the decay is AdamW's, gradients are clipped at norm 5. `memory` is what
    the loss remembers beyond the module. Returns the mean loss of the last tenth of the steps. Raises ModelError where
    the loss is no longer finite.
    """
    device = next(module.parameters()).device
    optimiser = torch.optim.AdamW(module.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, budget.steps or recipe.steps)
    averaged, feed = Average(module, average), Batches(data, recipe.batch)
    parts = {"module": module, "optimiser": optimiser, "schedule": schedule, "average": averaged, "feed": feed}
    course = Course(budget, recipe.steps, parts if memory is None else {**parts, "memory": memory})
    module.train()
    for _ in course:
        value = loss(next(feed).to(device))
        descend(value, optimiser, module)
        schedule.step()
        averaged.update()
        course.report({"loss": value.item()})
    averaged.apply()
    module.eval()
    return course.figures()


def descend(loss: Tensor, optimiser: torch.optim.Optimizer, clipped: nn.Module | None = None) -> None:
    """A step of the optimiser down the gradient of a loss, clipped at norm 5 for the module named."""
    # Other players' losses leave gradients too: each optimiser clears its own before it uses them.
    optimiser.zero_grad()
    loss.backward()
    if clipped is not None:
        nn.utils.clip_grad_norm_(clipped.parameters(), 5.0)
    optimiser.step()


def in_batches(function: Callable[[Tensor], Tensor], x: Tensor, size: int) -> Tensor:
    """``function`` applied to parts of at most `size` items, so that memory stays bounded whatever n."""
    return torch.cat([function(part) for part in x.split(size)])


def sizes(n: int, size: int) -> Iterable[int]:
    """n as a sum of parts of at most `size`, for drawing samples in bounded memory."""
    return (min(size, n - start) for start in range(0, n, size))
