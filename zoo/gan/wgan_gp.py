"""The Wasserstein generative adversarial network with a gradient penalty.

Lecture topic: Wasserstein GANs. The critic that attains the Wasserstein distance has gradients of norm 1 almost
everywhere on the straight lines between coupled real and generated images; the penalty asks for such gradients where
clipped weights would drive the critic to the simplest functions that clipping allows.

References: I. Gulrajani et al., "Improved Training of Wasserstein GANs" (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.gan import critic
from zoo.gan.wgan import Wasserstein


@dataclass(frozen=True, slots=True)
class Config(critic.Config):
    """See `critic.Config`; a small critic keeps up in fewer steps, of a larger rate, than the paper's five.

    `penalty`: the weight lambda of the gradient penalty.
    """

    steps: int = 1300
    critic_steps: int = 3
    rate: float = 2e-3
    discriminator_rate: float = 2e-3
    momentum: float = 0.0
    penalty: float = 10.0

    def __post_init__(self) -> None:
        critic.Config.__post_init__(self)
        if self.penalty < 0:
            raise ValueError(f"penalty must not be negative, got {self}")


class WGANGP(Wasserstein):
    """The critic is nearly 1-Lipschitz where it matters, between the images of both kinds."""

    Config = Config
    name = "wgan-gp"

    def discriminator_penalty(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """lambda E[(||grad f(x)|| - 1)^2] at x = e real + (1 - e) fake, e ~ U[0, 1] for each pair."""
        weight = torch.rand(len(real), 1, 1, 1, device=real.device)
        x = (weight * real + (1 - weight) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
        return self.config.penalty * (gradient.flatten(1).norm(dim=1) - 1).square().mean()
