"""The generative adversarial network with the loss that does not saturate.

Lecture topic: generative adversarial networks. The discriminator plays as before; the generator ascends log D(G(z))
rather than descend log(1 - D(G(z))). The equilibrium is the same, and the derivative by the discriminator's logit v is
sigmoid(v) - 1 in place of -sigmoid(v): near -1, not near 0, where the discriminator is sure of a fake.

References: I. Goodfellow et al., "Generative Adversarial Nets" (2014), section 3.
"""

from __future__ import annotations

from zoo.adversarial import losses
from zoo.gan.perceptron import PerceptronGAN


class NonSaturatingGAN(PerceptronGAN):
    """The networks and the training of `gan`."""

    name = "gan-nonsaturating"
    discriminator_loss = staticmethod(losses.logistic)
    generator_loss = staticmethod(losses.nonsaturating)
