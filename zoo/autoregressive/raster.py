"""What the models of an image as a sequence of pixels share: likelihood by the chain rule, and samples pixel by pixel.

Lecture topic: autoregressive models. p(x) = prod_d p(x_d | x_1, ..., x_(d-1)) in raster order, the channels of a pixel
one after the other, each conditional a softmax over the levels.

References: A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu, "Pixel Recurrent Neural Networks" (2016); P.
Ramachandran et al., "Fast Generation for Convolutional Autoregressive Models" (2017), for the reuse of activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import InputError
from zoo.nn import Model, require_image, require_levels
from zoo.training import Options, in_batches, minimise, sizes, validated

MARKS = 16  # of the thermometer on which a level is read
NUMBERS_AT_ONCE = 2**24
SAMPLES_AT_ONCE, NUMBERS_KEPT = 200, 2**27  # a pixel of 200 images takes little longer than one of 40


class Causal(Protocol):
    """A convolution of images that looks at no later pixel: `margins` pixels to the left, to the right and above."""

    margins: tuple[int, int, int]

    def __call__(self, x: Tensor, /) -> Tensor: ...  # (n, inputs, H, W), with its own padding

    def at_centre(self, windows: Tensor, /) -> Tensor: ...  # without: where the whole filter fits


class WholeImage:
    """How a network sees an image in training: all pixels at once."""

    def convolve(self, layer: Causal, x: Tensor) -> Tensor:
        """The layer's output for its input (n, inputs, H, W)."""
        return layer(x)

    def crop(self, planes: Tensor) -> Tensor:
        """The part of the planes (features, H, W) that is looked at."""
        return planes


class Part:
    """How a network sees an image in sampling: `columns` of one `row`, with the layers' inputs at what came before.

    All that a layer needs of the past lies within its filter, so one image costs about one pass over the whole image.
    """

    def __init__(self, n: int, height: int, width: int) -> None:
        self.n, self.height, self.width = n, height, width
        self.row, self.columns = 0, slice(0, width)
        self.inputs: dict[Causal, Tensor] = {}

    def keep(self, layer: Causal, x: Tensor) -> Tensor:
        """Note the layer's input at this part (n, inputs, 1, columns); returns all of them with the layer's padding."""
        left, right, above = layer.margins
        if layer not in self.inputs:
            self.inputs[layer] = x.new_zeros(self.n, x.shape[1], self.height + above, left + self.width + right)
        here = slice(left + self.columns.start, left + self.columns.stop)
        self.inputs[layer][:, :, self.row + above, here] = x[:, :, 0]
        return self.inputs[layer]

    def convolve(self, layer: Causal, x: Tensor) -> Tensor:
        """The layer's output at this part for its input there, (n, inputs, 1, columns), which is kept for later."""
        left, right, above = layer.margins
        rows = slice(self.row, self.row + above + 1)
        columns = slice(self.columns.start, left + self.columns.stop + right)
        return layer.at_centre(self.keep(layer, x)[:, :, rows, columns])

    def crop(self, planes: Tensor) -> Tensor:
        """The planes (features, H, W) at this part: (features, 1, columns)."""
        return planes[:, self.row : self.row + 1, self.columns]


View = WholeImage | Part


class RasterModel(Model):
    """p(x) = prod_d p(x_d | x_<d). A subclass gives the conditionals, and draws images from them."""

    name: ClassVar[str]
    log_prob_kind: Literal["exact"] = "exact"
    truncation: Literal["temperature"] = "temperature"

    def __init__(self, spec: SampleSpec, config: object = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels(self.name, spec)
        self.channels, self.height, self.width = require_image(self.name, spec)
        self.marks = min(MARKS, self.levels - 1)
        # What is alive at a time for one pixel bounds the memory of one item.
        numbers = max(self.levels, self.numbers()) * spec.size
        self.items_at_once = max(1, min(250, NUMBERS_AT_ONCE // numbers))
        self.samples_at_once = max(self.items_at_once, min(SAMPLES_AT_ONCE, NUMBERS_KEPT // numbers))

    def numbers(self) -> int:
        """The largest number of activations that are alive at a time for one pixel and channel."""
        raise NotImplementedError

    def log_masses(self, x: Tensor) -> Tensor:
        """log p(x_d | x_<d) of each pixel and channel, in nats: (n, C, H, W)."""
        raise NotImplementedError

    def draw(self, n: int, psi: float) -> Tensor:
        """n images, uint8 (n, C, H, W), with all logits divided by psi."""
        raise NotImplementedError

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the likelihood of the train split; the loss is in nats per dimension."""

        def nats(x: Tensor) -> Tensor:
            return -self.log_masses(x).flatten(1).sum(1).mean()

        split = validated(dataset, self.config.validation)
        options = Options(average=0.995, score=nats, at_once=self.items_at_once)
        return minimise(lambda x: nats(x) / self.spec.size, self, split, budget, self.config, options)

    def thermometer(self, x: Tensor) -> Tensor:
        """Levels (n, C, h, w) as heights on a thermometer, (n, C * marks, h, w): every mark is 0, 1 or, once, between.

        It lets the first layer be non-linear in the level, and yet treat near levels nearly alike.
        """
        height = x.float().unsqueeze(2) * (self.marks / (self.levels - 1))
        marks = torch.arange(self.marks, device=x.device)[:, None, None]
        return (height - marks).clamp(0, 1).flatten(1, 2)

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """log p(x) in nats: float64 (n,)."""
        x = self.accept(x)
        return in_batches(lambda part: self.log_masses(part).double().flatten(1).sum(1), x, self.items_at_once)

    def sample(self, n: int, /) -> Tensor:
        """n images of the model: uint8 (n, C, H, W)."""
        return self.sample_truncated(n, psi=1.0)

    @torch.no_grad()
    def sample_truncated(self, n: int, /, *, psi: float) -> Tensor:
        """n images with all logits divided by the temperature psi > 0; 1.0 is no truncation."""
        if not psi > 0:
            raise InputError(f"psi must be positive, got {psi}")
        return torch.cat([self.draw(part, psi) for part in sizes(n, self.samples_at_once)])
