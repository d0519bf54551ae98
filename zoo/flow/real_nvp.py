"""RealNVP: an invertible network of affine couplings, so that the density of an image is known exactly.

Lecture topic: normalizing flows. With z = f(y), the change of variables gives log p(y) = log N(z; 0, I) +
log |det dz/dy|. A coupling leaves one part of its input as it is and scales and shifts the other by functions of the
first, so that its Jacobian is triangular and its inverse as cheap as itself.

References: L. Dinh, J. Sohl-Dickstein and S. Bengio, "Density estimation using Real NVP" (2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec, Setting
from genbench.likelihood import dequantize, dequantized_log_prob, from_logits, quantize, to_logits
from zoo.nn import Model, require_image, require_levels
from zoo.training import in_batches, minimise, sizes

Shape = tuple[int, int, int]
BATCH = 250  # items at a time in sampling and likelihood


@dataclass(frozen=True, slots=True)
class Config:
    """The architecture and its training.

    `width`: channels within the networks of the couplings; `blocks`: residual blocks of each; `dropout`: share of their
    hidden units dropped in training; `smallest`: images are not squeezed below this side; `alpha`: the logit maps
    [alpha, 1 - alpha], so that it stays finite; `steps`, `batch`, `rate`, `decay`: of AdamW; `average`: decay of the
    moving average of the weights.
    """

    width: int = 24
    blocks: int = 2
    dropout: float = 0.2
    smallest: int = 2
    alpha: float = 0.01
    steps: int = 1000
    batch: int = 64
    rate: float = 3e-3
    decay: float = 1e-2
    average: float = 0.995

    def __post_init__(self) -> None:
        if min(self.width, self.blocks, self.smallest, self.steps, self.batch) < 1:
            raise ValueError(f"width, blocks, smallest, steps and batch must be at least 1, got {self}")
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha must be within (0, 0.5), got {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be within [0, 1), got {self.dropout}")


class Block(nn.Module):
    """A residual block: what it adds to its input is two convolutions of it."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.second(self.dropout(F.relu(self.first(F.relu(h)))))


class Coupling(nn.Module):
    """Where the mask b is 1 the input stays; elsewhere it becomes x * exp(s(b x)) + t(b x).

    The paper stabilises deep stacks with batch normalization. Here the last convolution starts at zero, hence every
    coupling as the identity, and s = scale * tanh(.) stays bounded. That is stable at this depth, and the density of an
    item never depends on the other items of its batch.
    """

    def __init__(self, mask: Tensor, config: Config) -> None:
        super().__init__()
        channels, width = len(mask), config.width
        self.register_buffer("mask", mask, persistent=False)
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            *(Block(width, config.dropout) for _ in range(config.blocks)),
            nn.ReLU(),
            nn.Conv2d(width, 2 * channels, 3, padding=1),
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s and t, shaped as x and zero where the mask is 1; they depend on x only where it is."""
        s, t = self.net(self.mask * x).chunk(2, dim=1)
        free = 1 - self.mask
        return free * self.scale * s.tanh(), free * t

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, shaped as x, and log |det| (n,)."""
        s, t = self.scale_and_shift(x)
        return x * s.exp() + t, s.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        s, t = self.scale_and_shift(y)
        return (y - t) * (-s).exp()


def checkerboard(shape: Shape, parity: int) -> Tensor:
    """A mask (C, H, W) of ones where row + column + parity is even."""
    channels, height, width = shape
    cells = torch.arange(height)[:, None] + torch.arange(width) + parity
    return (cells % 2 == 0).float().expand(channels, height, width)


def channelwise(shape: Shape, parity: int) -> Tensor:
    """A mask (C, H, W) of ones in the first half of the channels; in the second half where parity is odd."""
    channels = shape[0]
    first = torch.arange(channels) < channels // 2
    return (first ^ bool(parity % 2)).float()[:, None, None].expand(shape).contiguous()


def squeeze(x: Tensor) -> Tensor:
    """(n, C, H, W) to (n, 4 C, H / 2, W / 2): each 2x2 square becomes channels, its top row in the first half."""
    return F.pixel_unshuffle(x, 2).unflatten(1, (-1, 4)).transpose(1, 2).flatten(1, 2)


def unsqueeze(x: Tensor) -> Tensor:
    """The inverse of `squeeze`."""
    return F.pixel_shuffle(x.unflatten(1, (4, -1)).transpose(1, 2).flatten(1, 2), 2)


class Scale(nn.Module):
    """Three checkerboard couplings, a squeeze, three channel-wise couplings; half of the channels are then finished.

    The last scale has four checkerboard couplings only, and everything that it returns is finished.
    """

    def __init__(self, shape: Shape, last: bool, config: Config) -> None:
        super().__init__()
        channels, height, width = shape
        squeezed = (4 * channels, height // 2, width // 2)
        self.last = last
        self.checkerboards = nn.ModuleList(Coupling(checkerboard(shape, i), config) for i in range(4 if last else 3))
        self.channelwises = nn.ModuleList(Coupling(channelwise(squeezed, i), config) for i in range(0 if last else 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What goes on to the next scale (nothing, of 0 channels, at the last), what is finished, log |det| (n,)."""
        log_det = x.new_zeros(len(x))
        for coupling in self.checkerboards:
            x, change = coupling(x)
            log_det = log_det + change
        if self.last:
            return x[:, :0], x, log_det
        x = squeeze(x)
        for coupling in self.channelwises:
            x, change = coupling(x)
            log_det = log_det + change
        going_on, finished = x.chunk(2, dim=1)
        return going_on, finished, log_det

    def inverse(self, going_on: Tensor, finished: Tensor) -> Tensor:
        x = finished
        if not self.last:
            x = torch.cat([going_on, finished], dim=1)
            for coupling in reversed(self.channelwises):
                x = coupling.inverse(x)
            x = unsqueeze(x)
        for coupling in reversed(self.checkerboards):
            x = coupling.inverse(x)
        return x


class RealNVP(Model):
    """y in [0, 1) -> logit -> scales of couplings -> z, of which the prior is a standard normal distribution."""

    Config = Config
    log_prob_kind: Literal["lower_bound"] = "lower_bound"
    truncation: Literal["temperature"] = "temperature"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels("real-nvp", spec)
        channels, height, width = require_image("real-nvp", spec)
        self.latent_shape = (spec.size,)
        self.dequantization_samples = 16
        scales, self.finished_shapes = [], []
        while height % 2 == width % 2 == 0 and min(height, width) >= 2 * self.config.smallest:
            scales.append(Scale((channels, height, width), False, self.config))
            channels, height, width = 2 * channels, height // 2, width // 2
            self.finished_shapes.append((channels, height, width))
        scales.append(Scale((channels, height, width), True, self.config))
        self.finished_shapes.append((channels, height, width))
        self.scales = nn.ModuleList(scales)

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Config:
        """Small networks with dropout for the few and small digits; for larger images those of the paper."""
        if spec.size <= 256:
            return Config()
        return Config(width=64, blocks=4, dropout=0.0, smallest=4, alpha=0.05, steps=20_000, rate=1e-3, average=0.999)

    def prepare(self, setting: Setting) -> None:
        self.dequantization_samples = setting.effort.dequantization_samples

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the likelihood of the train split, dequantized anew at each step; the loss is in nats per pixel."""
        return minimise(
            lambda x: -self.log_density(dequantize(x, self.levels)).mean() / self.spec.size + math.log(self.levels),
            self,
            dataset.train,
            budget,
            self.config,
            self.config.average,
        )

    def transform(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Values (n, C, H, W) in [0, 1) to z (n, size), with log |det dz/dy| (n,)."""
        x, log_det = to_logits(y, self.config.alpha)
        parts = []
        for scale in self.scales:
            x, finished, change = scale(x)
            parts.append(finished.flatten(1))
            log_det = log_det + change
        return torch.cat(parts, dim=1), log_det

    def encode(self, y: Tensor, /) -> Tensor:
        """The code z (n, size) of values y (n, C, H, W) in [0, 1)."""
        return self.transform(y)[0]

    def invert(self, z: Tensor, /) -> Tensor:
        """The values y (n, C, H, W) of codes z (n, size); the logit's margin lets them leave [0, 1) a little."""
        parts = z.split([math.prod(shape) for shape in self.finished_shapes], dim=1)
        x = z[:, :0]
        for scale, part, shape in zip(
            reversed(self.scales), reversed(parts), reversed(self.finished_shapes), strict=True
        ):
            x = scale.inverse(x, part.unflatten(1, shape))
        return from_logits(x, self.config.alpha)

    def log_density(self, y: Tensor, /) -> Tensor:
        """log p(y) in nats (n,), the density of values y (n, C, H, W) in [0, 1)."""
        z, log_det = self.transform(y)
        return log_det - 0.5 * (z.square().sum(1) + self.spec.size * math.log(2 * math.pi))

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """A lower bound on log P(x) in nats by uniform dequantization: float64 (n,)."""

        def bound(part: Tensor) -> Tensor:
            return dequantized_log_prob(self.log_density, part, self.spec, self.dequantization_samples)

        return in_batches(bound, self.accept(x), BATCH)

    def sample_latent(self, n: int, /) -> Tensor:
        """n codes of the prior: float32 (n, size)."""
        return torch.randn(n, *self.latent_shape, device=self.device)

    @torch.no_grad()
    def decode(self, z: Tensor, /) -> Tensor:
        """The images, uint8 (n, C, H, W), of codes z (n, size)."""
        return in_batches(lambda part: quantize(self.invert(part), self.levels), z.to(self.device), BATCH)

    def sample_truncated(self, n: int, /, *, psi: float) -> Tensor:
        """n images of codes with standard deviation `psi`; 1 leaves the distribution as it is."""
        return torch.cat([self.decode(psi * self.sample_latent(size)) for size in sizes(n, BATCH)])

    def sample(self, n: int, /) -> Tensor:
        """n images, uint8 (n, C, H, W)."""
        return self.sample_truncated(n, psi=1.0)
