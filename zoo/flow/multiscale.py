"""What the normalizing flows of several scales share: the change of variables, likelihoods and samples.

Lecture topic: normalizing flows. With z = f(y), the change of variables gives log p(y) = log N(z; 0, I) +
log |det dz/dy|; each scale finishes a part of z and hands the rest on to the next.

References: L. Dinh, J. Sohl-Dickstein and S. Bengio, "Density estimation using Real NVP" (2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec, Setting
from genbench.likelihood import dequantize, dequantized_log_prob, from_logits, quantize, to_logits
from zoo.nn import Model, require_image, require_levels
from zoo.training import Options, in_batches, minimise, sizes

Shape = tuple[int, int, int]


class MultiscaleFlow(Model):
    """y in [0, 1) -> logit -> scales -> z, of which the prior is a standard normal distribution.

    A subclass says which scales there are. Each maps what it is given to what goes on to the next (nothing, of 0
    channels, at the last), what is finished, and log |det| (n,); its `inverse` puts both together again.
    """

    name: ClassVar[str]
    log_prob_kind: Literal["lower_bound"] = "lower_bound"
    truncation: Literal["temperature"] = "temperature"
    items_at_once = 250

    def __init__(self, spec: SampleSpec, config: object = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels(self.name, spec)
        self.latent_shape = (spec.size,)
        self.dequantization_samples = 16
        scales, self.finished_shapes = self.build_scales(require_image(self.name, spec))
        self.scales = nn.ModuleList(scales)

    def build_scales(self, shape: Shape) -> tuple[list[nn.Module], list[Shape]]:
        """The scales for images (C, H, W), first to last, and the shape of what each of them finishes."""
        raise NotImplementedError

    def can_halve(self, height: int, width: int) -> bool:
        """Whether the sides are even, and their halves not below the smallest."""
        return height % 2 == width % 2 == 0 and min(height, width) >= 2 * self.config.smallest

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
            Options(self.config.average),
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
        x = z.new_zeros(len(z), 0, *self.finished_shapes[-1][1:])
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

        return in_batches(bound, self.accept(x), self.items_at_once)

    def sample_latent(self, n: int, /) -> Tensor:
        """n codes of the prior: float32 (n, size)."""
        return torch.randn(n, *self.latent_shape, device=self.device)

    @torch.no_grad()
    def decode(self, z: Tensor, /) -> Tensor:
        """The images, uint8 (n, C, H, W), of codes z (n, size)."""
        return in_batches(lambda part: quantize(self.invert(part), self.levels), z.to(self.device), self.items_at_once)

    def sample_truncated(self, n: int, /, *, psi: float) -> Tensor:
        """n images of codes with standard deviation `psi`, the temperature; 1 leaves the distribution as it is."""
        return torch.cat([self.decode(psi * self.sample_latent(size)) for size in sizes(n, self.items_at_once)])

    def sample(self, n: int, /) -> Tensor:
        """n images, uint8 (n, C, H, W)."""
        return self.sample_truncated(n, psi=1.0)
