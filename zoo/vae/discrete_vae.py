"""The discrete variational autoencoder, trained through the Gumbel-softmax relaxation.

Lecture topic: variational autoencoders with discrete latents. A categorical draw is the argmax of its logits plus
Gumbel noise; a softmax in the argmax's place lets gradients through, and the temperature, which falls during training,
brings it ever closer to the draw itself. The relaxation is for training only: samples and the bound that `log_prob`
reports are those of the model with hard latents.

References: E. Jang, S. Gu and B. Poole, "Categorical Reparameterization with Gumbel-Softmax" (2017); C. Maddison, A.
Mnih and Y. W. Teh, "The Concrete Distribution" (2017); Y. Burda et al., "Importance Weighted Autoencoders" (2016), for
the bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import Budget, Dataset, SampleSpec
from zoo.training import Memory, Options, in_batches, minimise, sizes
from zoo.vae.codes import Stage
from zoo.vae.latent import ITEMS_AT_ONCE, LatentModel


@dataclass(frozen=True, slots=True)
class Config:
    """The latents, the networks and their training.

    `variables`, `classes`: how many categorical latents there are, and of how many classes each. `hottest`, `coldest`:
    the temperature at the first and from the middle of training on; it falls geometrically. `hidden`: units of each of
    the two hidden layers of encoder and decoder. `features`: units per dimension of x in a further hidden layer of the
    decoder; 0 for a plain decoder, which has none. `dropout`: chance of dropping a unit of the others while training.
    `decay`: weight decay. `steps`, `batch`, `rate`: optimiser steps, items per step and initial rate. `lowest`: what
    the encoder sees of the lowest level; of the highest it sees 1.
    """

    variables: int = 16
    classes: int = 8
    hottest: float = 1.0
    coldest: float = 0.5
    hidden: int = 160
    features: int = 8
    dropout: float = 0.1
    decay: float = 0.01
    steps: int = 4000
    batch: int = 50
    rate: float = 3e-3
    lowest: float = -1.0

    def __post_init__(self) -> None:
        if min(self.variables, self.hidden, self.steps, self.batch) < 1 or self.features < 0 or self.classes < 2:
            raise ValueError(f"classes must be >= 2, features >= 0, other sizes, steps, batch positive, got {self}")
        if not 0 < self.coldest <= self.hottest:
            raise ValueError(f"temperatures must be positive and must not rise, got {self}")
        if not 0 <= self.dropout < 1 or self.decay < 0 or self.rate <= 0:
            raise ValueError(f"dropout must be within [0, 1), decay >= 0 and rate > 0, got {self}")


class DiscreteVAE(LatentModel):
    """p(x) = E[p(x|z)] over z of independent, uniform categorical variables; q(z|x) is categorical in each of them."""

    Config = Config
    name = "discrete-vae"

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        latent = self.config.variables * self.config.classes
        self.encoder = self.network(spec.size, latent)
        self.decoder = self.decoder_network(latent)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Maximise the relaxed ELBO while the temperature falls; `loss` is its negative in nats per dimension.

        While it falls, the weight of the divergence rises to 1: a decoder that has not yet learned what the latents say
        would otherwise have the encoder say nothing, and both would stay there. `divergence` is the KL of q(z|x) from
        the prior at the end, the mean over the train split in nats.
        """
        c = self.config
        self.start_without_latents(dataset.train)
        cooling, memory = max(1, (budget.steps or c.steps) // 2), Memory(step=0)

        def loss(x: Tensor) -> Tensor:
            progress = min(1.0, memory.step / cooling)
            memory.step += 1
            temperature = c.hottest * (c.coldest / c.hottest) ** progress
            return -self.relaxed_elbo(x, temperature, weight=progress).mean() / self.spec.size

        figures = minimise(loss, self, dataset.train, budget, c, Options(memory=memory))
        with torch.no_grad():
            x = self.accept(dataset.train)
            divergence = in_batches(lambda part: self.divergence(self.encode(part)), x, ITEMS_AT_ONCE)
        return {**figures, "divergence": divergence.mean().item()}

    def encode(self, x: Tensor) -> Tensor:
        """Log-probabilities of q(z|x): (n, variables, classes)."""
        logits = self.encoder(self.encoded_from(x)).unflatten(1, (self.config.variables, self.config.classes))
        return logits.log_softmax(-1)

    def parameters_given(self, z: Tensor) -> Tensor:
        """The parameters of p(x|z) for one-hot or relaxed z (n, variables, classes): (n, numbers, *shape)."""
        return self.decoded(z.flatten(1))

    def one_hot(self, z: Tensor) -> Tensor:
        """Classes int64 (n, variables) as (n, variables, classes)."""
        return F.one_hot(z, self.config.classes).float()

    def divergence(self, log_q: Tensor) -> Tensor:
        """KL(q(z|x) || p(z)), exactly, for log-probabilities (n, variables, classes): (n,), in nats."""
        return (log_q.exp() * log_q).sum((1, 2)) + self.config.variables * math.log(self.config.classes)

    def relaxed_elbo(self, x: Tensor, temperature: float, weight: float = 1.0) -> Tensor:
        """E_q[log p(x|z)] - weight KL(q(z|x) || p(z)) with one relaxed z and the KL in closed form: (n,), nats."""
        log_q = self.encode(x)
        z = gumbel_softmax(log_q, temperature)
        return self.observation.log_prob(self.parameters_given(z), x) - weight * self.divergence(log_q)

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z) of classes int64 (n, variables), which are uniform: (n,), nats."""
        return torch.full((len(z),), -self.config.variables * math.log(self.config.classes), device=z.device)

    def sample_codes(self, n: int) -> Tensor:
        """n draws of the prior: int64 (n, variables)."""
        return torch.randint(self.config.classes, (n, self.config.variables), device=self.device)

    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """log p(x, z) - log q(z|x) for k hard draws z of q(z|x): (k, n), nats."""
        log_q = self.encode(x).repeat(k, 1, 1)
        z = gumbel(log_q).add_(log_q).argmax(-1)
        log_proposal = log_q.gather(-1, z.unsqueeze(-1)).sum((1, 2))
        log_prior = self.log_prior(z)
        repeated = x.repeat(k, *[1] * len(self.spec.shape))
        given = self.observation.log_prob(self.parameters_given(self.one_hot(z)), repeated)
        return (given + log_prior - log_proposal).reshape(k, -1)

    @torch.no_grad()
    def sample(self, n: int, /) -> Tensor:
        """n items of the model that `log_prob` bounds: z ~ p(z), then x ~ p(x|z): uint8 (n, *shape)."""
        parts = [self.sample_codes(part) for part in sizes(n, ITEMS_AT_ONCE)]
        return torch.cat([self.observation.sample(self.parameters_given(self.one_hot(z))) for z in parts])

    @torch.no_grad()
    def reconstruct(self, x: Tensor, /) -> Tensor:
        """The median of p(x|z) at each variable's likeliest class: uint8 (n, *shape)."""

        def median(part: Tensor) -> Tensor:
            likeliest = self.encode(part).argmax(-1)
            return self.observation.median(self.parameters_given(self.one_hot(likeliest)))

        return in_batches(median, self.accept(x), ITEMS_AT_ONCE)


@dataclass(frozen=True, slots=True)
class PriorConfig(Config):
    """DiscreteVAE's fields, and those of the training of the prior, which comes after it.

    `prior_decay`, `prior_steps`, `prior_rate`: weight decay, optimiser steps and initial rate. Its minibatches are as
    large as the autoencoder's.
    """

    prior_decay: float = 0.1
    prior_steps: int = 2000
    prior_rate: float = 5e-3

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        if self.prior_steps < 1 or self.prior_decay < 0 or self.prior_rate <= 0:
            raise ValueError(f"prior_steps and prior_rate must be positive and prior_decay >= 0, got {self}")


class Chain(nn.Module):
    """p(z) = prod_v p(z_v | z_1, ..., z_(v-1)): the logits of a variable are linear in the classes of those before."""

    def __init__(self, variables: int, classes: int) -> None:
        super().__init__()
        self.variables, self.classes = variables, classes
        self.bias = nn.Parameter(torch.zeros(variables, classes))
        self.weight = nn.Parameter(torch.zeros(variables * classes, variables * classes))
        earlier = torch.ones(variables, variables).triu(1)  # from the row's variable to the column's
        visible = earlier.repeat_interleave(classes, 0).repeat_interleave(classes, 1)
        self.register_buffer("visible", visible, persistent=False)

    def logits(self, z: Tensor) -> Tensor:
        """The logits of every variable's classes given those before it, for z int64 (n, variables): (n, v, classes)."""
        told = F.one_hot(z, self.classes).float().flatten(1) @ (self.weight * self.visible)
        return self.bias + told.unflatten(1, (self.variables, self.classes))

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats: (n,)."""
        return -F.cross_entropy(self.logits(z).mT, z, reduction="none").sum(1)

    def sample(self, n: int) -> Tensor:
        """n draws, variable by variable: int64 (n, variables)."""
        z = torch.zeros(n, self.variables, dtype=torch.long, device=self.bias.device)
        for v in range(self.variables):
            z[:, v] = torch.multinomial(self.logits(z)[:, v].softmax(1), 1)[:, 0]
        return z


class DiscreteVAEPrior(DiscreteVAE):
    """The same autoencoder under a prior fitted afterwards to the codes that q(z|x) draws for the train split.

    The paper's uniform prior is far from them: most of what it draws no item has, and the decoder was never shown.
    """

    Config = PriorConfig
    name = "discrete-vae-prior"

    def __init__(self, spec: SampleSpec, config: PriorConfig | None = None) -> None:
        super().__init__(spec, config)
        self.prior = Chain(self.config.variables, self.config.classes)

    def fit(self, dataset: Dataset, budget: Budget, /) -> Mapping[str, float]:
        """Train the autoencoder, then the prior on fresh codes of each minibatch; `prior_loss` is in nats per code."""
        c = self.config
        figures = super().fit(dataset, budget)

        def loss(x: Tensor) -> Tensor:
            with torch.no_grad():
                log_q = self.encode(x)
                z = gumbel(log_q).add_(log_q).argmax(-1)
            return -self.prior.log_prob(z).mean()

        stage = Stage(c.prior_steps, c.batch, c.prior_rate, c.prior_decay)
        prior = minimise(loss, self.prior, dataset.train, budget, stage)
        return {**figures, "prior_loss": prior["loss"]}

    def log_prior(self, z: Tensor) -> Tensor:
        return self.prior.log_prob(z)

    def sample_codes(self, n: int) -> Tensor:
        return self.prior.sample(n)


def gumbel(like: Tensor) -> Tensor:
    """Independent draws of the standard Gumbel distribution, -log of an exponential waiting time."""
    return -torch.empty_like(like).exponential_().log()


def gumbel_softmax(logits: Tensor, temperature: float) -> Tensor:
    """A relaxed one-hot draw along the last axis of the logits; its argmax is an exact draw at every temperature."""
    return ((logits + gumbel(logits)) / temperature).softmax(-1)
