import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from genbench.contracts import Budget, Dataset, Effort, SampleSpec, Setting
from genbench.errors import ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.mixture.gaussian_classifier import (
    CLASSES,
    Config,
    GaussianClassifier,
    LinearDiscriminant,
    QuadraticDiscriminant,
)

SPEC = SampleSpec((1, 2, 2), 9)


def labelled(n=400, classes=CLASSES, spec=SPEC):
    with scoped("labelled"):
        labels = torch.arange(n) % classes
        centres = 1.5 + (spec.levels - 3) * torch.rand(classes, spec.size)
        x = (centres[labels] + 1.2 * torch.randn(n, spec.size)).round().clamp(0, spec.levels - 1)
    x = x.to(torch.uint8).reshape(n, *spec.shape)
    return Dataset("test", spec, x, x[:50], labels, labels[:50])


def fitted(kind, data, config=None):
    model = kind(data.spec, kind.recipe(data.spec) if config is None else config)
    model.fit(data, Budget())
    return model


class Widened:
    """A covariance estimator for scikit-learn that knows of the noise which spreads levels over their cells."""

    def fit(self, x):
        self.covariance_ = np.cov(x.T, bias=True) + np.eye(x.shape[1]) / 12
        return self


def test_the_posterior_of_shared_covariances_is_scikit_learns():
    data = labelled()
    model = fitted(LinearDiscriminant, data)
    peer = LinearDiscriminantAnalysis(
        solver="lsqr", covariance_estimator=Widened(), priors=model.log_prior.double().exp().numpy()
    )
    flat = data.train.flatten(1).numpy().astype(float)
    expected = peer.fit(flat, data.train_labels.numpy()).predict_proba(flat)
    assert model.posterior(data.train).numpy() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("kind", "degree"), [(LinearDiscriminant, 1), (QuadraticDiscriminant, 2)])
def test_log_odds_are_linear_with_a_shared_covariance_and_quadratic_without(kind, degree):
    model = fitted(kind, labelled())
    line = torch.arange(5, dtype=torch.uint8)[:, None] * torch.tensor([1, 0, 2, 1], dtype=torch.uint8)
    joint = model.class_log_joint(line.reshape(-1, 1, 2, 2))
    odds = (joint[:, 3] - joint[:, 7]).numpy()
    assert np.abs(np.diff(odds, degree + 1)).max() < 1e-6 * np.abs(odds).max()
    assert np.abs(np.diff(odds, degree)).max() > 0.01


def test_the_joint_is_scipys_gaussian_averaged_over_the_cell():
    data = labelled()
    model = fitted(QuadraticDiscriminant, data)
    x, y = data.heldout[:1], 4
    root = model.root[y].double().numpy()
    normal = stats.multivariate_normal(model.mean[y].double().numpy(), root @ root.T)
    noise = np.random.default_rng(0).random((200_000, 4))
    draws = normal.logpdf(x.flatten().numpy() + noise)
    expected = draws.mean() + model.log_prior[y].item()
    assert model.class_log_joint(x)[0, y].item() == pytest.approx(expected, abs=5 * draws.std() / len(draws) ** 0.5)


@pytest.mark.parametrize("kind", [LinearDiscriminant, QuadraticDiscriminant])
def test_masses_of_all_states_sum_to_at_most_one(kind):
    model = fitted(kind, labelled())
    states = every_state(4, 9).reshape(-1, 1, 2, 2)
    with scoped("noise"):
        total = model.log_prob(states).exp().sum().item()
    assert 0.5 < total < 1
    assert model.class_log_joint(states).exp().sum().item() < total


def test_samples_follow_the_classes_and_their_gaussians():
    data = labelled()
    model = fitted(QuadraticDiscriminant, data)
    with scoped(1):
        drawn = model.sample(20_000).flatten(1).double()
    real = data.train.flatten(1).double()
    assert drawn.mean(0).numpy() == pytest.approx(real.mean(0).numpy(), abs=0.15)
    assert drawn.T.cov().numpy() == pytest.approx(real.T.cov().numpy(), abs=0.6)


def test_a_class_without_items_stays_possible_and_never_wins():
    data = labelled(classes=9)
    model = fitted(LinearDiscriminant, data)
    assert model.posterior(data.heldout).isfinite().all()
    assert (model.posterior(data.train).argmax(1) < 9).all()


def test_unlabelled_data_and_odd_weights_are_refused():
    data = labelled()
    unlabelled = Dataset("test", SPEC, data.train, data.heldout)
    with pytest.raises(ModelError, match="labelled with up to 10 classes"):
        fitted(LinearDiscriminant, unlabelled)
    with pytest.raises(ValueError, match="shared must be within"):
        Config(shared=1.5)
    with pytest.raises(ModelError, match="levelled data"):
        GaussianClassifier(SampleSpec((2,), None))


def test_the_bounds_for_one_flat_cell_are_known():
    """Data that never changes leaves the noise alone: a Gaussian of variance 1/12 around the middle of the cell."""
    spec = SampleSpec((1, 1, 1), 4)
    x = torch.full((20, 1, 1, 1), 2, dtype=torch.uint8)
    model = fitted(LinearDiscriminant, Dataset("flat", spec, x, x, torch.arange(20) % 10, None))
    jensen = -0.5 * (math.log(2 * math.pi / 12) + 1)
    assert model.class_log_joint(x[:1]).logsumexp(1).item() == pytest.approx(jensen, abs=1e-6)
    mass = 2 * stats.norm.cdf(0.5 * math.sqrt(12)) - 1
    model.dequantization_samples = 5_000
    with scoped("noise"):
        # The density varies by less than a factor of 5, and its mean by less than 0.4 / sqrt(5,000).
        assert model.log_prob(x[:1]).item() == pytest.approx(math.log(mass), abs=0.02)


def test_more_noises_tighten_the_bound_beyond_jensens():
    data = labelled()
    model = fitted(QuadraticDiscriminant, data)
    jensen = model.class_log_joint(data.train).logsumexp(1).mean().item()
    bounds = []
    for model.dequantization_samples in (1, 16, 256):
        with scoped("noise"):
            bounds.append(model.log_prob(data.train).mean().item())
    assert bounds == sorted(bounds)
    assert bounds[1] > jensen
    setting = Setting("gaussian-classifier-qda", "test", data, effort=Effort(dequantization_samples=7))
    model.prepare(setting)
    assert model.dequantization_samples == 7
