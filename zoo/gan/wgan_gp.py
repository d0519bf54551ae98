"""The Wasserstein generative adversarial network with a gradient penalty.

Lecture topic: Wasserstein GANs. The critic that attains the Wasserstein distance has gradients of norm 1 almost
everywhere on the straight lines between coupled real and generated images; the penalty asks for such gradients where
clipped weights would drive the critic to the simplest functions that clipping allows.

References: I. Gulrajani et al., "Improved Training of Wasserstein GANs" (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from zoo.adversarial import losses
from zoo.adversarial.penalties import gradient_penalty
from zoo.gan import critic


@dataclass(frozen=True, slots=True)
class Config(critic.Config):
    """See `critic.Config`; `penalty`: the weight lambda of the gradient penalty."""

    rate: float = 1e-4
    discriminator_rate: float = 1e-4
    momentum: float = 0.0
    squares: float = 0.9
    penalty: float = 10.0

    def __post_init__(self) -> None:
        critic.Config.__post_init__(self)
        if self.penalty < 0:
            raise ValueError(f"penalty must not be negative, got {self}")


class WGANGP(critic.CriticGAN):
    """The critic is nearly 1-Lipschitz where it matters, between the images of both kinds."""

    Config = Config
    name = "wgan-gp"
    discriminator_loss = staticmethod(losses.wasserstein)
    generator_loss = staticmethod(losses.critic_score)

    def discriminator_penalty(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        return self.config.penalty * gradient_penalty(discriminator, real, fake)
