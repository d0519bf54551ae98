"""Glow: a flow whose channels are mixed by learnt invertible 1x1 convolutions between its affine couplings.

Lecture topic: normalizing flows. A step of the flow is an actnorm (an affine map of each channel that leaves the first
batch with zero mean and unit variance), an invertible 1x1 convolution (in place of a fixed permutation of channels),
and an affine coupling, whose first half of the channels says how the second is scaled and shifted. After some steps
half of the channels are finished, and the image is squeezed before the next ones.

References: D. Kingma and P. Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions" (2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from genbench.likelihood import dequantize
from zoo.flow.multiscale import MultiscaleFlow, Shape
from zoo.flow.real_nvp import squeeze, unsqueeze

NUMBERS_AT_ONCE = 2**24


@dataclass(frozen=True, slots=True)
class Config:
    """The architecture and its training.

    `steps_per_scale`: steps of flow between two squeezes; `width`: channels within the networks of the couplings;
    `dropout`: share of their hidden units dropped in training; `smallest`: images are not squeezed below this side;
    `alpha`: the logit maps [alpha, 1 - alpha], so that it stays finite; `steps`, `batch`, `rate`, `decay`: of AdamW;
    `average`: decay of the moving average of the weights.
    """

    steps_per_scale: int = 8
    width: int = 64
    dropout: float = 0.2
    smallest: int = 2
    alpha: float = 0.01
    steps: int = 1000
    batch: int = 64
    rate: float = 3e-3
    decay: float = 1e-2
    average: float = 0.995

    def __post_init__(self) -> None:
        if min(self.steps_per_scale, self.width, self.smallest, self.steps, self.batch) < 1:
            raise ValueError(f"steps_per_scale, width, smallest, steps and batch must be at least 1, got {self}")
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha must be within (0, 0.5), got {self.alpha}")
        if not 0 <= self.dropout < 1 or not 0 <= self.average < 1:
            raise ValueError(f"dropout and average must be within [0, 1), got {self}")
        if self.decay < 0 or self.rate <= 0:
            raise ValueError(f"decay must be >= 0 and rate > 0, got {self}")


class ActNorm(nn.Module):
    """y = (x + shift) * exp(log_scale) with one of each for a channel, set by the first batch and learnt from then."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("initialised", torch.tensor(False))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Make the channels of this batch (n, C, H, W) have zero mean and unit variance."""
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        self.shift.copy_(-mean[:, None, None])
        self.log_scale.copy_(-0.5 * (variance + 1e-6).log()[:, None, None])
        self.initialised.fill_(True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, shaped as x, and log |det| (n,)."""
        if self.training and not self.initialised:
            self.initialise(x)
        y = (x + self.shift) * self.log_scale.exp()
        return y, (self.log_scale.sum() * x[0, 0].numel()).expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        return y * (-self.log_scale).exp() - self.shift


class InvertibleConv(nn.Module):
    """Every pixel's channels times W = P L (U + diag(s)), which begins as a random rotation.

    P is a fixed permutation, L has ones and U zeros on its diagonal, and s keeps its signs, so that log |det W| is the
    sum of log |s| and W never becomes singular.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        s = upper.diagonal()
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", s.sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_s = nn.Parameter(s.abs().log())

    def weight(self) -> Tensor:
        """W (C, C)."""
        lower = self.lower.tril(-1) + torch.eye(len(self.sign), dtype=self.lower.dtype, device=self.lower.device)
        return self.permutation @ lower @ (self.upper.triu(1) + (self.sign * self.log_s.exp()).diag())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, shaped as x, and log |det| (n,)."""
        y = F.conv2d(x, self.weight()[:, :, None, None])
        return y, (self.log_s.sum() * x[0, 0].numel()).expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        inverted = torch.linalg.inv(self.weight().double()).to(y.dtype)
        return F.conv2d(y, inverted[:, :, None, None])


class Coupling(nn.Module):
    """The first half of the channels, x_a, stays; the second becomes x_b * exp(s(x_a)) + t(x_a).

    The last convolution starts at zero, hence the coupling as the identity; s = scale * tanh(.) stays bounded.
    """

    def __init__(self, shape: Shape, config: Config) -> None:
        super().__init__()
        channels, height, width = shape
        self.kept = channels // 2
        self.first = nn.Conv2d(self.kept, config.width, 3, padding=1)
        # A hidden unit at each place has a bias of its own: the images are centred, and few pixels tell where one is.
        self.position = nn.Parameter(torch.zeros(config.width, height, width))
        self.middle = nn.Conv2d(config.width, config.width, 1)
        self.dropout = nn.Dropout(config.dropout)
        self.last = nn.Conv2d(config.width, 2 * (channels - self.kept), 3, padding=1)
        self.scale = nn.Parameter(torch.ones(channels - self.kept, 1, 1))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def scale_and_shift(self, same: Tensor) -> tuple[Tensor, Tensor]:
        """s and t, each shaped as the second half."""
        hidden = F.relu(self.middle(F.relu(self.first(same) + self.position)))
        s, t = self.last(self.dropout(hidden)).chunk(2, dim=1)
        return self.scale * s.tanh(), t

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, shaped as x, and log |det| (n,)."""
        same, changed = x[:, : self.kept], x[:, self.kept :]
        s, t = self.scale_and_shift(same)
        return torch.cat([same, changed * s.exp() + t], dim=1), s.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        same, changed = y[:, : self.kept], y[:, self.kept :]
        s, t = self.scale_and_shift(same)
        return torch.cat([same, (changed - t) * (-s).exp()], dim=1)


class Scale(nn.Module):
    """Steps of actnorm, 1x1 convolution and coupling, after a squeeze; half of the channels are then finished.

    What is finished is normalised by a coupling that sees what goes on, as in the authors' code: it says where and how
    wide the prior is. At the last scale everything is finished.
    """

    def __init__(self, shape: Shape, squeezes: bool, last: bool, config: Config) -> None:
        super().__init__()
        self.squeezes, self.last = squeezes, last
        parts: list[nn.Module] = []
        for _ in range(config.steps_per_scale):
            parts += [ActNorm(shape[0]), InvertibleConv(shape[0]), Coupling(shape, config)]
        self.parts = nn.ModuleList([*parts, ActNorm(shape[0]) if last else Coupling(shape, config)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What goes on to the next scale (nothing, of 0 channels, at the last), what is finished, log |det| (n,)."""
        if self.squeezes:
            x = squeeze(x)
        log_det = x.new_zeros(len(x))
        for part in self.parts:
            x, change = part(x)
            log_det = log_det + change
        onwards = 0 if self.last else x.shape[1] // 2
        return x[:, :onwards], x[:, onwards:], log_det

    def inverse(self, going_on: Tensor, finished: Tensor) -> Tensor:
        x = torch.cat([going_on, finished], dim=1)
        for part in reversed(self.parts):
            x = part.inverse(x)
        return unsqueeze(x) if self.squeezes else x


class Glow(MultiscaleFlow):
    """Scales of steps, each of actnorm, invertible 1x1 convolution and affine coupling."""

    Config = Config
    name = "glow"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        # The hidden units of one coupling bound the memory of one item.
        self.items_at_once = max(1, min(250, NUMBERS_AT_ONCE // (4 * self.config.width * spec.size)))

    def build_scales(self, shape: Shape) -> tuple[list[nn.Module], list[Shape]]:
        channels, height, width = shape
        scales: list[nn.Module] = []
        finished: list[Shape] = []
        last = False
        while not last:
            squeezes = self.can_halve(height, width)
            if squeezes:
                channels, height, width = 4 * channels, height // 2, width // 2
            if channels < 2:
                raise ModelError(f"glow models images of even sides or several channels, not {shape}")
            last = not self.can_halve(height, width)
            scales.append(Scale((channels, height, width), squeezes, last, self.config))
            if not last:
                channels //= 2
            finished.append((channels, height, width))
        return scales, finished

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the likelihood of the train split, dequantized anew at each step; the loss is in nats per pixel."""
        self.train()
        with torch.no_grad():
            # The moving average of the weights begins with what this first batch makes of the actnorms.
            first = dataset.train[torch.randperm(len(dataset.train))[: 4 * self.config.batch]]
            self.log_density(dequantize(first.to(self.device), self.levels))
        return super().fit(dataset, budget)
