"""What the variational autoencoders share: encoder and decoder networks, the importance-weighted bound, samples.

Lecture topic: variational autoencoders. p(x) = E[p(x|z)] over latents z of a known prior; q(z|x) is learned beside it.

References: D. Kingma and M. Welling, "Auto-Encoding Variational Bayes" (2014); Y. Burda, R. Grosse and R.
Salakhutdinov, "Importance Weighted Autoencoders" (2016), for the bound that `log_prob` reports.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from genbench.contracts import SampleSpec, Setting
from genbench.likelihood import importance_weighted_bound
from zoo.nn import Model, require_levels
from zoo.training import in_batches, sizes
from zoo.vae.observation import observation_model

ITEMS_AT_ONCE = 100
ACTIVATIONS: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "tanh": nn.Tanh}


class LogOdds(nn.Module):
    """Log odds (n, size) of level 1 as logits of both levels: (n, 2, size)."""

    def forward(self, odds: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(odds), odds], 1)


class LatentModel(Model):
    """p(x|z) with independent dimensions; a subclass says what z, q(z|x) and the training are."""

    name: ClassVar[str]
    log_prob_kind: Literal["lower_bound"] = "lower_bound"

    def __init__(self, spec: SampleSpec, config: object = None) -> None:
        super().__init__(spec, config)
        self.levels = require_levels(self.name, spec)
        self.observation = observation_model(self.levels)
        self.importance_samples = 128

    def network(self, inputs: int, outputs: int) -> nn.Sequential:
        """Two hidden layers with dropout."""
        hidden, dropout = self.config.hidden, self.config.dropout
        activation = ACTIVATIONS[getattr(self.config, "activation", "silu")]
        return nn.Sequential(
            *(nn.Linear(inputs, hidden), activation(), nn.Dropout(dropout)),
            *(nn.Linear(hidden, hidden), activation(), nn.Dropout(dropout)),
            nn.Linear(hidden, outputs),
        )

    def decoder_network(self, latent: int) -> nn.Sequential:
        """From latents (n, latent) to the parameters of every dimension of x: (n, numbers, size).

        One map from features to parameters serves all dimensions: levels mean the same everywhere, and a map of its own
        for each would learn the few images of a small data set by heart. Without features the last layer has just such
        maps of its own, and its outputs for two levels are the log odds of level 1, as those of Bernoulli pixels.
        """
        features, size, numbers = self.config.features, self.spec.size, self.observation.numbers
        if features == 0:
            outputs = size if self.levels == 2 else numbers * size
            return nn.Sequential(self.network(latent, outputs), LogOdds() if self.levels == 2 else nn.Identity())
        return nn.Sequential(
            *(self.network(latent, features * size), nn.SiLU(), nn.Unflatten(1, (features, size))),
            nn.Conv1d(features, numbers, kernel_size=1),
        )

    def prepare(self, setting: Setting) -> None:
        self.importance_samples = setting.effort.importance_samples

    def start_without_latents(self, x: Tensor) -> None:
        """Let a plain decoder, of a map of its own for every dimension, begin with what items x (n, *shape) say of it.

        Its last biases are what it would say of a dimension without latents, as Burda et al. (2016) start them: else
        the first thousands of steps go into the mean of the data. A decoder with one map for all dimensions stays as
        it is.
        """
        if not isinstance(self.decoder[1], LogOdds | nn.Identity):
            return
        last, of_two_levels = self.decoder[0][-1], isinstance(self.decoder[1], LogOdds)
        start = self.observation.without_latents(x.to(self.device)).flatten(1)
        with torch.no_grad():
            last.bias.copy_(start[1] - start[0] if of_two_levels else start.flatten())

    def encoded_from(self, x: Tensor) -> Tensor:
        """Items (n, *shape) as the values that the encoder sees, from the configuration's `lowest` to 1: (n, size)."""
        lowest = self.config.lowest
        return x.flatten(1).float() * ((1 - lowest) / (self.levels - 1)) + lowest

    def decoded(self, z: Tensor) -> Tensor:
        """The decoder's parameters of p(x|z) for what it takes, (n, latent): (n, numbers, *shape)."""
        return self.decoder(z).reshape(len(z), self.observation.numbers, *self.spec.shape)

    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """log p(x, z) - log q(z|x) for k draws z of q(z|x): (k, n), nats."""
        raise NotImplementedError

    @torch.no_grad()
    def log_prob(self, x: Tensor, /) -> Tensor:
        """The importance-weighted bound on log p(x) in nats with `importance_samples` draws: float64 (n,)."""

        def bound(part: Tensor) -> Tensor:
            return importance_weighted_bound(lambda k: self.log_weights(part, k), self.importance_samples)

        return in_batches(bound, self.accept(x), ITEMS_AT_ONCE)


class GaussianLatentModel(LatentModel):
    """Latents z ~ N(0, I), of which a subclass gives the parameters of p(x|z) and the mean of q(z|x)."""

    truncation: Literal["temperature"] = "temperature"
    latent_shape: tuple[int, ...]

    def parameters_given(self, z: Tensor) -> Tensor:
        """The parameters of p(x|z) for latents (n, *latent_shape): (n, numbers, *shape)."""
        raise NotImplementedError

    def posterior_mean(self, x: Tensor) -> Tensor:
        """The mean of q(z|x) for items (n, *shape): (n, *latent_shape)."""
        raise NotImplementedError

    def sample(self, n: int, /) -> Tensor:
        """n items of the model that `log_prob` bounds: z ~ N(0, I), then x ~ p(x|z), with the noise of its pixels."""
        return self.sample_truncated(n, psi=1.0)

    @torch.no_grad()
    def sample_truncated(self, n: int, /, *, psi: float) -> Tensor:
        """n items x ~ p(x|z) with z scaled by the temperature psi; 1.0 is no truncation."""
        parts = [psi * self.sample_latent(part) for part in sizes(n, ITEMS_AT_ONCE)]
        return torch.cat([self.observation.sample(self.parameters_given(z)) for z in parts])

    def sample_latent(self, n: int, /) -> Tensor:
        """n latents of the prior: (n, *latent_shape)."""
        return torch.randn(n, *self.latent_shape, device=self.device)

    @torch.no_grad()
    def decode(self, z: Tensor, /) -> Tensor:
        """The median of p(x|z): uint8 (n, *shape), without the noise of its pixels."""
        z = z.to(self.device)
        return in_batches(lambda part: self.observation.median(self.parameters_given(part)), z, ITEMS_AT_ONCE)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, /) -> Tensor:
        """Each item decoded from the mean of its q(z|x): uint8 (n, *shape)."""
        return self.decode(in_batches(self.posterior_mean, self.accept(x), ITEMS_AT_ONCE))
