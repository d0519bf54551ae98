"""FLS against its definition by automatic differentiation, and what it says of copies, blur and lost modes."""

from __future__ import annotations

import math

import pytest
import torch
from views import direct

from genbench.errors import InputError, Unsupported
from genbench.metrics import feature_likelihood
from genbench.metrics.feature_likelihood import FeatureLikelihood, feature_likelihood_score, fit


def draw(n: int, seed: int, dim: int = 6) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    modes = 4 * torch.randint(2, (n, 1), generator=rng).float()
    return modes + torch.randn(n, dim, generator=rng)


def nats(items, centres, log_variances):
    squares = torch.cdist(items, centres) ** 2
    joint = -0.5 * squares / log_variances.exp() - items.shape[1] / 2 * log_variances + math.log(1 / len(centres))
    return -joint.logsumexp(1).mean()


def by_autograd(items: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Variances as the paper's first code fits them, with gradients from torch."""
    log_variances = torch.zeros(len(centres), requires_grad=True)
    optimiser = torch.optim.Adam([log_variances], lr=0.5)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones=[50], gamma=0.1)
    for _ in range(100):
        optimiser.zero_grad()
        nats(items, centres, log_variances).backward()
        optimiser.step()
        scheduler.step()
        log_variances.data.clamp_(-100, 20)
    return log_variances.detach()


def test_variances_are_fitted_as_by_automatic_differentiation(monkeypatch):
    items, centres = draw(50, 0), draw(50, 1)
    monkeypatch.setattr(feature_likelihood, "ROWS", 32)
    fitted, expected = fit(torch.cdist(items, centres).square_(), 6), by_autograd(items, centres)
    assert float(nats(items, centres, fitted)) == pytest.approx(float(nats(items, centres, expected)), abs=1e-3)
    assert float(nats(items, centres, fitted)) < float(nats(items, centres, torch.zeros(50))) - 0.05


def test_the_score_is_the_papers_for_the_items_that_it_takes(monkeypatch):
    train, heldout, fake = draw(80, 2), draw(40, 3), 1.5 * draw(40, 4)
    monkeypatch.setattr(feature_likelihood, "_some", lambda x, count, name: x[:count].float())
    whole = torch.cat([train, heldout, fake])
    t, h, f = ((x - whole.mean(0)) / whole.std(0) for x in (train, heldout, fake))
    gap = nats(h, f, by_autograd(t[:40], f)) - nats(h, t[40:], by_autograd(t[:40], t[40:]))
    expected = 100 * math.exp(-2 * float(gap) / 6)
    assert feature_likelihood_score(train, heldout, fake) == pytest.approx(expected, rel=1e-2)
    assert abs(expected - 100) > 5


def test_good_samples_score_about_100_and_copies_blur_and_lost_modes_less():
    train, heldout, fake = draw(300, 5), draw(150, 6), draw(150, 7)
    good = feature_likelihood_score(train, heldout, fake)
    assert good == pytest.approx(100, abs=12)
    lost = fake[fake[:, 0] > 2].repeat(3, 1)[:150] + 0.01 * draw(150, 8)
    for worse in (train[:150] + 1e-4 * draw(150, 9), 2 * fake, lost):
        assert feature_likelihood_score(train, heldout, worse) < good - 8
    assert feature_likelihood_score(train, heldout, fake) == good, "the same items are taken every time"


def test_constant_features_and_too_few_items():
    train, heldout, fake = (torch.cat([draw(n, n), torch.ones(n, 1)], 1) for n in (40, 20, 21))
    assert math.isfinite(feature_likelihood_score(train, heldout, fake))
    score = FeatureLikelihood().compute(direct(heldout, fake, train))["fls"]
    assert score.value == feature_likelihood_score(train, heldout, fake)
    with pytest.raises(InputError, match="at least 4 training items"):
        feature_likelihood_score(train[:3], heldout, fake)
    with pytest.raises(InputError, match="they must be the same"):
        feature_likelihood_score(train, heldout[:, :3], fake)
    with pytest.raises(Unsupported, match="there are 3"):
        FeatureLikelihood().compute(direct(heldout, fake, train[:3]))
