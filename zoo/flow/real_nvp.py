"""RealNVP: an invertible network of affine couplings, so that the density of an image is known exactly.

Lecture topic: normalizing flows. A coupling leaves one part of its input as it is and scales and shifts the other by
functions of the first, so that its Jacobian is triangular and its inverse as cheap as itself.

References: L. Dinh, J. Sohl-Dickstein and S. Bengio, "Density estimation using Real NVP" (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.flow.multiscale import MultiscaleFlow, Shape


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


class RealNVP(MultiscaleFlow):
    """Scales of couplings, of alternating checkerboards before the squeeze and of channels after it."""

    Config = Config
    name = "real-nvp"

    def log_prob(self, x: Tensor, /) -> Tensor:
        """A lower bound on log P(x) in nats by uniform dequantization: float64 (n,)."""
        # Convolutions of so few channels take less time where those of a pixel lie side by side. The weights go back:
        # samples do not depend on whether a likelihood was asked for before.
        self.scales.to(memory_format=torch.channels_last)
        try:
            return super().log_prob(x)
        finally:
            self.scales.to(memory_format=torch.contiguous_format)

    def build_scales(self, shape: Shape) -> tuple[list[nn.Module], list[Shape]]:
        channels, height, width = shape
        scales: list[nn.Module] = []
        finished: list[Shape] = []
        while self.can_halve(height, width):
            scales.append(Scale((channels, height, width), False, self.config))
            channels, height, width = 2 * channels, height // 2, width // 2
            finished.append((channels, height, width))
        last = (channels, height, width)
        return [*scales, Scale(last, True, self.config)], [*finished, last]
