"""The training loops that the gradient-trained models share: steps that can be resumed, Adam, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from genbench import seeding
from genbench.contracts import Budget, Dataset, Snapshots
from genbench.errors import ModelError

SNAPSHOTS = 20  # how many states a training keeps on its way, one after the other
CHECKS = 25  # how often weights are validated on the way


class Redrawn:
    """Items of two levels that are drawn anew every time, with intensities uint8 (n, *shape) over 255 as chances."""

    def __init__(self, intensities: Tensor) -> None:
        self.intensities = intensities

    def __len__(self) -> int:
        return len(self.intensities)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """A new draw of the items of these rows: uint8 (rows, *shape)."""
        chances = self.intensities[rows]
        return (torch.randint(0, 255, chances.shape, dtype=torch.uint8) < chances).to(torch.uint8)


Items = Tensor | Redrawn


class Batches:
    """Minibatches for ever, epoch after epoch in a new random order; the last of an epoch may be smaller."""

    def __init__(self, data: Items, size: int) -> None:
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
        for mean, parameter in zip(self.shadow, self.module.parameters(), strict=True):
            mean.lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def apply(self) -> None:
        for mean, parameter in zip(self.shadow, self.module.parameters(), strict=True):
            parameter.copy_(mean)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The averages in the parameters' place for a while."""
        weights = [parameter.detach().clone() for parameter in self.module.parameters()]
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, weight in zip(self.module.parameters(), weights, strict=True):
                    parameter.copy_(weight)

    def state_dict(self) -> dict[str, Any]:
        return {"shadow": self.shadow, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for mean, value in zip(self.shadow, state["shadow"], strict=True):
            mean.copy_(value)
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

    def report(self, figures: Mapping[str, float], shown: Mapping[str, float] | None = None) -> None:
        """End a step with its figures, and others that are only shown.

        Raises ModelError where the figures, or the weights, are no longer finite.
        """
        for name, value in figures.items():
            self.recent[name] = [*self.recent.get(name, ()), value][-max(1, self.steps // 10) :]
        due = self.step == self.steps or self.step % max(1, self.steps // SNAPSHOTS) == 0
        if due and not all(_finite(part) for part in self.parts.values()):
            figures = {**figures, "weights": math.nan}
        snapshots = self.budget.snapshots
        good = all(math.isfinite(value) for value in figures.values())
        remedy = "" if good or snapshots is None else snapshots.diverged()
        report(self.budget, self.step, self.steps, {**figures, **(shown or {})}, remedy)
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
        parts = {"parts": states, "buffers": buffers}
        snapshots.keep({"step": self.step, "recent": self.recent, "random": random, **parts})

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


class Split(NamedTuple):
    """Items to learn from (n, *shape), and others of the train split, or None, by which the best weights are chosen."""

    train: Items
    validation: Tensor | None = None


def validated(dataset: Dataset, items: int) -> Split:
    """A data set's train split with at most `items` for validation, at most a fifth of it; none for 0.

    They are those that the data set's makers set aside for that purpose, or else the same random ones for every model;
    the held-out split is never touched.
    """
    if items and dataset.validation is not None:
        return Split(learnt(dataset), dataset.validation[:items])
    order = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(0))
    count = min(items, len(order) // 5)
    if count == 0:
        return Split(learnt(dataset))
    return Split(learnt(dataset, order[count:]), dataset.train[order[:count]])


def learnt(dataset: Dataset, rows: Tensor | None = None) -> Items:
    """What a training reads of the train split, or of some rows of it: its items, or new draws of them each time."""
    if dataset.intensities is not None:
        return Redrawn(dataset.intensities if rows is None else dataset.intensities[rows])
    return dataset.train if rows is None else dataset.train[rows]


class Best:
    """The state of a module that had the lowest score so far."""

    def __init__(self) -> None:
        self.score, self.step, self.weights = math.inf, 0, {}  # type: ignore[var-annotated]

    def offer(self, score: float, step: int, module: nn.Module) -> None:
        """Keep a copy of the module's state where its score is the lowest."""
        if score < self.score:
            weights = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
            self.score, self.step, self.weights = score, step, weights

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)


@dataclass(frozen=True, slots=True)
class Options:
    """What a training may have beyond a loss.

    `average`: decay of the moving average of the weights. `memory`: what the loss remembers beyond the module.
    `score`: what the best weights have the lowest mean of on the validation items, in nats per item: maps items
    (n, *shape) to a number; `at_once` says how many of them it takes. Without it nothing is chosen.
    """

    average: float = 0.99
    memory: Memory | None = None
    score: Callable[[Tensor], Tensor] | None = None
    at_once: int = 250


def minimise(
    loss: Callable[[Tensor], Tensor],
    module: nn.Module,
    data: Items | Split,
    budget: Budget,
    recipe: Recipe,
    options: Options = Options(),
) -> dict[str, float]:
    """Minimise ``loss(minibatch)`` over the module's parameters and leave their moving average in it.

    The learning rate falls to zero on a cosine, the decay is AdamW's and spares biases, norms and all else of one axis,
    gradients are clipped at norm 5. Where `data` has a validation part and the options a score, the averages that
    scored best are left, of those at some 25 steps on the way. Returns the mean loss of the last tenth of the steps,
    and the best score. Raises ModelError where the loss is no longer finite.
    """
    split = data if isinstance(data, Split) else Split(data)
    device = next(module.parameters()).device
    optimiser = torch.optim.AdamW(decaying(module, recipe.decay), lr=recipe.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, budget.steps or recipe.steps)
    averaged, best, feed = Average(module, options.average), Best(), Batches(split.train, recipe.batch)
    parts: dict[str, Stateful] = {"module": module, "optimiser": optimiser, "schedule": schedule}
    parts |= {"average": averaged, "best": best, "feed": feed}
    course = Course(budget, recipe.steps, parts if options.memory is None else {**parts, "memory": options.memory})
    choosing = split.validation is not None and options.score is not None
    figures: dict[str, float] = {}
    module.train()
    for step in course:
        value = loss(next(feed).to(device))
        descend(value, optimiser, module)
        schedule.step()
        averaged.update()
        if choosing and (step == course.steps or step % max(1, course.steps // CHECKS) == 0):
            with averaged.applied():
                score = mean_score(module, split, options)
                best.offer(score, step, module)
            figures = {"validation": score}
        course.report({"loss": value.item()}, figures)
    if choosing:
        module.load_state_dict(best.weights)
        module.eval()
        return course.figures() | {"validation_nats": best.score, "best_step": best.step}
    averaged.apply()
    module.eval()
    return course.figures()


def decaying(module: nn.Module, decay: float) -> list[dict[str, Any]]:
    """A module's parameters in two groups for an optimiser: with weight decay, and without it (those of one axis)."""
    flat = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    others = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    groups = [{"params": others, "weight_decay": decay}, {"params": flat, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


@torch.no_grad()
def mean_score(module: nn.Module, split: Split, options: Options) -> float:
    """The mean of the options' score over the validation items, in eval mode and with random numbers of its own."""
    assert split.validation is not None
    assert options.score is not None
    device = next(module.parameters()).device
    training = module.training
    module.eval()
    total = 0.0
    with seeding.scoped("validation"):  # the same draws at every check, so that only the weights differ
        for part in split.validation.split(options.at_once):
            total += float(options.score(part.to(device))) * len(part)
    module.train(training)
    return total / len(split.validation)


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
