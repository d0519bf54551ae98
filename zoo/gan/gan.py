"""The generative adversarial network of the first paper, with its minimax loss.

Lecture topic: generative adversarial networks. Both players move one value, min_G max_D E[log D(x)] +
E[log(1 - D(G(z)))]; at the best D it is 2 JS(data, model) - log 4. Where D wins, log(1 - D) is flat and the generator
learns next to nothing: that is what `gan-nonsaturating` changes. Unlike in the paper, Adam takes the steps.

References: I. Goodfellow et al., "Generative Adversarial Nets" (2014); D. Kingma and J. Ba, "Adam: A Method for
Stochastic Optimization" (2015).
"""

from __future__ import annotations

from zoo.adversarial import losses
from zoo.gan.perceptron import PerceptronGAN


class MinimaxGAN(PerceptronGAN):
    """The minimax loss between perceptrons."""

    name = "gan"
    discriminator_loss = staticmethod(losses.logistic)
    generator_loss = staticmethod(losses.minimax)
