import pytest
import torch

from genbench.contracts import SampleSpec
from zoo.gan.dcgan import Config
from zoo.gan.lsgan import LSGAN


def test_scores_are_regressed_on_one_and_zero():
    model = LSGAN(SampleSpec((1, 8, 8), 17), Config(latent=4, width=4))
    real, fake = torch.tensor([[1.0], [3.0], [0.0]]), torch.tensor([[0.0], [2.0], [-1.0]])
    assert model.discriminator_loss(real, fake).item() == pytest.approx(((0 + 4 + 1) / 3 + (0 + 4 + 1) / 3) / 2)
    assert model.generator_loss(fake).item() == pytest.approx((1 + 1 + 4) / 3 / 2)


def test_what_is_taken_for_real_but_far_away_is_still_pulled():
    """Where the logistic loss has all but stopped, the distance to the target goes on counting."""
    model = LSGAN(SampleSpec((1, 8, 8), 17), Config(latent=4, width=4))
    slopes = []
    for score in (1.0, 5.0, 9.0):
        far = torch.tensor([[score]], requires_grad=True)
        (slope,) = torch.autograd.grad(model.generator_loss(far), far)
        slopes.append(slope.item())
    assert slopes == pytest.approx([0.0, 4.0, 8.0])


def test_the_best_discriminator_is_the_share_of_the_data():
    """D = p / (p + q), here on three points, at which the loss is a Pearson divergence of p + q and 2 q."""
    p, q = torch.tensor([0.5, 0.4, 0.1]), torch.tensor([0.1, 0.2, 0.7])
    best = p / (p + q)
    model = LSGAN(SampleSpec((1, 8, 8), 17), Config(latent=4, width=4))

    def loss(scores):
        real, fake = (torch.repeat_interleave(scores, (1000 * weights).round().long())[:, None] for weights in (p, q))
        return model.discriminator_loss(real, fake).item()

    divergence = ((2 * q - (p + q)).square() / (p + q)).sum().item()
    assert loss(best) == pytest.approx(1 / 4 - divergence / 8, abs=1e-6)
    assert loss(best) < min(loss(best + 0.05), loss(best - 0.05), loss(1 - best))
