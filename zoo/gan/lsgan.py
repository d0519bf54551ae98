"""The least squares generative adversarial network.

Lecture topic: generative adversarial networks, other losses. The discriminator's scores are regressed on 1 for real
images and 0 for generated ones, and the generator's images on 1; what is already taken for real but lies far from the
data is still pulled towards it, where the logistic loss would be content. At the best discriminator the generator
descends the Pearson chi-squared divergence, for targets half a unit further apart than these. The networks are those of
`dcgan`.

References: X. Mao, Q. Li, H. Xie, R. Lau, Z. Wang and S. Smolley, "Least Squares Generative Adversarial Networks"
(2017), with its targets a = 0, b = c = 1.
"""

from __future__ import annotations

from zoo.adversarial import losses
from zoo.gan.dcgan import DCGAN


class LSGAN(DCGAN):
    """Scores are regressed, not classified."""

    name = "lsgan"
    discriminator_loss = staticmethod(losses.least_squares)
    generator_loss = staticmethod(losses.least_squares_generator)
