"""Rows of medians: the same checkpoint and codes as the model's own, and no noise of pixels."""

from __future__ import annotations

import pytest
import torch

from genbench.contracts import HasLogProb, Setting, Trainable
from genbench.data.digits import digits
from genbench.evaluation import generators
from genbench.plugins import registry
from genbench.seeding import scoped


@pytest.mark.parametrize("name", ["vae", "dlgm"])
def test_medians_are_of_the_models_own_codes(name):
    setting = Setting(f"{name}-median", "digits", digits())
    median = generators.build(registry.find("models", f"{name}-median"), setting)
    model = generators.build(registry.find("models", name), Setting(name, "digits", digits()))
    with scoped(0, "test"):
        x = median.sample(20)
    with scoped(0, "test"), torch.no_grad():
        parameters = model.parameters_given(model.sample_latent(20))
    assert torch.equal(x, model.observation.median(parameters))
    # At least half of the mass lies at the median and below, and as much at it and above.
    up_to = parameters.softmax(1).cumsum(1).gather(1, x.long()[:, None])[:, 0]
    assert (up_to >= 0.5).all()
    assert median.version != model.version


def test_medians_have_no_likelihood_and_no_training_of_their_own():
    setting = Setting("vae-median", "digits", digits())
    median = generators.build(registry.find("models", "vae-median"), setting)
    assert not isinstance(median, HasLogProb)
    assert not isinstance(median, Trainable)
