"""The losses of adversarial training, as plain functions of a discriminator's scores, high for what it takes for real.

Scores may have any shape, one per image or one per patch; every expectation is the mean over all of them. Logarithms
are natural.

References: I. Goodfellow et al., "Generative Adversarial Nets" (2014); X. Mao et al., "Least Squares Generative
Adversarial Networks" (2017); M. Arjovsky, S. Chintala and L. Bottou, "Wasserstein Generative Adversarial Networks"
(2017); J. Lim and J. Ye, "Geometric GAN" (2017).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def logistic(real: Tensor, fake: Tensor) -> Tensor:
    """-E[log D(x)] - E[log(1 - D(G(z)))], where scores are the logits of D."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def minimax(fake: Tensor) -> Tensor:
    """E[log(1 - D(G(z)))], which the generator descends; flat where D is sure of a fake."""
    return -F.softplus(fake).mean()


def nonsaturating(fake: Tensor) -> Tensor:
    """-E[log D(G(z))], whose gradient stays strong where D is sure of a fake."""
    return F.softplus(-fake).mean()


def least_squares(real: Tensor, fake: Tensor) -> Tensor:
    """(E[(D(x) - 1)^2] + E[D(G(z))^2]) / 2."""
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def least_squares_generator(fake: Tensor) -> Tensor:
    """E[(D(G(z)) - 1)^2] / 2."""
    return (fake - 1).square().mean() / 2


def wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    """-(E[f(x)] - E[f(G(z))]): the distance, up to the critic's Lipschitz constant, with its sign changed."""
    return fake.mean() - real.mean()


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]: a margin on both sides, and nothing to gain beyond it."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def critic_score(fake: Tensor) -> Tensor:
    """-E[f(G(z))], the generator's part of the Wasserstein distance and of the hinge loss."""
    return -fake.mean()
