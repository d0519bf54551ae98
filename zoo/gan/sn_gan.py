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

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from zoo.adversarial import losses
from zoo.gan import critic


@dataclass(frozen=True, slots=True)
class Config(critic.Config):
    """See `critic.Config`; the rates and betas are those of the paper's best setting."""

    momentum: float = 0.5
    squares: float = 0.999


class SNGAN(critic.CriticGAN):
    """Every layer of the discriminator has spectral norm 1."""

    Config = Config
    name = "sn-gan"
    discriminator_loss = staticmethod(losses.hinge)
    generator_loss = staticmethod(losses.critic_score)

    def discriminator_network(self) -> nn.Module:
        return super().discriminator_network().apply(normalise)


def normalise(module: nn.Module) -> None:
    """Replace the weight of a linear map by its quotient with its largest singular value."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        spectral_norm(module)
