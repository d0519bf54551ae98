"""What the models of an image as a sequence of pixels share: likelihood by the chain rule, and samples pixel by pixel.

Lecture topic: autoregressive models. p(x) = prod_d p(x_d | x_1, ..., x_(d-1)) in raster order, the channels of a pixel
one after the other, each conditional a softmax over the levels.

References: A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu, "Pixel Recurrent Neural Networks" (2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import InputError
from zoo.nn import Model, require_image, require_levels
from zoo.training import Options, in_batches, minimise, sizes, validated

MARKS = 16  # of the thermometer on which a level is read
NUMBERS_AT_ONCE = 2**24
SAMPLES_AT_ONCE, NUMBERS_KEPT = 200, 2**27  # a pixel of 200 images takes little longer than one of 40


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
