from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn import mixture
from torch import Tensor

from genbench.contracts import Budget, SampleSpec
from genbench.data.digits import digits
from genbench.likelihood import every_state
from zoo.mixture.gaussian_mixture import FLOOR, Config, GaussianMixture
from zoo.mixture.naive_bayes import NaiveBayes

PLANE = SampleSpec((2,), 3)


def clusters(n: int = 400) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0, 1.0], [2.0, -1.0, 0.0], [-1.0, 2.0, 3.0]])
    noise = torch.randn(n, 3, generator=generator) @ torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.5, -0.4], [0.0, 0.0, 0.9]])
    return centres[torch.randint(3, (n,), generator=generator)] + noise


def mixture_of(covariance: str, spec: SampleSpec, components: int = 3, **fields: float) -> GaussianMixture:
    """A mixture with parameters that differ between all components and dimensions."""
    torch.manual_seed(1)
    model = GaussianMixture(spec, Config(components, covariance, **fields))
    size = spec.size
    model.log_pi.copy_(torch.randn(components).log_softmax(0))
    model.mean.copy_(torch.randn(components, size))
    spread = 0.5 + torch.rand(components, size)
    model.factor.copy_(
        torch.randn(components, size, size).tril(-1) * 0.5 + spread.diag_embed() if model.full else spread
    )
    return model


def covariances(model: GaussianMixture) -> np.ndarray:
    factor = model.factor.double()
    return (factor @ factor.mT if model.full else factor.square().diag_embed()).numpy()


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_density_is_scipys_times_the_jacobian_of_the_logit(covariance: str) -> None:
    model = mixture_of(covariance, SampleSpec((1, 3, 1), 17))
    y = torch.rand(6, 1, 3, 1)
    for item, log_density in zip(y, model.log_density(y).tolist(), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda flat: model.open(flat[None])[0][0], item.flatten())
        v = model.open(item.reshape(1, 3))[0][0].numpy()
        parts = zip(model.log_pi.exp().tolist(), model.mean.numpy(), covariances(model), strict=True)
        density = sum(pi * multivariate_normal(mean, cov).pdf(v) for pi, mean, cov in parts)
        assert log_density == pytest.approx(math.log(density) + jacobian.slogdet()[1].item(), abs=1e-4)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_one_iteration_is_scikit_learns(covariance: str) -> None:
    model = mixture_of(covariance, SampleSpec((3,), 17), shrinkage=0.0)
    x = clusters()
    precisions = np.linalg.inv(covariances(model))
    other = mixture.GaussianMixture(
        3,
        covariance_type="full" if model.full else "diag",
        max_iter=1,
        reg_covar=FLOOR,
        weights_init=model.log_pi.exp().double().numpy() / model.log_pi.exp().double().sum().item(),
        means_init=model.mean.double().numpy(),
        precisions_init=precisions if model.full else np.diagonal(precisions, axis1=1, axis2=2),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other.fit(x.double().numpy())
    model.iterate(x.split(150))
    np.testing.assert_allclose(model.log_pi.exp().numpy(), other.weights_, atol=1e-5)
    np.testing.assert_allclose(model.mean.numpy(), other.means_, atol=1e-4)
    expected = other.covariances_ if model.full else [np.diag(row) for row in other.covariances_]
    np.testing.assert_allclose(covariances(model), expected, atol=1e-4)
    np.testing.assert_allclose(model.log_joint(x).logsumexp(1).numpy(), other.score_samples(x.numpy()), atol=1e-3)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_em_never_lowers_the_likelihood(covariance: str) -> None:
    model = mixture_of(covariance, SampleSpec((3,), 17), components=5, shrinkage=0.0)
    path = [model.iterate([clusters()]) for _ in range(40)]
    assert all(after >= before - 1e-5 for before, after in zip(path, path[1:], strict=False))
    assert path[-1] > path[1] + 0.1


def test_shrinkage_moves_covariances_to_the_pooled_one_and_leaves_the_means() -> None:
    free, shrunk = (mixture_of("full", SampleSpec((3,), 17), shrinkage=shrinkage) for shrinkage in (0.0, 1e9))
    for model in (free, shrunk):
        model.iterate([clusters()])
    torch.testing.assert_close(free.mean, shrunk.mean)
    pooled = np.tensordot(free.log_pi.exp().numpy(), covariances(free), axes=1)
    np.testing.assert_allclose(covariances(shrunk), np.stack([pooled] * 3), atol=1e-4)


def test_bound_is_below_the_exact_mass_and_reaches_it() -> None:
    model = mixture_of("full", PLANE)
    states = every_state(2, 3)
    steps = (torch.arange(200) + 0.5) / 200
    grid = torch.cartesian_prod(steps, steps)
    cells = torch.stack([model.log_density((state + grid) / 3).exp().mean() / 9 for state in states]).log().double()
    assert cells.exp().sum() < 1

    torch.manual_seed(0)
    model.dequantization_samples = 1
    loose = torch.stack([model.log_prob(states) for _ in range(300)]).mean(0)
    assert loose.dtype == torch.float64
    assert (loose < cells).all()
    model.dequantization_samples = 3000
    torch.testing.assert_close(model.log_prob(states), cells, atol=0.06, rtol=0)

    drawn = model.sample(20_000)
    assert drawn.dtype == torch.uint8
    # The inner cell: the outer ones also receive what falls beyond the cube.
    frequency, mass = (drawn == 1).all(1).double().mean().item(), cells[4].exp().item()
    assert frequency == pytest.approx(mass, abs=4.5 * math.sqrt(mass / 20_000))


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_draws_have_the_moments_of_the_mixture(covariance: str) -> None:
    model = mixture_of(covariance, SampleSpec((3,), 17))
    drawn = model.draw(50_000).double()
    pi, mean = model.log_pi.exp().double(), model.mean.double()
    centred = mean - pi @ mean
    between = centred.T @ (pi[:, None] * centred)
    within = torch.from_numpy(np.tensordot(pi.numpy(), covariances(model), axes=1))
    torch.testing.assert_close(drawn.mean(0), pi @ mean, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), within + between, atol=0.06, rtol=0)


def test_digits_are_learnt_better_than_pixel_by_pixel() -> None:
    dataset = digits()
    torch.manual_seed(0)
    model = GaussianMixture(dataset.spec, Config(10, noises=1))
    reported: list[int] = []
    model.fit(dataset, Budget(steps=8, progress=lambda step, steps, figures: reported.append(step)))
    assert reported == list(range(1, 9))
    baseline = NaiveBayes(dataset.spec)
    baseline.fit(dataset, Budget())
    assert model.log_prob(dataset.heldout).mean() > baseline.log_prob(dataset.heldout).mean() + 5


def test_large_images_get_diagonal_covariances_and_copies_of_one_item_do_no_harm() -> None:
    spec = SampleSpec((3, 32, 32), 256)
    assert GaussianMixture.recipe(spec).covariance == "diagonal"
    assert GaussianMixture.recipe(SampleSpec((1, 8, 8), 17)).covariance == "full"
    model = GaussianMixture(spec, Config(4, "diagonal", noises=1))
    model.seed(torch.full((10, *spec.shape), 7, dtype=torch.uint8))
    model.iterate(model.batches(torch.full((10, *spec.shape), 7, dtype=torch.uint8)))
    assert model.sample(3).shape == (3, *spec.shape)
    assert model.log_prob(model.sample(3)).isfinite().all()
