"""What the progressive and the style-based GANs share: equalised layers, blur, the discriminator, its loss and penalty.

References: T. Karras, T. Aila, S. Laine and J. Lehtinen, "Progressive Growing of GANs for Improved Quality, Stability,
and Variation" (2018); T. Karras, S. Laine and T. Aila, "A Style-Based Generator Architecture for Generative Adversarial
Networks" (2019), for the blur; L. Mescheder, A. Geiger and S. Nowozin, "Which Training Methods for GANs do actually
Converge?" (2018), for the penalty R1; T. Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020),
for applying it in a few steps only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.adversarial import losses
from zoo.adversarial.penalties import r1
from zoo.gan import base
from zoo.gan.resolutions import channels, grids, halve

RELU_GAIN = math.sqrt(2)  # a rectifier halves the second moment


@dataclass(frozen=True, slots=True)
class Config(base.Config):
    """The discriminator and its penalty; see `base.Config` for the input and the training.

    `width`: channels at the full resolution, doubled with every halving of it. `penalty`: the weight gamma of R1.
    `penalty_every`: R1 enters every so many steps, as many times as strong.
    """

    latent: int = 512
    momentum: float = 0.0
    squares: float = 0.99
    average: float = 0.999
    rate: float = 2e-3
    discriminator_rate: float = 2e-3
    width: int = 64
    penalty: float = 10.0
    penalty_every: int = 16

    def __post_init__(self) -> None:
        base.Config.__post_init__(self)
        if min(self.width, self.penalty_every) < 1 or self.penalty < 0:
            raise ValueError(f"width and penalty_every must be positive and penalty not negative, got {self}")


class EqualisedLinear(nn.Module):
    """A linear map whose weights are N(0, 1) at first and are multiplied by He's constant whenever they are used.

    Adam's steps do not depend on the scale of a gradient: so weights of equal scale all learn at one speed. `speed`
    multiplies that of this layer, and leaves what it computes at first as it is. `bias` is what biases are at first.
    """

    def __init__(
        self, inputs: int, outputs: int, gain: float = RELU_GAIN, speed: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / speed)
        self.bias = nn.Parameter(torch.full((outputs,), bias / speed))
        self.scale, self.speed = gain / math.sqrt(inputs) * speed, speed

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.speed)


class EqualisedConv(nn.Module):
    """A convolution that keeps the resolution, of odd `size`, with weights as in `EqualisedLinear`."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, gain: float = RELU_GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs * size**2)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding="same")


class PixelNorm(nn.Module):
    """Every pixel's features divided by their root mean square over the channels (axis 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class Blur(nn.Module):
    """The binomial filter [1 2 1] / 4 along both axes, with the border repeated: a low-pass around doublings."""

    def forward(self, x: Tensor) -> Tensor:
        for axis in (2, 3):
            n = x.shape[axis]
            before = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, n - 1)], axis)
            after = torch.cat([x.narrow(axis, 1, n - 1), x.narrow(axis, n - 1, 1)], axis)
            x = (before + after) / 4 + x / 2
        return x


class MinibatchDeviation(nn.Module):
    """One more channel: the standard deviation of a feature over the minibatch, averaged over features and pixels.

    By it the discriminator sees how varied a minibatch is, and a generator without variety gives itself away.
    """

    def forward(self, x: Tensor) -> Tensor:
        deviation = (x.var(0, correction=0) + 1e-8).sqrt().mean()
        return torch.cat([x, deviation.expand(len(x), 1, *x.shape[2:])], 1)


class Discriminator(nn.Module):
    """Maps images (n, C, h, w) to scores (n, 1), over as many stages as the images have been grown by.

    `grown`: how many of the doublings from the coarsest grid are in use; a fraction alpha of the last one means that
    its convolutions are blended with the coarser image at hand, as alpha to 1 - alpha. `blurred`: whether features pass
    a binomial filter before they are halved.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, blurred: bool = False) -> None:
        super().__init__()
        sizes = grids(*shape[1:])
        wide = channels(width, len(sizes))
        blur = (Blur(),) if blurred else ()
        self.grown: float = len(sizes) - 1
        self.from_image = nn.ModuleList(
            nn.Sequential(EqualisedConv(shape[0], features, 1), nn.LeakyReLU(0.2)) for features in wide
        )
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(EqualisedConv(fine, fine), nn.LeakyReLU(0.2), *blur, EqualisedConv(fine, coarse), nn.LeakyReLU(0.2))
            )
            for coarse, fine in zip(wide, wide[1:], strict=False)
        )
        self.head = head(wide[0], sizes[0])

    def forward(self, images: Tensor) -> Tensor:
        last = math.ceil(self.grown)
        alpha = 1 - (last - self.grown)
        x = self.from_image[last](images)
        for stage in range(last, 0, -1):
            x = halve(self.stages[stage - 1](x))
            if stage == last and alpha < 1:
                x = torch.lerp(self.from_image[stage - 1](halve(images)), x, alpha)
        return self.head(x)


def head(features: int, grid: tuple[int, int]) -> nn.Sequential:
    """The last layers of a discriminator: features (n, C, h, w) on the coarsest grid to scores (n, 1)."""
    return nn.Sequential(
        MinibatchDeviation(),
        EqualisedConv(features + 1, features),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        EqualisedLinear(features * math.prod(grid), features),
        nn.LeakyReLU(0.2),
        EqualisedLinear(features, 1, gain=1.0),
    )


class RegularisedGAN(base.GAN):
    """The non-saturating loss with the penalty R1, which lets the players come to rest at the data."""

    Config = Config
    discriminator_loss = staticmethod(losses.logistic)
    generator_loss = staticmethod(losses.nonsaturating)
    step = 0

    def discriminator_network(self) -> nn.Module:
        return Discriminator(self.image_shape, self.config.width)

    def begin_step(self, discriminator: nn.Module, step: int, steps: int) -> None:
        self.step = step

    def discriminator_penalty(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor | float:
        """gamma / 2 times the mean squared gradient of the scores at the data, in every so many steps."""
        every = self.config.penalty_every
        return 0.0 if self.step % every else self.config.penalty / 2 * every * r1(discriminator, real)
