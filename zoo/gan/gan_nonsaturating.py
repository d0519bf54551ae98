"""The generative adversarial network with the loss that does not saturate.

Lecture topic: generative adversarial networks. The discriminator plays as before; the generator ascends log D(G(z))
rather than descend log(1 - D(G(z))). The equilibrium is the same, and the derivative by the discriminator's logit v is
sigmoid(v) - 1 in place of -sigmoid(v): near -1, not near 0, where the discriminator is sure of a fake.

References: I. Goodfellow et al., "Generative Adversarial Nets" (2014), section 3.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from zoo.gan.gan import Minimax
from zoo.gan.perceptron import PerceptronGAN


class NonSaturating(Minimax):
    """The discriminator's loss of `gan`, and another for the generator."""

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-log D(G(z)), in nats, whose gradient stays strong where the discriminator wins."""
        return F.softplus(-fake).mean()


class NonSaturatingGAN(NonSaturating, PerceptronGAN):
    """The networks and the training of `gan`."""

    name = "gan-nonsaturating"
