"""The GAN that animates an image by a continuous condition.

Lecture topic: image-to-image translation. The generator makes two masks: attention A says where the source stays as it
is, colour C what takes its place elsewhere. The critic says whether an image is real, and which condition it shows.
Training needs no pairs, only images whose condition is known.

References: A. Pumarola, A. Agudo, A. Martinez, A. Sanfeliu and F. Moreno-Noguer, "GANimation: Anatomically-aware
Facial Animation from a Single Image" (2018); I. Gulrajani et al., "Improved Training of Wasserstein GANs" (2017), for
the gradient penalty.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import SampleSpec
from genbench.errors import ModelError
from zoo.adversarial.penalties import gradient_penalty
from zoo.translation import translator
from zoo.translation.networks import ResidualGenerator, patch_features


@dataclass(frozen=True, slots=True)
class Config(translator.Config):
    """The networks and the weights of their losses, the paper's lambdas; see `translator.Config` for their training.

    `width`, `blocks`: channels of the generator at the full resolution, and its residual blocks. `critic_width`,
    `patches`: channels of the critic at the full resolution, and how often it halves that. `penalty`: of the gradient
    penalty. `condition`: of the condition's squared error. `returning`: of the L1 distance between an image and what
    comes back when its own condition is asked for again (the paper's identity loss). `saturation`, `smoothness`: of the
    attention mask's mean square, and of its squared differences between neighbours.
    """

    source_channels: int = 2
    batch: int = 25
    critic_steps: int = 5
    rate: float = 1e-4
    discriminator_rate: float = 1e-4
    width: int = 64
    blocks: int = 6
    critic_width: int = 64
    patches: int = 5
    penalty: float = 10.0
    condition: float = 4000.0
    returning: float = 10.0
    saturation: float = 0.1
    smoothness: float = 0.001

    def __post_init__(self) -> None:
        translator.Config.__post_init__(self)
        if min(self.width, self.blocks, self.critic_width, self.patches) < 1:
            raise ValueError(f"widths, blocks and patches must be positive, got {self}")
        if min(self.penalty, self.condition, self.returning, self.saturation, self.smoothness) < 0:
            raise ValueError(f"weights of losses must not be negative, got {self}")


class Critic(nn.Module):
    """Images (n, C, H, W) to the scores of their patches (n, 1, h, w) and the conditions (n, K) that they show."""

    def __init__(self, shape: tuple[int, int, int], conditions: int, config: Config) -> None:
        super().__init__()
        self.features = patch_features(shape[0], config.critic_width, config.patches)
        _, channels, *grid = self.features(torch.zeros(1, *shape)).shape
        self.score = nn.Conv2d(channels, 1, 1)
        self.condition = nn.Conv2d(channels, conditions, tuple(grid))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(images)
        return self.score(features), self.condition(features).flatten(1)


class GANimation(translator.Translator):
    """y = (1 - A) C + A x, with masks A in [0, 1] (1 keeps the source) and C in [-1, 1], of an image x and a condition.

    A source is an image and, in channels of their own, the requested values of the condition, each a constant plane.
    The images of the sources serve no training: the targets, which show the conditions of the planes, are all it needs.
    """

    Config = Config
    name = "ganimation"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c, channels = self.config, spec.shape[0]
        self.conditions = c.source_channels - channels
        if self.conditions < 1:
            raise ModelError(
                f"{self.name} models sources of an image and planes of a condition, not of {c.source_channels} "
                f"channels for targets of {channels}"
            )
        self.generator = ResidualGenerator(c.source_channels, channels + 1, c.width, c.blocks)

    def masks(self, image: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Attention A (n, 1, H, W) and colour C (n, C, H, W) for images (n, C, H, W) and conditions (n, K)."""
        planes = condition[:, :, None, None].expand(-1, -1, *image.shape[2:])
        made = self.generator(torch.cat([image, planes], 1))
        return torch.sigmoid(made[:, :1]), torch.tanh(made[:, 1:])

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The images (n, C, H, W) and the conditions (n, K) of sources in [-1, 1]."""
        channels = self.spec.shape[0]
        return x[:, :channels], x[:, channels:].mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        image, condition = self.split(x)
        return blended(image, *self.masks(image, condition))

    def discriminator_network(self) -> nn.Module:
        return Critic(self.image_shape, self.conditions, self.config)

    def asked(self, condition: Tensor) -> Tensor:
        """Conditions to ask for: those of the other images, in random order."""
        return condition[torch.randperm(len(condition), device=condition.device)]

    def discriminator_loss(self, discriminator: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """D(G(y, c')) - D(y) with the gradient penalty, and the squared error of the condition that D reads."""
        condition = self.split(x)[1]
        with torch.no_grad():
            fake = self.seen(blended(y, *self.masks(y, self.asked(condition))))
        real = self.seen(y)
        scores, read = discriminator(real)
        distance = discriminator(fake)[0].mean() - scores.mean()
        penalty = gradient_penalty(lambda images: discriminator(images)[0].mean((1, 2, 3)), real, fake)
        return distance + self.config.penalty * penalty + self.config.condition * F.mse_loss(read, condition)

    def generator_loss(self, discriminator: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """-D(G(y, c')), the error of the condition that D reads, the way back to y, and the losses of A."""
        c, condition = self.config, self.split(x)[1]
        wanted = self.asked(condition)
        attention, colour = self.masks(y, wanted)
        made = blended(y, attention, colour)
        again, colour_again = self.masks(made, condition)
        scores, read = discriminator(self.seen(made))
        loss = c.condition * F.mse_loss(read, wanted) - scores.mean()
        loss = loss + c.returning * F.l1_loss(blended(made, again, colour_again), y)
        for mask in (attention, again):
            loss = loss + c.saturation * mask.square().mean() + c.smoothness * roughness(mask)
        return loss


def blended(image: Tensor, attention: Tensor, colour: Tensor) -> Tensor:
    """(1 - A) C + A x: the image where the attention is 1, the colour where it is 0."""
    return (1 - attention) * colour + attention * image


def roughness(mask: Tensor) -> Tensor:
    """The squared differences of neighbours in masks (n, 1, H, W), summed over an image, the mean over images."""
    down, right = mask.diff(dim=2), mask.diff(dim=3)
    return (down.square().sum((1, 2, 3)) + right.square().sum((1, 2, 3))).mean()
