"""PixelCNN: an image as a sequence of pixels, each predicted from those before it by masked convolutions.

Lecture topic: autoregressive models. p(x) = prod_d p(x_d | x_1, ..., x_(d-1)) in raster order, the channels of a pixel
one after the other. A mask on every filter hides what comes later, so that one pass gives all the conditionals; a
sample is drawn pixel by pixel, and reuses the activations of the pixels already drawn.

References: A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu, "Pixel Recurrent Neural Networks" (2016); P.
Ramachandran et al., "Fast Generation for Convolutional Autoregressive Models" (2017), for the reuse of activations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import SampleSpec
from zoo.autoregressive.raster import Part, RasterModel, View, WholeImage


@dataclass(frozen=True, slots=True)
class Config:
    """The network and its training.

    `width`: features of every pixel for each image channel, half as many within a residual block. `blocks`: residual
    blocks. `kernel`: side of the filters, odd; `first` that of the first layer's, 0 for the same. `outputs`: features
    for each image channel of two further layers of single pixels before the last; 0 for none. `dropout`: chance of
    dropping a feature within a block while training. `decay`: weight decay. `steps`, `batch`, `rate`: optimiser steps,
    items per step and initial learning rate. `validation`: items of the train split that choose among the weights on
    the way; 0 takes the last.
    """

    width: int = 64
    blocks: int = 6
    kernel: int = 5
    dropout: float = 0.3
    decay: float = 0.1
    steps: int = 1200
    batch: int = 32
    rate: float = 2e-3
    validation: int = 0
    first: int = 0
    outputs: int = 0

    def __post_init__(self) -> None:
        if min(self.blocks, self.steps, self.batch) < 1 or self.width < 2 or self.width % 2:
            raise ValueError(f"blocks, steps and batch must be positive, width positive and even, got {self}")
        if self.kernel < 3 or self.kernel % 2 == 0 or (self.first and self.first % 2 == 0):
            raise ValueError(f"kernel must be odd and at least 3, first odd or 0, got {self}")
        if not 0 <= self.dropout < 1 or self.decay < 0 or self.rate <= 0:
            raise ValueError(f"dropout must be within [0, 1), decay >= 0 and rate > 0, got {self}")


class MaskedConv2d(nn.Conv2d):
    """A convolution whose output at a pixel sees the rows above, the pixels to the left, and part of the pixel itself.

    Features form one group for each image channel. With mask "A" a group sees the groups of earlier channels of its own
    pixel, as the first layer must; with mask "B" it sees its own group too, which mask A has already cleared.
    """

    def __init__(self, channels: int, inputs: int, outputs: int, kernel: int, mask: Literal["A", "B"]) -> None:
        self.reach = kernel // 2
        self.margins = self.reach, self.reach, self.reach
        # The mask would hide the rows below the centre altogether: the filter does without them.
        super().__init__(inputs, outputs, (self.reach + 1, kernel))
        source, target = torch.arange(inputs) * channels // inputs, torch.arange(outputs)[:, None] * channels // outputs
        visible = torch.ones_like(self.weight)
        visible[:, :, -1, self.reach :] = 0
        visible[:, :, -1, self.reach] = (source < target if mask == "A" else source <= target).float()
        self.register_buffer("visible", visible, persistent=False)

    def at_centre(self, windows: Tensor) -> Tensor:
        """The output where the whole filter fits into the windows (n, inputs, >= reach + 1, >= kernel)."""
        return F.conv2d(windows, self.weight * self.visible, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.at_centre(F.pad(x, (self.reach, self.reach, self.reach, 0)))


class ResidualBlock(nn.Module):
    """Features narrowed to half, filtered with mask B, widened again and added to what came in."""

    def __init__(self, channels: int, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.narrow = MaskedConv2d(channels, width, width // 2, 1, "B")
        self.filter = MaskedConv2d(channels, width // 2, width // 2, kernel, "B")
        self.widen = MaskedConv2d(channels, width // 2, width, 1, "B")
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, view: View) -> Tensor:
        inner = F.relu(self.narrow(F.relu(x)))
        inner = self.dropout(F.relu(view.convolve(self.filter, inner)))
        return x + self.widen(inner)


class PixelCNN(RasterModel):
    """Masked convolutions with residual connections, and a softmax over the levels of every pixel and channel."""

    Config = Config
    name = "pixel-cnn"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c, features = self.config, self.channels * self.config.width
        self.first = MaskedConv2d(self.channels, self.channels * self.marks, features, c.first or c.kernel, "A")
        # Digits are centred: what a pixel's neighbours mean depends on where it lies.
        self.position = nn.Parameter(torch.zeros(features, self.height, self.width))
        self.blocks = nn.ModuleList(
            ResidualBlock(self.channels, features, c.kernel, c.dropout) for _ in range(c.blocks)
        )
        self.dropout = nn.Dropout(c.dropout)
        outputs = self.channels * c.outputs or features
        widths = (features, outputs, outputs) if c.outputs else (features,)
        self.between = nn.ModuleList(
            MaskedConv2d(self.channels, a, b, 1, "B") for a, b in zip(widths, widths[1:], strict=False)
        )
        self.last = MaskedConv2d(self.channels, outputs, self.channels * self.levels, 1, "B")

    def numbers(self) -> int:
        return 8 * self.config.width

    def logits(self, x: Tensor, view: View) -> Tensor:
        """The logits of every level of the pixels (n, C, h, w) that the view shows: (n, C, levels, h, w)."""
        features = view.convolve(self.first, self.thermometer(x)) + view.crop(self.position)
        for block in self.blocks:
            features = block(features, view)
        for layer in self.between:
            features = layer(F.relu(features))
        return self.last(self.dropout(F.relu(features))).unflatten(1, (self.channels, self.levels))

    def log_masses(self, x: Tensor) -> Tensor:
        """log p(x_d | x_<d) of each pixel and channel, in nats: (n, C, H, W)."""
        logits = self.logits(x, WholeImage())
        return -F.cross_entropy(logits.transpose(1, 2), x.long(), reduction="none")

    def draw(self, n: int, psi: float) -> Tensor:
        x = torch.zeros(n, *self.spec.shape, dtype=torch.uint8, device=self.device)
        view = Part(n, self.height, self.width)
        for view.row in range(self.height):
            for column in range(self.width):
                view.columns = slice(column, column + 1)
                pixel = x[:, :, view.row, column, None, None]
                # Each pass completes one more channel's features; the last leaves all of them as a full pass would.
                for channel in range(self.channels):
                    logits = self.logits(pixel, view)[:, channel, :, 0, 0]
                    pixel[:, channel, 0, 0] = torch.multinomial((logits / psi).softmax(1), 1)[:, 0]
                # Mask A hid the last channel from its own pixel, but the pixels to come do see it.
                view.keep(self.first, self.thermometer(pixel))
        return x
