"""The importance-weighted autoencoder: its weights are those of the chain, and its bound is the training's."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Bernoulli, Normal

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.likelihood import every_state
from zoo.vae.vae_iwae import IWAE, IWAE2, Config

SPEC = SampleSpec((1, 2, 3), 2)
STATES = every_state(6).reshape(-1, 1, 2, 3)
SIZES = [((2,), (8,)), ((3, 2), (8, 4)), ((3, 2, 2), (8, 4, 4))]


@pytest.mark.parametrize(("latents", "hidden"), SIZES)
def test_weights_are_the_joint_less_the_proposal(latents, hidden):
    """Against torch's own densities, with the draws found again under the same seed."""
    model = IWAE(SPEC, Config(latents=latents, hidden=hidden))
    x, k = STATES[[5, 40]], 7
    torch.manual_seed(3)
    got = model.log_weights(x, k)
    torch.manual_seed(3)
    given, total, layers = model.encoded_from(x)[None], 0.0, []
    for conditional in model.recognition:
        mean, log_std = conditional(given)
        q = Normal(mean.expand(k, -1, -1), log_std.exp().expand(k, -1, -1))
        given = q.mean + q.stddev * torch.randn(k, *mean.shape[1:])
        layers.append(given)
        total = total - q.log_prob(given).sum(2)
    for conditional, h, above in zip(model.generation, layers, layers[1:], strict=False):
        mean, log_std = conditional(above)
        total = total + Normal(mean, log_std.exp()).log_prob(h).sum(2)
    total = total + Normal(0.0, 1.0).log_prob(layers[-1]).sum(2)
    odds = model.decoder[0](layers[0])
    total = total + Bernoulli(logits=odds).log_prob(x.flatten(1).float()).sum(2)
    assert torch.allclose(got, total, atol=1e-4)


@pytest.mark.parametrize(("latents", "hidden"), SIZES)
def test_samples_have_the_likelihood_of_the_prior_draws(latents, hidden):
    model = IWAE(SPEC, Config(latents=latents, hidden=hidden))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
        masses = model.parameters_given(model.sample_latent(20_000)).softmax(1)[:, 1].flatten(1)
    got = model.sample(20_000).flatten(1).float()
    assert torch.allclose(got.mean(0), masses.mean(0), atol=0.025)  # six standard errors


def test_means_go_up_and_come_down_as_noise():
    model = IWAE2(SPEC, Config(latents=(3, 2), hidden=(8, 4)))
    with torch.no_grad():
        bottom = model.bottom(model.posterior_mean(STATES))
        expected = model.recognition[0](model.encoded_from(STATES))[0]
    assert torch.allclose(bottom, expected, atol=1e-4)


def test_training_raises_the_bound_and_reports_the_validation():
    x = STATES[[0, 63]].repeat(100, 1, 1, 1)
    model = IWAE(SPEC, Config(latents=(2,), hidden=(16,), draws=5, steps=300, rate=1e-2, validation=20))
    before = model.log_prob(x[:50]).mean()
    figures = model.fit(Dataset("twins", SPEC, x, x), Budget())
    after = model.log_prob(x[:50]).mean()
    assert after > before + 1
    assert figures["validation_nats"] == pytest.approx(-after.item(), abs=0.5)


def test_configurations_are_checked():
    for wrong in ({"latents": (3, 2)}, {"draws": 0}, {"rate": 0.0}, {"validation": -1}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)
