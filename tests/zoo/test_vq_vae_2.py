import pytest
import torch
from scipy import stats

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.autoregressive.raster import WholeImage
from zoo.vae.vq_vae_2 import VQVAE2, Config, Priors

TINY = SampleSpec((1, 3, 3), 2)  # bottom 2 x 2, top 1 x 1
STATES = every_state(9).reshape(-1, 1, 3, 3)
SMALL = Config(
    codes=2,
    top_codes=3,
    size=4,
    halvings=1,
    width=8,
    features=4,
    dropout=0,
    steps=80,
    rate=1e-2,
    prior_width=8,
    prior_blocks=1,
    prior_dropout=0,
    prior_steps=80,
    prior_rate=1e-2,
)


def blocks():
    """Images of 3 x 3 whose left two columns and right one are each empty or full, mostly the same."""
    full, empty = torch.ones(60, 1, 3, 3), torch.zeros(60, 1, 3, 3)
    left = torch.cat([full, empty, full[:20]])
    right = torch.cat([full, empty, empty[:20]])
    data = torch.cat([left[..., :2], right[..., :1]], dim=3)
    noise = torch.rand(data.shape, generator=torch.Generator().manual_seed(0)) < 0.05
    return (data.bool() ^ noise).to(torch.uint8)


@pytest.fixture(scope="module")
def tiny():
    with scoped(0, "test"):
        model = VQVAE2(TINY, SMALL)
        figures = model.fit(Dataset("blocks", TINY, blocks(), blocks()), Budget())
    return model, figures


@pytest.fixture(scope="module")
def random_priors():
    """Priors over a top of 1 x 2 and a bottom of 2 x 3 with random weights, far from uniform."""
    with scoped(0, "priors"):
        priors = Priors((1, 2), (2, 3), SMALL)
        with torch.no_grad():
            for parameter in priors.parameters():
                parameter.mul_(2).add_(0.3 * torch.randn_like(parameter))
    return priors.eval()


def pairs(top_grid, bottom_grid):
    """All pairs of a top grid of three codes and a bottom grid of two."""
    places = [grid[0] * grid[1] for grid in (top_grid, bottom_grid)]
    tops = every_state(places[0], 3).long().unflatten(1, top_grid)
    bottoms = every_state(places[1], 2).long().unflatten(1, bottom_grid)
    return tops.repeat_interleave(len(bottoms), 0), bottoms.repeat(len(tops), 1, 1)


@torch.no_grad()
def marginal(model):
    top, bottom = pairs((1, 1), (2, 2))
    log_prior = model.priors.log_prob(top, bottom).double()
    parameters = model.parameters_given(top, bottom)
    given = [model.observation.log_prob(p.expand(len(STATES), -1, -1, -1, -1), STATES) for p in parameters.split(1)]
    return (torch.stack(given).double() + log_prior[:, None]).logsumexp(0)


def test_the_prior_sums_to_one_over_all_pairs_and_its_sampler_follows_it(random_priors):
    top, bottom = pairs((1, 2), (2, 3))
    with torch.no_grad():
        mass = random_priors.log_prob(top, bottom).double().exp()
    assert mass.sum() == pytest.approx(1, abs=1e-5)
    assert mass.log().std() > 0.3
    n = 15_000
    with torch.no_grad():
        first, second = random_priors.sample(n, 1.0)
    numbers = first.flatten(1) @ torch.tensor([3, 1]) * 64 + second.flatten(1) @ (2 ** torch.arange(5, -1, -1))
    counts, expected = torch.bincount(numbers, minlength=len(mass)), mass * n
    common = expected >= 5
    assert common.sum() > 50
    assert ((counts - expected)[common].square() / expected[common]).sum() < stats.chi2.ppf(1 - 1e-5, int(common.sum()))


def test_bottom_codes_depend_on_the_top_and_on_earlier_bottom_codes_only(random_priors):
    bottom = torch.rand(1, 2, 2, 3, requires_grad=True)
    top = torch.rand(1, 3, 1, 2, requires_grad=True)
    logits = random_priors.bottom.logits(bottom, WholeImage(), random_priors.spread(top))
    for place, value in enumerate(torch.einsum("nkhw,k->hw", logits, torch.randn(2)).flatten()):
        by_bottom, by_top = torch.autograd.grad(value, (bottom, top), retain_graph=True)
        depends = by_bottom.abs().sum((0, 1)).flatten() > 0
        assert not depends[place:].any()
        assert place % 3 == 0 or depends[place - 1]
        assert (by_top != 0).any()


def test_the_bound_lies_below_the_marginal_of_all_codes(tiny):
    model, _ = tiny
    exact, bound = marginal(model), model.log_prob(STATES)
    assert bound.dtype == torch.float64
    assert exact.exp().sum() == pytest.approx(1, abs=1e-5)
    assert (bound < exact + 1e-5).all()
    with torch.no_grad():
        codes = model.encode(STATES)
        given = model.observation.log_prob(model.parameters_given(*codes), STATES)
        expected = given.double() + model.priors.log_prob(*codes)
    torch.testing.assert_close(bound, expected, atol=1e-4, rtol=0)


def test_samples_follow_the_marginal(tiny):
    model, _ = tiny
    n = 2_000
    drawn = model.sample(n).flatten(1).long() @ (2 ** torch.arange(8, -1, -1))
    counts, expected = torch.bincount(drawn, minlength=512).double(), marginal(model).exp() * n
    common = expected >= 5
    assert common.sum() > 5
    assert ((counts - expected)[common].square() / expected[common]).sum() < stats.chi2.ppf(1 - 1e-5, int(common.sum()))


def test_both_levels_and_their_priors_are_learned(tiny):
    model, figures = tiny
    assert 1 < figures["top_perplexity"] <= 3
    assert 1 < figures["bottom_perplexity"] <= 2
    assert model.log_prob(blocks()).mean() > -5
    assert (model.reconstruct(blocks()) != blocks()).float().mean() < 0.2
    with torch.no_grad():
        sharp, plain = (model.priors.log_prob(*model.priors.sample(500, psi)).mean() for psi in (0.3, 1.0))
    assert sharp > plain + 0.2


def test_the_top_reaches_the_bottom_codes_and_the_decoder(tiny):
    """The bottom is quantised with the decoded top at hand, and the gradient of both likelihood terms reaches it."""
    model = tiny[0].autoencoder
    features = model.features(blocks()[:4])
    top = model.top.lookup(torch.zeros(4, 1, 1, dtype=torch.int64)).detach().requires_grad_()
    vectors = model.bottom_vectors(features, top)
    assert torch.autograd.grad(vectors.sum(), top)[0].abs().max() > 0
    bottom = model.bottom.lookup(model.bottom.nearest(vectors)).detach()
    decoded = model.decode(top, bottom)
    assert torch.autograd.grad(decoded.square().sum(), top)[0].abs().max() > 0


def test_configurations_are_checked():
    with pytest.raises(ValueError, match="top_codes"):
        Config(top_codes=1)
    with pytest.raises(ValueError, match="commitment"):
        Config(commitment=-1)


def test_on_large_images_the_hierarchy_has_two_grids_worth_the_name():
    spec = SampleSpec((1, 28, 28), 2)
    model = VQVAE2(spec, VQVAE2.recipe(spec))
    assert (model.top_grid, model.bottom_grid) == ((7, 7), (14, 14))
    assert model.autoencoder.top.average == model.autoencoder.bottom.average == 0.99
