"""The style-based generator: a constant, painted over by styles that enter every layer, and by noise.

Lecture topic: generative adversarial networks, disentangled control. A mapping network turns z into w, whose learned
affine maps give every layer's channels their mean and deviation (adaptive instance normalisation): coarse layers decide
on the shape, fine ones on the strokes; noise at every pixel does what is left to chance, and most training images take
their styles from two w. Truncation draws w towards its mean. The synthesis network has all its resolutions from the
start. In `stylegan-modes`, z first chooses a mode, and w has a mean in every mode to be drawn to: between the digits
lies nothing that the mean of all could show.

References: T. Karras, S. Laine and T. Aila, "A Style-Based Generator Architecture for Generative Adversarial Networks"
(2019); X. Huang and S. Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization" (2017);
L. Mescheder, A. Geiger and S. Nowozin, "Which Training Methods for GANs do actually Converge?" (2018), for R1;
R. Mokady et al., "Self-Distilled StyleGAN: Towards Generation from Internet Photos" (2022), for more than one mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.errors import ModelError
from zoo.adversarial.game import ITEMS_AT_ONCE
from zoo.gan import equalised
from zoo.gan.equalised import Blur, EqualisedConv, EqualisedLinear, PixelNorm
from zoo.gan.modes import PickMode
from zoo.gan.resolutions import channels, enlarge, grids
from zoo.training import sizes

CODES = 20_000  # of which w_mean are the means


@dataclass(frozen=True, slots=True)
class Config(equalised.Config):
    """The style-based generator; see `equalised.Config` for the rest; `width` counts for both players.

    `depth`: layers of the mapping network, from z to w of equal dimension. `mapping_speed`: its learning rate relative
    to the other layers'. `mixing`: the chance that a training image takes its styles from two w.
    """

    depth: int = 8
    mapping_speed: float = 0.01
    mixing: float = 0.9

    def __post_init__(self) -> None:
        equalised.Config.__post_init__(self)
        if self.depth < 1 or self.mapping_speed <= 0 or not 0 <= self.mixing <= 1:
            raise ValueError(f"depth and mapping_speed must be positive and mixing within [0, 1], got {self}")


class AdaptiveInstanceNorm(nn.Module):
    """Gives every channel of every image the mean and the standard deviation that are linear in its w."""

    def __init__(self, features: int, style: int) -> None:
        super().__init__()
        self.style = EqualisedLinear(style, 2 * features, gain=1.0)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        deviation, mean = self.style(w)[:, :, None, None].chunk(2, 1)
        return (1 + deviation) * F.instance_norm(x) + mean


class Noise(nn.Module):
    """Adds Gaussian noise, the same for all channels of a pixel but for a learned factor of each channel."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(features, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * torch.randn(len(x), 1, *x.shape[2:], device=x.device)


class StyledLayer(nn.Module):
    """A convolution (`inputs` 0: none, where the constant comes in), blurred where it follows an enlargement; noise, a
    rectifier and the style."""

    def __init__(self, inputs: int, outputs: int, style: int, blurred: bool = False) -> None:
        super().__init__()
        self.convolution = EqualisedConv(inputs, outputs) if inputs else nn.Identity()
        self.blur = Blur() if blurred else nn.Identity()
        self.noise = Noise(outputs)
        self.norm = AdaptiveInstanceNorm(outputs, style)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.norm(F.leaky_relu(self.noise(self.blur(self.convolution(x))), 0.2), w)


class Synthesis(nn.Module):
    """Maps one w for each of its layers, two to a resolution, (n, layers, latent) to images (n, C, H, W)."""

    def __init__(self, shape: tuple[int, int, int], latent: int, width: int) -> None:
        super().__init__()
        self.grids = grids(*shape[1:])
        wide = channels(width, len(self.grids))
        self.constant = nn.Parameter(torch.ones(1, wide[0], *self.grids[0]))
        layers = []
        for coarse, fine in zip([0, *wide], wide, strict=False):
            layers += [StyledLayer(coarse, fine, latent, blurred=coarse > 0), StyledLayer(fine, fine, latent)]
        self.layers = nn.ModuleList(layers)
        self.to_image = EqualisedConv(wide[-1], shape[0], 1, gain=1.0)

    def forward(self, styles: Tensor) -> Tensor:
        x = self.constant.expand(len(styles), -1, -1, -1)
        for index, layer in enumerate(self.layers):
            if index > 0 and index % 2 == 0:
                x = enlarge(x, self.grids[index // 2])
            x = layer(x, styles[:, index])
        return self.to_image(x)


class Generator(nn.Module):
    """The mapping and a synthesis network, and the mean of w, or that of every mode, to which truncation leads."""

    w_mean: Tensor

    def __init__(self, config: Config, synthesis: nn.Module) -> None:
        super().__init__()
        latent, speed = config.latent, config.mapping_speed
        self.modes = config.modes
        layers = [PickMode(config.modes), PixelNorm()] if config.modes else [PixelNorm()]
        for _ in range(config.depth):
            layers += [EqualisedLinear(latent, latent, speed=speed), nn.LeakyReLU(0.2)]
        self.mapping = nn.Sequential(*layers)
        self.synthesis = synthesis
        self.register_buffer("w_mean", torch.zeros(max(1, config.modes), latent))

    def forward(self, z: Tensor) -> Tensor:
        return self.painted(self.mapping(z))

    def mode(self, z: Tensor) -> Tensor:
        """The mode (n,) that each z (n, latent) picks, the only one where there are none to pick from."""
        return z[:, : max(1, self.modes)].argmax(1)

    @torch.no_grad()
    def measure_means(self, z: Tensor) -> None:
        """Set `w_mean`, one row for all w or for every mode, to the mean over the w of z (n, latent)."""
        mode = self.mode(z)
        sums = torch.zeros_like(self.w_mean).index_add_(0, mode, self.mapping(z))
        self.w_mean.copy_(sums / mode.bincount(minlength=len(sums)).clamp(min=1)[:, None])

    @torch.no_grad()
    def truncated(self, z: Tensor, psi: float) -> Tensor:
        """w_mean + psi (w - w_mean) for the w of z (n, latent) and their mean, or that of their modes."""
        return torch.lerp(self.w_mean[self.mode(z)], self.mapping(z), psi)

    def painted(self, w: Tensor) -> Tensor:
        """The images (n, C, H, W) of w (n, latent), the same in all layers."""
        return self.synthesis(w[:, None].expand(-1, len(self.synthesis.layers), -1))

    def mixed(self, first: Tensor, second: Tensor, crossover: Tensor) -> Tensor:
        """The images of two w (n, latent): the first up to the layer `crossover` (n,), the second from it on."""
        layer = torch.arange(len(self.synthesis.layers), device=first.device)
        return self.synthesis(torch.where((layer < crossover[:, None])[:, :, None], first[:, None], second[:, None]))


class StyleGAN(equalised.RegularisedGAN):
    """The style-based generator against the discriminator of the progressive GAN, grown to full size at once."""

    Config = Config
    name = "stylegan"
    truncation: Literal["threshold", "interpolation"] = "interpolation"

    def generator_network(self) -> nn.Module:
        return Generator(self.config, Synthesis(self.image_shape, self.config.latent, self.config.width))

    def discriminator_network(self) -> nn.Module:
        return equalised.Discriminator(self.image_shape, self.config.width, blurred=True)

    def imagine(self, n: int, labels: Tensor | None) -> Tensor:
        """n images, some of them of two w with a crossover at a random layer."""
        network = self.generator
        w = network.mapping(self.sample_latent(2 * n))
        layers = len(network.synthesis.layers)
        crossover = torch.randint(1, layers, (n,), device=self.device)
        alone = torch.rand(n, device=self.device) >= self.config.mixing
        return network.mixed(w[:n], w[n:], crossover.masked_fill(alone, layers))

    def settle(self) -> None:
        """Measure the mean of w with the averaged weights."""
        self.generator.measure_means(self.sample_latent(CODES))

    @torch.no_grad()
    def sample_truncated(self, n: int, /, *, psi: float) -> Tensor:
        """n images of w_mean + psi (w - w_mean): 1 is no truncation, 0 the mean's image but for the noise."""
        if not 0 <= psi < math.inf:
            raise ModelError(f"psi must be finite and not negative, got {psi}")
        network = self.generator
        styles = (network.truncated(self.sample_latent(part), psi) for part in sizes(n, ITEMS_AT_ONCE))
        return torch.cat([self.quantised(network.painted(w)) for w in styles])


class StyleGANModes(StyleGAN):
    """The same, but z first picks one of some modes, and truncation draws w to the mean of its mode."""

    name = "stylegan-modes"
