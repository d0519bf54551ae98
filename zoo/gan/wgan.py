"""The Wasserstein generative adversarial network, with clipped weights.

Lecture topic: Wasserstein GANs. Over functions f that are K-Lipschitz, the supremum of E[f(x)] - E[f(G(z))] is K times
the Wasserstein distance between data and model; a critic whose weights all lie within [-clip, clip] is K-Lipschitz for
some K, and the generator descends the distance that it estimates.

References: M. Arjovsky, S. Chintala and L. Bottou, "Wasserstein Generative Adversarial Networks" (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.gan import critic


class Wasserstein(critic.CriticGAN):
    """The losses of critic and generator; a subclass keeps the critic Lipschitz."""

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-(E[f(x)] - E[f(G(z))]): the distance, up to the critic's Lipschitz constant, with its sign changed."""
        return fake.mean() - real.mean()

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-E[f(G(z))], the part of the distance that the generator moves."""
        return -fake.mean()


@dataclass(frozen=True, slots=True)
class Config(critic.Config):
    """See `critic.Config`; the rates are RMSprop's here, and `momentum` has no use.

    `clip`: the largest absolute value of a critic's weight.
    """

    steps: int = 1200
    critic_steps: int = 5
    rate: float = 5e-4
    discriminator_rate: float = 5e-4
    clip: float = 0.02

    def __post_init__(self) -> None:
        critic.Config.__post_init__(self)
        if not self.clip > 0:
            raise ValueError(f"clip must be positive, got {self}")


class WGAN(Wasserstein):
    """The critic is Lipschitz because its weights are clipped after each of its steps."""

    Config = Config
    name = "wgan"

    def optimiser(self, player: nn.Module, rate: float) -> torch.optim.Optimizer:
        """RMSprop: the paper found a momentum to unsettle the critic, whose loss changes with the generator."""
        return torch.optim.RMSprop(player.parameters(), rate)

    @torch.no_grad()
    def constrain(self, discriminator: nn.Module) -> None:
        for parameter in discriminator.parameters():
            parameter.clamp_(-self.config.clip, self.config.clip)
