"""PixelRNN: an image as a sequence of pixels, each predicted from a memory that two-dimensional LSTMs have of the rest.

Lecture topic: autoregressive models. Both networks are a masked convolution, LSTM layers with residual connections and
a softmax over the levels of every pixel and channel. A Row LSTM goes down the image a row at a time, with a convolution
from the state of one row to the next, and so remembers a triangle above each pixel. A Diagonal BiLSTM goes along the
diagonals from both upper corners, and so remembers everything above and to the left.

References: A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu, "Pixel Recurrent Neural Networks" (2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import SampleSpec
from zoo.autoregressive.pixel_cnn import MaskedConv2d
from zoo.autoregressive.raster import RasterModel, WholeImage


@dataclass(frozen=True, slots=True)
class Config:
    """The network and its training.

    `width`: numbers in the state of an LSTM for each image channel, twice as many features between the layers.
    `layers`: LSTM layers. `kernel`: side of the first filter, odd. `dropout`: chance of dropping an input of an LSTM
    layer or of the softmax while training. `decay`: weight decay. `steps`, `batch`, `rate`: optimiser steps, items per
    step and initial learning rate. `validation`: items of the
    train split that choose among the weights on the way; 0 takes the last.
    """

    width: int = 32
    layers: int = 3
    kernel: int = 7
    dropout: float = 0.4
    decay: float = 0.1
    steps: int = 900
    batch: int = 32
    rate: float = 3e-3
    validation: int = 0

    def __post_init__(self) -> None:
        if min(self.width, self.layers, self.steps, self.batch) < 1:
            raise ValueError(f"width, layers, steps and batch must be positive, got {self}")
        if self.kernel < 3 or self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd and at least 3, got {self.kernel}")
        if not 0 <= self.dropout < 1 or self.decay < 0 or self.rate <= 0:
            raise ValueError(f"dropout must be within [0, 1), decay >= 0 and rate > 0, got {self}")


class MaskedConv1d(MaskedConv2d):
    """The last row of a `MaskedConv2d`: the output at a pixel sees the pixels to its left and part of the pixel."""

    def __init__(self, channels: int, inputs: int, outputs: int, kernel: int, mask: Literal["A", "B"]) -> None:
        super().__init__(channels, inputs, outputs, kernel, mask)
        self.weight = nn.Parameter(self.weight.detach()[:, :, -1:].clone())
        self.visible = self.visible[:, :, -1:].clone()
        self.reset_parameters()

    def at_centre(self, windows: Tensor) -> Tensor:
        return super().at_centre(windows[:, :, self.reach :])


class Past:
    """How the network sees an image in sampling: at `row` and `column`, with the layers' inputs and states before it.

    Everything kept has the axes (row, column, ..., item, feature), so that what lies near a pixel is near in memory,
    and is surrounded by zeros.
    """

    def __init__(self, n: int, height: int, width: int) -> None:
        self.n, self.height, self.width = n, height, width
        self.row = self.column = 0
        self.filters: dict[nn.Module, Tensor] = {}
        self.inputs: dict[MaskedConv2d, Tensor] = {}
        self.states: dict[nn.Module, Tensor] = {}

    def keep(self, layer: MaskedConv2d, x: Tensor) -> Tensor:
        """Note the layer's input at this pixel (n, inputs, 1, 1); returns all of them with the layer's padding."""
        r = layer.reach
        if layer not in self.inputs:
            self.inputs[layer] = x.new_zeros(self.height + r, self.width + 2 * r, self.n, x.shape[1])
        self.inputs[layer][self.row + r, self.column + r] = x[:, :, 0, 0]
        return self.inputs[layer]

    def convolve(self, layer: MaskedConv2d, x: Tensor) -> Tensor:
        """The layer's output at this pixel for its input there, (n, inputs, 1, 1), which is kept for later pixels."""
        if layer not in self.filters:
            self.filters[layer] = (layer.weight * layer.visible).permute(0, 2, 3, 1).flatten(1)
        window = x[None, None, :, :, 0, 0]
        if layer.reach:
            i, j = self.row + layer.reach + 1, self.column
            window = self.keep(layer, x)[i - layer.weight.shape[2] : i, j : j + layer.weight.shape[3]]
        # Of a single pixel a product of matrices is several times faster than a convolution.
        return F.linear(window.permute(2, 0, 1, 3).flatten(1), self.filters[layer], layer.bias)[:, :, None, None]

    def crop(self, planes: Tensor) -> Tensor:
        """The planes (features, H, W) at this pixel: (features, 1, 1)."""
        return planes[:, self.row, self.column, None, None]

    def state(self, layer: nn.Module, like: Tensor) -> Tensor:
        """The hidden and cell states of a layer: (H + 1, W + 2, 2, n, width), row i and column j at i + 1, j + 1."""
        if layer not in self.states:
            shape = (self.height + 1, self.width + 2, 2, self.n, like.shape[1] // 4)
            self.states[layer] = like.new_zeros(shape)
        return self.states[layer]

    def carry(self, layer: nn.Conv1d, neighbours: Tensor) -> Tensor:
        """What a state-to-state filter makes of the neighbours' h (as many as it spans, n, width): (n, 4 width)."""
        if layer not in self.filters:
            self.filters[layer] = layer.weight.transpose(1, 2).flatten(1)
        return F.linear(neighbours.transpose(0, 1).flatten(1), self.filters[layer])


View = WholeImage | Past


class LSTM(nn.Module):
    """The gates of a convolutional LSTM: what its directions have in common."""

    def __init__(self, channels: int, input_to_state: MaskedConv2d, state_to_state: nn.Conv1d) -> None:
        super().__init__()
        self.channels, self.input_to_state, self.state_to_state = channels, input_to_state, state_to_state

    def cell(self, gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The new h and c, both (n, width, ...), from gates (n, 4 width, ...) and the old c."""
        # Grouped by image channels, as the masked convolutions count them.
        gates = gates.unflatten(1, (self.channels, 4, -1))
        o, f, i = gates[:, :, :3].sigmoid().unbind(2)
        c = f.flatten(1, 2) * c + (i * gates[:, :, 3].tanh()).flatten(1, 2)
        return o.flatten(1, 2) * c.tanh(), c

    def scan(self, lines: Tensor) -> Tensor:
        """h on every line, (n, width, lines, length), for what the inputs give to the gates, (n, 4 width, lines, ...).

        One line follows the other, and the positions along it are computed at the same time.
        """
        n, outputs, _, length = lines.shape
        h = c = lines.new_zeros(n, outputs // 4, length)
        states = []
        for line in lines.unbind(2):
            h, c = self.cell(line + self.carried(h), c)
            states.append(h)
        return torch.stack(states, dim=2)

    def carried(self, h: Tensor) -> Tensor:
        """What the states of the line before, (n, width, length), give to the gates: (n, 4 width, length)."""
        raise NotImplementedError


class RowLayer(LSTM):
    """From row to row; the state of a pixel is told those of the three pixels above it."""

    def __init__(self, channels: int, inputs: int, width: int) -> None:
        across = nn.Conv1d(width, 4 * width, 3, padding=1, bias=False)
        super().__init__(channels, MaskedConv1d(channels, inputs, 4 * width, 3, "B"), across)

    def carried(self, h: Tensor) -> Tensor:
        return self.state_to_state(h)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """h (n, width, H, W) of inputs (n, inputs, H, W); in sampling at one pixel."""
        gates = view.convolve(self.input_to_state, x)
        if not isinstance(view, Past):
            return self.scan(gates)
        i, j, states = view.row, view.column, view.state(self, gates)
        # The zero columns that surround the image are the padding of the convolution.
        above = view.carry(self.state_to_state, states[i, j : j + 3, 0])
        states[i + 1, j + 1, 0], states[i + 1, j + 1, 1] = self.cell(gates[:, :, 0, 0] + above, states[i, j + 1, 1])
        return states[i + 1, j + 1, 0, :, :, None, None]

    def finish_row(self, view: Past) -> None:
        """Nothing is left to do: every state was computed at its pixel."""


def skew(x: Tensor) -> Tensor:
    """(n, features, H, W) to (n, features, H, W + H - 1): row i moves i columns to the right, zeros fill the gaps."""
    height, width = x.shape[2:]
    return F.pad(x, (0, height)).flatten(2)[..., :-height].unflatten(2, (height, width + height - 1))


def unskew(x: Tensor) -> Tensor:
    """The inverse of `skew`."""
    height, skewed = x.shape[2:]
    return F.pad(x.flatten(2), (0, height)).unflatten(2, (height, skewed + 1))[..., : skewed + 1 - height]


class DiagonalDirection(LSTM):
    """From the upper left corner to the lower right; the state of a pixel is told those above and to the left of it."""

    def __init__(self, channels: int, inputs: int, width: int) -> None:
        down = nn.Conv1d(width, 4 * width, 2, bias=False)
        super().__init__(channels, MaskedConv2d(channels, inputs, 4 * width, 1, "B"), down)

    def carried(self, h: Tensor) -> Tensor:
        return self.state_to_state(F.pad(h, (1, 0)))

    def forward(self, x: Tensor) -> Tensor:
        """h (n, width, H, W) of inputs (n, inputs, H, W): in a skewed map the diagonals are columns."""
        return unskew(self.scan(skew(self.input_to_state(x)).transpose(2, 3)).transpose(2, 3))

    def at(self, gates: Tensor, view: Past, i: int, j: int) -> Tensor:
        """h (n, width) at row i and column j, where the inputs give (n, 4 width) to the gates."""
        states = view.state(self, gates)
        carried = view.carry(self.state_to_state, torch.stack([states[i, j + 1, 0], states[i + 1, j, 0]]))
        states[i + 1, j + 1, 0], states[i + 1, j + 1, 1] = self.cell(gates + carried, states[i + 1, j, 1])
        return states[i + 1, j + 1, 0]


class DiagonalLayer(nn.Module):
    """Two directions; what comes from the right is told to the row below, because at its own row it is the future."""

    def __init__(self, channels: int, inputs: int, width: int) -> None:
        super().__init__()
        self.rightward = DiagonalDirection(channels, inputs, width)
        self.leftward = DiagonalDirection(channels, inputs, width)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """h (n, width, H, W) of inputs (n, inputs, H, W); in sampling at one pixel."""
        if not isinstance(view, Past):
            from_right = self.leftward(x.flip(3)).flip(3)
            return self.rightward(x) + F.pad(from_right, (0, 0, 1, -1))
        i, j = view.row, view.column
        view.keep(self.leftward.input_to_state, x)
        gates = view.convolve(self.rightward.input_to_state, x)[:, :, 0, 0]
        # Row i of the states is row i - 1 of the image, and the leftward columns are counted from the right.
        from_right = view.state(self.leftward, gates)[i, view.width - j, 0]
        return (self.rightward.at(gates, view, i, j) + from_right)[:, :, None, None]

    def finish_row(self, view: Past) -> None:
        """The leftward states of a row, once all of its pixels are drawn."""
        inputs = view.inputs[self.leftward.input_to_state][view.row].flip(0)
        for column, x in enumerate(inputs):
            gates = view.convolve(self.leftward.input_to_state, x[:, :, None, None])[:, :, 0, 0]
            self.leftward.at(gates, view, view.row, column)


class PixelRNN(RasterModel):
    """LSTM layers and a softmax over the levels of every pixel and channel. A subclass says which LSTM layers."""

    Config = Config
    layer: ClassVar[type[RowLayer] | type[DiagonalLayer]]
    margin: ClassVar[int]  # columns that the layers see to the right of the image

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c, hidden = self.config, self.channels * self.config.width
        self.first = MaskedConv2d(self.channels, self.channels * self.marks, 2 * hidden, c.kernel, "A")
        # Digits are centred: what a pixel's neighbours mean depends on where it lies.
        self.position = nn.Parameter(torch.zeros(2 * hidden, self.height, self.width + self.margin))
        self.layers = nn.ModuleList(self.layer(self.channels, 2 * hidden, hidden) for _ in range(c.layers))
        self.widen = nn.ModuleList(MaskedConv2d(self.channels, hidden, 2 * hidden, 1, "B") for _ in range(c.layers))
        self.dropout = nn.Dropout(c.dropout)
        self.middle = MaskedConv2d(self.channels, 2 * hidden, 2 * hidden, 1, "B")
        self.last = MaskedConv2d(self.channels, 2 * hidden, self.channels * self.levels, 1, "B")

    def numbers(self) -> int:
        return 24 * self.config.width  # the gates of a skewed map

    def logits(self, x: Tensor, view: View) -> Tensor:
        """The logits of every level of the pixels (n, C, h, w) that the view shows: (n, C, levels, h, w)."""
        features = view.convolve(self.first, self.thermometer(x)) + view.crop(self.position)
        for lstm, widen in zip(self.layers, self.widen, strict=True):
            features = features + view.convolve(widen, lstm(self.dropout(features), view))
        features = F.relu(view.convolve(self.middle, F.relu(features)))
        return view.convolve(self.last, self.dropout(features)).unflatten(1, (self.channels, self.levels))

    def log_masses(self, x: Tensor) -> Tensor:
        """log p(x_d | x_<d) of each pixel and channel, in nats: (n, C, H, W)."""
        logits = self.logits(F.pad(x, (0, self.margin)), WholeImage())[..., : self.width]
        return -F.cross_entropy(logits.transpose(1, 2), x.long(), reduction="none")

    def draw(self, n: int, psi: float) -> Tensor:
        x = torch.zeros(n, self.channels, self.height, self.width + self.margin, dtype=torch.uint8, device=self.device)
        view = Past(n, self.height, self.width + self.margin)
        for view.row in range(self.height):
            for view.column in range(self.width):
                pixel = x[:, :, view.row, view.column, None, None]
                # Each pass completes one more channel's features; the last leaves all of them as a full pass would.
                for channel in range(self.channels):
                    logits = self.logits(pixel, view)[:, channel, :, 0, 0]
                    pixel[:, channel, 0, 0] = torch.multinomial((logits / psi).softmax(1), 1)[:, 0]
                # Mask A hid the last channel from its own pixel, but the pixels to come do see it.
                view.keep(self.first, self.thermometer(pixel))
            for view.column in range(self.width, self.width + self.margin):
                self.logits(x[:, :, view.row, view.column, None, None], view)
            for lstm in self.layers:
                lstm.finish_row(view)
        return x[..., : self.width]


class RowLSTM(PixelRNN):
    """Each pixel sees the triangle above it, which widens by a column to either side with every row."""

    name = "pixel-rnn-row"
    layer = RowLayer
    margin = 0


class DiagonalBiLSTM(PixelRNN):
    """Each pixel sees all that come before it.

    The first convolution shows a pixel to those after it, and on its row nothing comes after the last. The layers
    therefore see one empty column more, from which the last pixel's value goes leftward with the others.
    """

    name = "pixel-rnn-diagonal"
    layer = DiagonalLayer
    margin = 1
