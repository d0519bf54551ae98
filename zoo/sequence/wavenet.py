"""WaveNet: a sequence predicted symbol by symbol from a long past, by causal convolutions with growing dilation.

Lecture topic: autoregressive models. p(x) = prod_t p(x_t | x_1, ..., x_(t-1)), all factors from one network of causal
convolutions, the first of them a plain one. Doubling the dilation from layer to layer lets the view into the past grow
exponentially with the depth; a gate tanh(.) * sigmoid(.) in every layer, residual connections from layer to layer and
skip connections from each layer to the output make it trainable; the output is a softmax over the levels. A sample is
drawn symbol by symbol, and every layer keeps the few past inputs that it will look at again, so that its cost grows
linearly with the length.

Images are read in raster order, the channels one after the other.

References: A. van den Oord et al., "WaveNet: A Generative Model for Raw Audio" (2016); T. Le Paine et al., "Fast
Wavenet Generation Algorithm" (2016), for the queues of past inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import InputError
from zoo.nn import Model, require_levels
from zoo.training import Options, in_batches, minimise, sizes

MARKS = 16
NUMBERS_AT_ONCE = 2**24


@dataclass(frozen=True, slots=True)
class Config:
    """The network and its training.

    `channels`: features that go from layer to layer. `skip`: features that every layer adds to the output. `largest`:
    the last dilation of a block, a power of two; a block's dilations are 1, 2, 4, ..., `largest`. `blocks`: how many
    times these dilations are repeated. `symbols`: whether levels are names that have no order, rather than heights.
    `dropout`: chance of dropping a feature between layers while training. `decay`: weight decay. `steps`, `batch`,
    `rate`: optimiser steps, items per step and initial learning rate.
    """

    channels: int = 32
    skip: int = 64
    largest: int = 64
    blocks: int = 2
    symbols: bool = False
    dropout: float = 0.0
    decay: float = 0.01
    steps: int = 2400
    batch: int = 8
    rate: float = 4e-3

    def __post_init__(self) -> None:
        if min(self.channels, self.skip, self.blocks, self.steps, self.batch) < 1:
            raise ValueError(f"channels, skip, blocks, steps and batch must be positive, got {self}")
        if self.largest < 1 or self.largest & (self.largest - 1):
            raise ValueError(f"largest must be a power of two, got {self.largest}")
        if not 0 <= self.dropout < 1 or self.decay < 0 or self.rate <= 0:
            raise ValueError(f"dropout must be within [0, 1), decay >= 0 and rate > 0, got {self}")

    @property
    def dilations(self) -> list[int]:
        """The dilation of every layer."""
        return [2**k for k in range(self.largest.bit_length())] * self.blocks


class WholeSequence:
    """How the network sees a sequence in training: all steps at once."""

    def before(self, layer: Causal, x: Tensor) -> Tensor:
        """The layer's inputs `dilation` steps before its inputs x (n, T, channels), zero before the first."""
        return F.pad(x, (0, 0, layer.dilation, 0))[:, : x.shape[1]]


class OneStep:
    """How the network sees a sequence in sampling: one step, and each layer's last `dilation` inputs in a queue."""

    def __init__(self) -> None:
        self.step = 0
        self.queues: dict[Causal, Tensor] = {}

    def before(self, layer: Causal, x: Tensor) -> Tensor:
        """The layer's input `dilation` steps ago, (n, 1, channels); x, its input now, takes that one's place."""
        if layer not in self.queues:
            self.queues[layer] = x.new_zeros(layer.dilation, *x.shape)
        place = self.step % layer.dilation
        oldest = self.queues[layer][place].clone()
        self.queues[layer][place] = x
        return oldest


View = WholeSequence | OneStep


class Causal(nn.Module):
    """A causal convolution of two taps, `dilation` steps apart."""

    def __init__(self, channels: int, outputs: int, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        self.earlier = nn.Linear(channels, outputs, bias=False)
        self.now = nn.Linear(channels, outputs)

    def convolve(self, x: Tensor, view: View) -> Tensor:
        """From (n, T, channels) to (n, T, outputs)."""
        return self.earlier(view.before(self, x)) + self.now(x)

    def forward(self, x: Tensor, view: View) -> Any:
        return self.convolve(x, view)


class Layer(Causal):
    """A causal convolution with a gate, a residual and a skip connection."""

    def __init__(self, channels: int, skip: int, dilation: int, dropout: float) -> None:
        super().__init__(channels, 2 * channels, dilation)
        self.dropout = nn.Dropout(dropout)
        self.residual, self.skip = nn.Linear(channels, channels), nn.Linear(channels, skip)

    def forward(self, x: Tensor, view: View) -> tuple[Tensor, Tensor]:
        """From (n, T, channels) the next layer's input, of the same shape, and what is added to the output."""
        content, gate = self.convolve(x, view).chunk(2, 2)
        gated = self.dropout(content.tanh() * gate.sigmoid())
        return x + self.residual(gated), self.skip(gated)


def describe(levels: int, symbols: bool) -> Tensor:
    """What the first layer is told of each level, (levels, features): which one it is, or else how high.

    Heights are given as they are, expanded by the mu-law, in which waves add up, and on a thermometer, which lets the
    first layer be any smooth function of them: every mark is -1, 1 or, once, between.
    """
    if symbols:
        return torch.eye(levels)
    height = torch.linspace(-1, 1, levels)[:, None]
    expanded = height.sign() * (256 ** height.abs() - 1) / 255
    marks = min(MARKS, levels - 1)
    thermometer = ((height + 1) / 2 * marks - torch.arange(marks)).clamp(0, 1)
    return torch.cat([height, expanded, 2 * thermometer - 1], 1)


class WaveNet(Model):
    """p(x) = prod_t p(x_t | x_(t-R), ..., x_(t-1)), with R the receptive field: two more than the sum of dilations."""

    Config = Config
    log_prob_kind: Literal["exact"] = "exact"
    truncation: Literal["temperature"] = "temperature"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels("wavenet", spec)
        c = self.config
        self.register_buffer("descriptions", describe(self.levels, c.symbols), persistent=False)
        self.first = nn.Linear(self.descriptions.shape[1], c.channels)
        self.start = nn.Parameter(torch.zeros(c.channels))
        self.causal = Causal(c.channels, c.channels)
        self.layers = nn.ModuleList(Layer(c.channels, c.skip, dilation, c.dropout) for dilation in c.dilations)
        self.last = nn.Sequential(nn.ReLU(), nn.Linear(c.skip, c.skip), nn.ReLU(), nn.Linear(c.skip, self.levels))
        # All steps' logits or features bound the memory of one item's likelihood, the queues that of one sample.
        numbers = max(self.levels, 8 * c.channels + c.skip) * spec.size
        self.items_at_once = max(1, min(1000, NUMBERS_AT_ONCE // numbers))
        self.samples_at_once = max(1, min(1000, NUMBERS_AT_ONCE // (self.receptive_field * c.channels)))

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """Two blocks that together see a whole item, up to 1,024 steps; few levels are taken for symbols."""
        length = min(spec.size, 1024)
        largest = 2 ** max(0, (length - 1).bit_length() - 2)
        symbols = require_levels("wavenet", spec) <= 32
        if symbols and spec.size <= 64:
            return Config(largest=largest, symbols=True, dropout=0.2, steps=1500, batch=32)
        return Config(largest=largest, symbols=symbols, batch=max(1, min(4, 8192 // spec.size)))

    @property
    def receptive_field(self) -> int:
        """How many symbols back a step can look."""
        return sum(self.config.dilations) + 2

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the likelihood of the train split; the loss is in nats per dimension."""
        return minimise(
            lambda x: -self.log_masses(x).mean(), self, dataset.train, budget, self.config, Options(average=0.995)
        )

    def embed(self, x: Tensor) -> Tensor:
        """What the network is fed of the symbols x (n, T): (n, T, channels)."""
        return F.embedding(x.long(), self.first(self.descriptions))

    def shift(self, embedded: Tensor) -> Tensor:
        """The embedded symbols (n, T, channels) one step later, so that each step sees those before it only."""
        return torch.cat([self.start.expand(len(embedded), 1, -1), embedded[:, :-1]], 1)

    def logits(self, features: Tensor, view: View) -> Tensor:
        """The logits of each step's levels, (n, T, levels), from the embedded symbols before, (n, T, channels)."""
        output, features = 0, self.causal(features, view)
        for layer in self.layers:
            features, skip = layer(features, view)
            output = output + skip
        return self.last(output)

    def log_masses(self, x: Tensor) -> Tensor:
        """log p(x_t | x_<t) of every step, in nats: (n, size)."""
        x = x.flatten(1)
        logits = self.logits(self.shift(self.embed(x)), WholeSequence())
        return -F.cross_entropy(logits.flatten(0, 1), x.long().flatten(), reduction="none").reshape(x.shape)

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """log p(x) in nats: float64 (n,)."""
        return in_batches(lambda part: self.log_masses(part).double().sum(1), self.accept(x), self.items_at_once)

    def sample(self, n: int, /) -> Tensor:
        """n items of the model: uint8 (n, *shape)."""
        return self.sample_truncated(n, psi=1.0)

    @torch.no_grad()
    def sample_truncated(self, n: int, /, *, psi: float) -> Tensor:
        """n items with all logits divided by the temperature psi > 0; 1.0 is no truncation."""
        if not psi > 0:
            raise InputError(f"psi must be positive, got {psi}")
        return torch.cat([self._draw(part, psi) for part in sizes(n, self.samples_at_once)])

    def _draw(self, n: int, psi: float) -> Tensor:
        x = torch.empty(n, self.spec.size, dtype=torch.uint8, device=self.device)
        view, table = OneStep(), self.first(self.descriptions)
        features = self.start.expand(n, 1, -1)
        for view.step in range(self.spec.size):
            logits = self.logits(features, view)[:, 0]
            drawn = torch.multinomial((logits / psi).softmax(1), 1)
            x[:, view.step] = drawn[:, 0]
            features = F.embedding(drawn, table)
        return x.reshape(n, *self.spec.shape)
