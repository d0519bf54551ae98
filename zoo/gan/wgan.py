"""The Wasserstein generative adversarial network, with clipped weights.

Lecture topic: Wasserstein GANs. Over functions f that are K-Lipschitz, the supremum of E[f(x)] - E[f(G(z))] is K times
the Wasserstein distance between data and model; a critic whose weights all lie within [-clip, clip] is K-Lipschitz for
some K, and the generator descends the distance that it estimates. The critic is trained towards its optimum: five
steps for each of the generator's, and, as in the authors' code, many at first and again from time to time.

References: M. Arjovsky, S. Chintala and L. Bottou, "Wasserstein Generative Adversarial Networks" (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from zoo.adversarial import losses
from zoo.gan import critic


@dataclass(frozen=True, slots=True)
class Config(critic.Config):
    """See `critic.Config`; the rates are RMSprop's here, and `momentum` and `squares` have no use.

    `clip`: the largest absolute value of a critic's weight. `long_steps`: steps of the critic before each of the
    generator's first `long_first` steps and before every `long_every`-th.
    """

    rate: float = 5e-5
    discriminator_rate: float = 5e-5
    clip: float = 0.01
    long_steps: int = 100
    long_first: int = 25
    long_every: int = 500

    def __post_init__(self) -> None:
        critic.Config.__post_init__(self)
        if not self.clip > 0:
            raise ValueError(f"clip must be positive, got {self}")
        if min(self.long_steps, self.long_every) < 1 or self.long_first < 0:
            raise ValueError(f"long_steps and long_every must be positive and long_first not negative, got {self}")


class WGAN(critic.CriticGAN):
    """The critic is Lipschitz because its weights are clipped after each of its steps."""

    Config = Config
    name = "wgan"
    discriminator_loss = staticmethod(losses.wasserstein)
    generator_loss = staticmethod(losses.critic_score)

    def optimiser(self, player: nn.Module, rate: float) -> torch.optim.Optimizer:
        """RMSprop: the paper found a momentum to unsettle the critic, whose loss changes with the generator."""
        return torch.optim.RMSprop(player.parameters(), rate)

    def critic_steps_at(self, step: int) -> int:
        c = self.config
        return c.long_steps if step <= c.long_first or step % c.long_every == 0 else c.critic_steps

    @torch.no_grad()
    def constrain(self, discriminator: nn.Module) -> None:
        for parameter in discriminator.parameters():
            parameter.clamp_(-self.config.clip, self.config.clip)
