"""The gated PixelCNN: two stacks of convolutions without a blind spot, and multiplicative units.

Lecture topic: autoregressive models. Masked square filters, stacked, never see some of the pixels above and to the
right. Here a vertical stack sees all rows above, a horizontal stack sees the pixels to the left in the row, and each
layer of the vertical stack feeds that of the horizontal one, never the other way round. tanh(a) * sigmoid(b) takes the
place of relu, and may be told the image's class, which makes the model a conditional one. A sample runs the vertical
stack once for each row and the horizontal stack once for each pixel.

References: A. van den Oord, N. Kalchbrenner, O. Vinyals, L. Espeholt, A. Graves and K. Kavukcuoglu, "Conditional Image
Generation with PixelCNN Decoders" (2016).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import ModelError
from zoo.autoregressive.pixel_cnn import MaskedConv2d
from zoo.autoregressive.raster import Part, RasterModel, View, WholeImage
from zoo.training import Options, in_batches, learnt, minimise, validated

CLASSES = 10


@dataclass(frozen=True, slots=True)
class Config:
    """The network and its training.

    `width`: features of every pixel for each image channel, in each of the two stacks. `blocks`: gated layers.
    `kernel`: side of the filters, odd. `dropout`: chance of dropping a gated feature while training. `decay`: weight
    decay. `steps`, `batch`, `rate`: optimiser steps, items per step and initial learning rate. `validation`: items of
    the train split that choose among the weights on the way; 0 takes the last.
    """

    width: int = 24
    blocks: int = 6
    kernel: int = 5
    dropout: float = 0.3
    decay: float = 0.1
    steps: int = 1000
    batch: int = 32
    rate: float = 5e-3
    validation: int = 0

    def __post_init__(self) -> None:
        if min(self.width, self.blocks, self.steps, self.batch) < 1:
            raise ValueError(f"width, blocks, steps and batch must be positive, got {self}")
        if self.kernel < 3 or self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd and at least 3, got {self.kernel}")
        if not 0 <= self.dropout < 1 or self.decay < 0 or self.rate <= 0:
            raise ValueError(f"dropout must be within [0, 1), decay >= 0 and rate > 0, got {self}")


class RowsConv2d(nn.Conv2d):
    """A convolution over a row and the rows above it, as far to the right as to the left.

    `margins` are the pixels that it sees to the left, to the right and above.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        reach = kernel // 2
        self.margins = reach, reach, reach
        super().__init__(inputs, outputs, (reach + 1, kernel))

    def at_centre(self, windows: Tensor) -> Tensor:
        """The output where the whole filter fits into the windows (n, inputs, > above, > left + right)."""
        return F.conv2d(windows, self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        left, right, above = self.margins
        return self.at_centre(F.pad(x, (left, right, above, 0)))


class LeftConv2d(nn.Conv2d):
    """A convolution over the pixels to the left in the row, and part of the pixel itself.

    Features form one group for each image channel. With mask "A" a group sees the groups of earlier channels of its own
    pixel, as the first layer must; with mask "B" it sees its own group too, which mask A has already cleared.
    """

    def __init__(self, channels: int, inputs: int, outputs: int, kernel: int, mask: Literal["A", "B"]) -> None:
        reach = kernel // 2
        self.margins = reach, 0, 0
        super().__init__(inputs, outputs, (1, reach + 1))
        source, target = torch.arange(inputs) * channels // inputs, torch.arange(outputs)[:, None] * channels // outputs
        visible = torch.ones_like(self.weight)
        visible[:, :, 0, -1] = (source < target if mask == "A" else source <= target).float()
        self.register_buffer("visible", visible, persistent=False)

    def at_centre(self, windows: Tensor) -> Tensor:
        """The output where the whole filter fits into the windows (n, inputs, rows, > left)."""
        return F.conv2d(windows, self.weight * self.visible, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.at_centre(F.pad(x, (self.margins[0], 0)))


class Told(NamedTuple):
    """What each layer of the vertical and of the horizontal stack is told of the classes, (n, 2 * width, 1, 1)."""

    vertical: Sequence[Tensor | float]
    horizontal: Sequence[Tensor | float]


class GatedLayer(nn.Module):
    """One layer of both stacks.

    The paper's is residual in the horizontal stack alone. In the vertical one too it costs nothing, and keeps the gates
    and the dropout of many layers from fading what the first ones saw.
    """

    def __init__(self, channels: int, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.channels = channels
        self.rows = RowsConv2d(width, 2 * width, kernel)
        # A pixel's channels all know the rows above, so that nothing needs hiding here.
        self.link = nn.Conv2d(2 * width, 2 * width, 1)
        self.left = LeftConv2d(channels, width, 2 * width, kernel, "B")
        self.out = MaskedConv2d(channels, width, width, 1, "B")
        self.dropout = nn.Dropout(dropout)

    def vertical(self, v: Tensor, view: View, told: Tensor | float) -> tuple[Tensor, Tensor]:
        """The vertical stack's features v (n, width, h, w) one layer on, and what the horizontal stack gets of them."""
        context = view.convolve(self.rows, v) + told
        return v + self.dropout(self.gate(context)), self.link(context)

    def horizontal(self, h: Tensor, linked: Tensor, view: View, told: Tensor | float) -> Tensor:
        """The horizontal stack's features h (n, width, h, w) one layer on."""
        return h + self.out(self.dropout(self.gate(view.convolve(self.left, h) + linked + told)))

    def gate(self, x: Tensor) -> Tensor:
        """tanh(a) * sigmoid(b), where a and b are the halves of every image channel's group of features."""
        a, b = x.unflatten(1, (self.channels, 2, -1)).unbind(2)
        return (a.tanh() * b.sigmoid()).flatten(1, 2)


class GatedPixelCNN(RasterModel):
    """Gated layers of a vertical and a horizontal stack, and a softmax over the levels of every pixel and channel."""

    Config = Config
    name = "gated-pixel-cnn"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c, features = self.config, self.channels * self.config.width
        self.first_rows = RowsConv2d(self.channels * self.marks, features, c.kernel)
        self.first_left = LeftConv2d(self.channels, self.channels * self.marks, features, c.kernel, "A")
        # Digits are centred: what a pixel's neighbours mean depends on where it lies.
        self.position_rows = nn.Parameter(torch.zeros(features, self.height, self.width))
        self.position_left = nn.Parameter(torch.zeros(features, self.height, self.width))
        self.layers = nn.ModuleList(GatedLayer(self.channels, features, c.kernel, c.dropout) for _ in range(c.blocks))
        self.dropout = nn.Dropout(c.dropout)
        self.last = MaskedConv2d(self.channels, features, self.channels * self.levels, 1, "B")

    def numbers(self) -> int:
        # Sampling keeps the inputs of all layers.
        return 2 * self.config.width * (self.config.blocks + 2)

    def told(self, classes: Tensor | None) -> Told:
        """What the layers are told of classes int64 (n,); here there are none, and that is nothing."""
        nothing = [0.0] * len(self.layers)
        return Told(nothing, nothing)

    def vertical(self, above: Tensor, view: View, told: Told) -> Iterator[Tensor]:
        """What each layer of the vertical stack tells the horizontal one, for marks of the row above each pixel."""
        v = view.convolve(self.first_rows, above) + view.crop(self.position_rows)
        for layer, message in zip(self.layers, told.vertical, strict=True):
            v, linked = layer.vertical(v, view, message)
            yield linked

    def horizontal(self, marks: Tensor, linked: Iterable[Tensor], view: View, told: Told) -> Tensor:
        """The logits of every level, (n, C, levels, h, w), for each pixel's own marks and what the vertical stack says.

        Of its own marks a pixel's logits see those of the channels before alone.
        """
        h = view.convolve(self.first_left, marks) + view.crop(self.position_left)
        for layer, rows, message in zip(self.layers, linked, told.horizontal, strict=True):
            h = layer.horizontal(h, rows, view, message)
        return self.last(self.dropout(F.relu(h))).unflatten(1, (self.channels, self.levels))

    def logits(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """The logits of every level of the images (n, C, H, W), of classes (n,) if any: (n, C, levels, H, W)."""
        marks, told = self.thermometer(x), self.told(classes)
        above = F.pad(marks, (0, 0, 1, -1))
        return self.horizontal(marks, self.vertical(above, WholeImage(), told), WholeImage(), told)

    def log_masses(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """log p(x_d | x_<d) of each pixel and channel, in nats: (n, C, H, W)."""
        return -F.cross_entropy(self.logits(x, classes).transpose(1, 2), x.long(), reduction="none")

    def draw(self, n: int, psi: float, classes: Tensor | None = None) -> Tensor:
        x = torch.zeros(n, *self.spec.shape, dtype=torch.uint8, device=self.device)
        row, pixel = Part(n, self.height, self.width), Part(n, self.height, self.width)
        above, told = self.thermometer(x[:, :, :1]), self.told(classes)
        for row.row in range(self.height):
            pixel.row = row.row
            linked = list(self.vertical(above, row, told))
            for column in range(self.width):
                pixel.columns = slice(column, column + 1)
                here = x[:, :, row.row : row.row + 1, pixel.columns]
                # Each pass completes one more channel's features; the last leaves all of them as a full pass would.
                for channel in range(self.channels):
                    rows = (part[..., pixel.columns] for part in linked)
                    logits = self.horizontal(self.thermometer(here), rows, pixel, told)[:, channel, :, 0, 0]
                    here[:, channel, 0, 0] = torch.multinomial((logits / psi).softmax(1), 1)[:, 0]
                # Mask A hid the last channel from its own pixel, but the pixels to come do see it.
                pixel.keep(self.first_left, self.thermometer(here))
            above = self.thermometer(x[:, :, row.row : row.row + 1])
        return x


class ConditionalPixelCNN(GatedPixelCNN):
    """p(x) = sum_y p(y) p(x|y): every gate of both stacks is told the class y, the same at all pixels.

    That is the model of the paper's title. Told the class it draws that class, and it is a classifier too.
    """

    name = "gated-pixel-cnn-classes"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        gates = 2 * self.channels * self.config.width
        self.messages = nn.Parameter(torch.zeros(2, self.config.blocks, CLASSES, gates))
        self.register_buffer("log_prior", torch.full((CLASSES,), 1 / CLASSES).log())

    def told(self, classes: Tensor | None) -> Told:
        """The messages to both stacks' layers of classes int64 (n,)."""
        assert classes is not None
        rows, left = self.messages[:, :, classes, :, None, None]
        return Told(list(rows), list(left))

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the likelihood of the train split given its classes; the loss is in nats per dimension.

        Raises ModelError for data without labels or of other classes.
        """
        labels, items = dataset.train_labels, learnt(dataset)
        if labels is None or int(labels.max()) >= CLASSES:
            raise ModelError(f"{self.name} models data labelled with up to {CLASSES} classes, not others")
        counts = torch.bincount(labels, minlength=CLASSES) + 0.5
        self.log_prior.copy_((counts / counts.sum()).log())

        def nats(rows: Tensor) -> Tensor:
            x, classes = items[rows.cpu()].to(self.device), labels[rows.cpu()].to(self.device)
            return -self.log_masses(x, classes).flatten(1).sum(1).mean()

        rows = torch.arange(len(labels))
        split = validated(replace(dataset, train=rows, validation=None, intensities=None), self.config.validation)
        options = Options(average=0.995, score=nats, at_once=self.items_at_once)
        return minimise(lambda rows: nats(rows) / self.spec.size, self, split, budget, self.config, options)

    @torch.no_grad()
    def class_log_joint(self, x: Tensor, /) -> Tensor:
        """log p(x, y) in nats for every class: float64 (n, classes)."""

        def given(part: Tensor, y: int) -> Tensor:
            classes = torch.full((len(part),), y, device=self.device)
            return self.log_masses(part, classes).double().flatten(1).sum(1)

        x = self.accept(x)
        columns = [in_batches(partial(given, y=y), x, self.items_at_once) for y in range(CLASSES)]
        return torch.stack(columns, 1) + self.log_prior.double()

    def log_prob(self, x: Tensor, /) -> Tensor:
        """log p(x) = log sum_y p(x, y) in nats: float64 (n,)."""
        return self.class_log_joint(x).logsumexp(1)

    def draw(self, n: int, psi: float, classes: Tensor | None = None) -> Tensor:
        """n images, of the classes named, or of classes drawn as frequent as in the train split."""
        if classes is None:
            classes = torch.multinomial(self.log_prior.exp(), n, replacement=True)
        return super().draw(n, psi, classes)
