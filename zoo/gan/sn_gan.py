"""The generative adversarial network with spectral normalisation.

Lecture topic: spectral normalisation. Each linear map of the discriminator is divided by its largest singular value,
which a step of power iteration keeps track of; with 1-Lipschitz activations between them, the discriminator's Lipschitz
constant is bounded without a look at the data. A convolution's kernel counts as the matrix (out, in * height * width),
as in the paper. The loss is the hinge loss, which gives no gradient for images that are already told by a margin.

References: T. Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (2018); J. Lim and J. Ye,
"Geometric GAN" (2017), for the hinge loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from zoo.gan import critic


@dataclass(frozen=True, slots=True)
class Config(critic.Config):
    """See `critic.Config`."""

    steps: int = 3000
    rate: float = 5e-4
    momentum: float = 0.0


class Hinge:
    """Real images are to score above 1 and generated ones below -1, and no more than that."""

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]."""
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-E[D(G(z))]."""
        return -fake.mean()


class SNGAN(Hinge, critic.CriticGAN):
    """Every layer of the discriminator has spectral norm 1."""

    Config = Config
    name = "sn-gan"

    def discriminator_network(self) -> nn.Module:
        return super().discriminator_network().apply(normalise)


def normalise(module: nn.Module) -> None:
    """Replace the weight of a linear map by its quotient with its largest singular value."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        spectral_norm(module)
