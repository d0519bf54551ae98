"""A Markov chain: each symbol depends on the few before it and on nothing else.

Lecture topic: autoregressive models. The chain rule p(x) = prod_t p(x_t | x_1..x_{t-1}) is exact; cutting the history
to its last k symbols makes each factor a table that counting fits. Images are read in raster order.

References: A. Markov, "An example of statistical investigation of the text Eugene Onegin" (1913); C. Bishop, "Pattern
Recognition and Machine Learning" (2006), section 13.1; D. MacKay and L. Bauman Peto, "A hierarchical Dirichlet language
model" (1995), for the smoothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from zoo.nn import Model, require_levels
from zoo.training import in_batches, sizes

LARGEST = 2**24  # entries of all tables that a model may have
SMALL = 2**19  # entries that a recipe allows: a checkpoint of 2 MB
BATCH = 1000  # items at a time


@dataclass(frozen=True, slots=True)
class Config:
    """`order`: how many symbols back the next one looks; `homogeneous`: whether all positions with a whole context
    share one table, or each has its own, as pixels need; `strength`: how many observations the table of the next
    shorter context counts for, by which contexts that are rare in the train split are smoothed."""

    order: int = 1
    homogeneous: bool = True
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.order < 0:
            raise ValueError(f"order must be at least 0, got {self.order}")
        if self.strength <= 0:
            raise ValueError(f"strength must be positive, got {self.strength}")


class MarkovChain(Model):
    """p(x) = prod_t p(x_t | x_{t-k}..x_{t-1}); the first k positions have shorter contexts, and tables of their own."""

    Config = Config
    log_prob_kind: Literal["exact"] = "exact"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels("markov-chain", spec)
        order = self.config.order
        self.tables = min(order + 1, spec.size) if self.config.homogeneous else spec.size
        self.contexts = self.levels**order
        entries = self.tables * self.contexts * self.levels
        if entries > LARGEST:
            raise ModelError(f"a chain of order {order} over {self.levels} levels needs {entries} table entries")
        uniform = torch.full((self.tables, self.contexts, self.levels), -math.log(self.levels))
        self.register_buffer("log_p", uniform)

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """Order 1; for images a table for each pixel and, since smoothing bears it, the highest order that is small."""
        levels = require_levels("markov-chain", spec)
        order = int(math.log(SMALL / spec.size, levels) + 1e-9) - 1
        if not spec.is_image or order < 1:
            return Config()
        return Config(order=min(order, spec.size - 1), homogeneous=False, strength=32.0)

    def table_of(self) -> Tensor:
        """The table that each position uses: int64 (size,)."""
        return torch.arange(self.spec.size, device=self.device).clamp(max=self.tables - 1)

    def contexts_of(self, x: Tensor, order: int) -> Tensor:
        """The last `order` symbols before each position of x (n, size), read as one number: int64 (n, size).

        What lies before the first symbol reads as 0. That is no confusion: those positions have tables of their own.
        """
        context = torch.zeros_like(x)
        for back in range(1, order + 1):
            context += F.pad(x, (back, 0))[:, : x.shape[1]] * self.levels ** (back - 1)
        return context

    def count(self, train: Tensor, order: int) -> Tensor:
        """How often each symbol follows each context in each table: float64 (tables, levels ** order, levels)."""
        shape = (self.tables, self.levels**order, self.levels)
        counts = torch.zeros(self.tables * shape[1] * shape[2], dtype=torch.float64, device=self.device)
        for part in train.split(BATCH):
            x = part.to(self.device).long().flatten(1)
            cell = (self.table_of() * shape[1] + self.contexts_of(x, order)) * self.levels + x
            counts += torch.bincount(cell.flatten(), minlength=len(counts))
        return counts.reshape(shape)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Count; each order is smoothed by the one below it, order 0 by uniform levels. The budget does not matter."""
        strength = self.config.strength
        p = torch.full((self.tables, 1, self.levels), 1 / self.levels, dtype=torch.float64, device=self.device)
        for order in range(self.config.order + 1):
            counts = self.count(dataset.train, order)
            # The oldest symbol of a context is its leading digit, so the shorter context's rows repeat in whole runs.
            shorter = p.repeat(1, counts.shape[1] // p.shape[1], 1)
            smoothed = (counts + strength * shorter) / (counts.sum(-1, keepdim=True) + strength)
            # A position with less history than this order has nothing to add to the shorter context.
            whole = torch.arange(self.tables, device=self.device) >= order
            p = torch.where(whole[:, None, None], smoothed, shorter)
        self.log_p.copy_(p.log())
        return {"nll": -self.log_prob(dataset.train).mean().item()}

    def log_prob(self, x: Tensor, /) -> Tensor:
        """log p(x) in nats: float64 (n,)."""

        def part(x: Tensor) -> Tensor:
            x = x.long().flatten(1)
            return self.log_p[self.table_of(), self.contexts_of(x, self.config.order), x].double().sum(1)

        return in_batches(part, self.accept(x), BATCH)

    def sample(self, n: int, /) -> Tensor:
        """n items, uint8 (n, *shape), drawn symbol by symbol."""
        return torch.cat([self._sample(size) for size in sizes(n, BATCH)])

    def _sample(self, n: int) -> Tensor:
        p = self.log_p.exp()
        x = torch.empty(n, self.spec.size, dtype=torch.uint8, device=self.device)
        context = torch.zeros(n, dtype=torch.int64, device=self.device)
        for position, table in enumerate(self.table_of().tolist()):
            drawn = torch.multinomial(p[table, context], 1).squeeze(1)
            x[:, position] = drawn
            # The newest symbol is the last digit; the oldest drops out at the front.
            context = (context * self.levels + drawn) % self.contexts
        return x.reshape(n, *self.spec.shape)


class OrderZero(MarkovChain):
    """Symbols independent of each other and equally distributed at every step: what a chain's memory is worth is its
    distance to this."""

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """Order 0 on all data."""
        return Config(order=0)


class OrderTwo(MarkovChain):
    """Each symbol given the two before it, by tables that all positions share."""

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """Order 2; order 1 where levels are so many that tables of order 2 would be too large."""
        levels = require_levels("markov-chain-2", spec)
        return Config(order=2 if 3 * levels**3 <= LARGEST // 8 else 1, strength=8.0)
