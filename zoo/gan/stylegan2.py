"""The style-based generator without artefacts: styles enter the weights of convolutions, not their outputs' moments.

Lecture topic: generative adversarial networks, disentangled control. Adaptive instance normalisation forgets how strong
features are relative to each other, and the generator paints droplets to smuggle that through. Here a style scales a
convolution's inputs (modulation), and the weights are divided by what that does to the outputs' expected deviation
(demodulation); images are sums of what all resolutions paint, the discriminator has residual blocks, and no progressive
growing is needed. The path length penalty asks for steps in w to change images by a constant amount.

References: T. Karras, S. Laine, M. Aittala, J. Hellsten, J. Lehtinen and T. Aila, "Analyzing and Improving the Image
Quality of StyleGAN" (2020).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.adversarial.penalties import path_lengths
from zoo.gan import stylegan
from zoo.gan.equalised import Blur, EqualisedConv, EqualisedLinear, head
from zoo.gan.resolutions import channels, enlarge, grids, halve


@dataclass(frozen=True, slots=True)
class Config(stylegan.Config):
    """See `stylegan.Config`. `path_penalty`: weight of the path length penalty, which enters every `path_every` steps,
    as many times as strong, on half a batch."""

    path_penalty: float = 2.0
    path_every: int = 4

    def __post_init__(self) -> None:
        stylegan.Config.__post_init__(self)
        if self.path_every < 1 or self.path_penalty < 0:
            raise ValueError(f"path_every must be positive and path_penalty not negative, got {self}")


class ModulatedConv(nn.Module):
    """A convolution whose weights are those of all images, scaled by the style of each (`demodulated`: and back).

    Scaling the inputs by the style, and the outputs by the inverse norm of each output's modulated weights, is the same
    as a convolution with weights of its own for every image.
    """

    def __init__(self, inputs: int, outputs: int, style: int, size: int = 3, demodulated: bool = True) -> None:
        super().__init__()
        self.style = EqualisedLinear(style, inputs, gain=1.0, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.scale, self.demodulated = 1 / math.sqrt(inputs * size**2), demodulated

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style, weight = self.style(w), self.weight * self.scale
        x = F.conv2d(x * style[:, :, None, None], weight, padding="same")
        if self.demodulated:
            squares = style.square() @ weight.square().sum((2, 3)).T
            x = x * (squares + 1e-8).rsqrt()[:, :, None, None]
        return x


class StyledLayer(nn.Module):
    """A modulated convolution, blurred where it follows an enlargement; noise, a bias and a rectifier."""

    def __init__(self, inputs: int, outputs: int, style: int, blurred: bool = False) -> None:
        super().__init__()
        self.convolution = ModulatedConv(inputs, outputs, style)
        self.blur = Blur() if blurred else nn.Identity()
        self.noise = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.blur(self.convolution(x, w))
        noise = self.noise * torch.randn(len(x), 1, *x.shape[2:], device=x.device)
        return F.leaky_relu(x + noise + self.bias, 0.2) * math.sqrt(2)


class Painter(nn.Module):
    """What one resolution adds to the image: a modulated convolution of one pixel, without demodulation."""

    def __init__(self, inputs: int, channels: int, style: int) -> None:
        super().__init__()
        self.convolution = ModulatedConv(inputs, channels, style, size=1, demodulated=False)
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.convolution(x, w) + self.bias


class Synthesis(nn.Module):
    """Maps one w for each of its layers, one at first and two to every further resolution, to images (n, C, H, W)."""

    def __init__(self, shape: tuple[int, int, int], latent: int, width: int) -> None:
        super().__init__()
        self.grids = grids(*shape[1:])
        wide = channels(width, len(self.grids))
        self.constant = nn.Parameter(torch.randn(1, wide[0], *self.grids[0]))
        layers = [StyledLayer(wide[0], wide[0], latent)]
        for coarse, fine in zip(wide, wide[1:], strict=False):
            layers += [StyledLayer(coarse, fine, latent, blurred=True), StyledLayer(fine, fine, latent)]
        self.layers = nn.ModuleList(layers)
        self.painters = nn.ModuleList(Painter(features, shape[0], latent) for features in wide)
        self.blur = Blur()

    def forward(self, styles: Tensor) -> Tensor:
        x = self.layers[0](self.constant.expand(len(styles), -1, -1, -1), styles[:, 0])
        image = self.painters[0](x, styles[:, 0])
        for level, grid in enumerate(self.grids[1:], 1):
            first, second = 2 * level - 1, 2 * level
            x = self.layers[first](enlarge(x, grid), styles[:, first])
            x = self.layers[second](x, styles[:, second])
            image = self.blur(enlarge(image, grid)) + self.painters[level](x, styles[:, second])
        return image


class ResidualStage(nn.Module):
    """Two convolutions, the second of which halves the sides, beside a shorter way; both have half of the variance."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.first, self.second = EqualisedConv(fine, fine), EqualisedConv(fine, coarse)
        self.skip = EqualisedConv(fine, coarse, 1, gain=1.0)
        self.blur = Blur()

    def forward(self, x: Tensor) -> Tensor:
        y = self.blur(F.leaky_relu(self.first(x), 0.2))
        y = F.leaky_relu(halve(self.second(y)), 0.2)
        return (y + self.skip(halve(self.blur(x)))) / math.sqrt(2)


class Discriminator(nn.Module):
    """Maps images (n, C, H, W) to scores (n, 1) by residual blocks."""

    def __init__(self, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        sizes = grids(*shape[1:])
        wide = channels(width, len(sizes))[::-1]
        self.from_image = nn.Sequential(EqualisedConv(shape[0], wide[0], 1), nn.LeakyReLU(0.2))
        self.stages = nn.Sequential(
            *(ResidualStage(fine, coarse) for fine, coarse in zip(wide, wide[1:], strict=False))
        )
        self.head = head(wide[-1], sizes[0])

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stages(self.from_image(images)))


class Generator(stylegan.Generator):
    """The mapping and the synthesis network, with the mean path length that training aims at."""

    path_mean: Tensor

    def __init__(self, config: Config, synthesis: nn.Module) -> None:
        super().__init__(config, synthesis)
        self.register_buffer("path_mean", torch.zeros(()))

    def path_penalty(self, z: Tensor) -> Tensor:
        """(||J^T y|| - a)^2 for the w of z (n, latent), where a is a running mean of the lengths."""
        w = self.mapping(z)[:, None].expand(-1, len(self.synthesis.layers), -1)
        lengths = path_lengths(self.synthesis(w), w)
        self.path_mean.lerp_(lengths.mean().detach(), 0.01)
        return (lengths - self.path_mean).square().mean()


class StyleGAN2(stylegan.StyleGAN):
    """Modulated and demodulated weights, images summed over resolutions, a residual discriminator."""

    Config = Config
    name = "stylegan2"

    def generator_network(self) -> nn.Module:
        return Generator(self.config, Synthesis(self.image_shape, self.config.latent, self.config.width))

    def discriminator_network(self) -> nn.Module:
        return Discriminator(self.image_shape, self.config.width)

    def generator_penalty(self) -> Tensor | float:
        """The path length penalty, in every so many steps."""
        c = self.config
        if self.step % c.path_every:
            return 0.0
        half = self.sample_latent(max(1, c.batch // 2))
        return c.path_penalty * c.path_every * self.generator.path_penalty(half)
