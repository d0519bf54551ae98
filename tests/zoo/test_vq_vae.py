import math

import pytest
import torch
from scipy import stats

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.errors import InputError, ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.autoregressive.raster import WholeImage
from zoo.vae.codes import PATIENCE, CodePrior, Quantiser, perplexity
from zoo.vae.vq_vae import VQVAE, Config, PriorConfig, VQVAEPixelCNN

TINY = SampleSpec((1, 3, 3), 2)  # a 2 x 2 grid of codes
STATES = every_state(9).reshape(-1, 1, 3, 3)
SMALL = {"codes": 3, "size": 4, "halvings": 1, "width": 8, "features": 4, "dropout": 0, "steps": 100, "rate": 1e-2}
SMALL_PRIOR = SMALL | {"prior_width": 8, "prior_blocks": 1, "prior_dropout": 0, "prior_steps": 80, "prior_rate": 1e-2}
CODES = every_state(4, 3).reshape(81, 2, 2).long()


def blocks():
    """Images of 3 x 3 whose left two columns and right one are each empty or full, mostly the same."""
    full, empty = torch.ones(60, 1, 3, 3), torch.zeros(60, 1, 3, 3)
    left = torch.cat([full, empty, full[:20]])
    right = torch.cat([full, empty, empty[:20]])
    data = torch.cat([left[..., :2], right[..., :1]], dim=3)
    noise = torch.rand(data.shape, generator=torch.Generator().manual_seed(0)) < 0.05
    return (data.bool() ^ noise).to(torch.uint8)


def trained(kind, config):
    with scoped(0, "test"):
        model = kind(TINY, config)
        figures = model.fit(Dataset("blocks", TINY, blocks(), blocks()), Budget())
    return model, figures


@pytest.fixture(scope="module")
def uniform():
    return trained(VQVAE, Config(**SMALL))


@pytest.fixture(scope="module")
def learned():
    return trained(VQVAEPixelCNN, PriorConfig(**SMALL_PRIOR))


@torch.no_grad()
def marginal(model):
    """log p(x) of all images by summing over all grids of codes: (512,)."""
    log_prior = model.log_prior(CODES).double()
    parameters = model.parameters_given(CODES)
    given = [model.observation.log_prob(p.expand(len(STATES), -1, -1, -1, -1), STATES) for p in parameters.split(1)]
    return (torch.stack(given).double() + log_prior[:, None]).logsumexp(0)


def random_prior(condition=0, grid=(2, 3), codes=3):
    """A prior with random weights, strong enough for conditionals that are far from uniform."""
    with scoped(0, "prior"):
        prior = CodePrior(codes, grid, width=8, blocks=2, dropout=0.3, condition=condition)
        with torch.no_grad():
            for parameter in prior.parameters():
                parameter.mul_(2).add_(0.3 * torch.randn_like(parameter))
    return prior.eval()


def test_the_lookup_finds_the_nearest_code():
    quantiser = Quantiser(7, 5).eval()
    vectors = torch.randn(4, 5, 3, 2)
    codes = quantiser.nearest(vectors)
    for n, i, j in torch.cartesian_prod(torch.arange(4), torch.arange(3), torch.arange(2)).tolist():
        distances = [(vectors[n, :, i, j] - code).norm().item() for code in quantiser.codebook]
        assert codes[n, i, j] == min(range(7), key=distances.__getitem__)
        assert torch.equal(quantiser.lookup(codes)[n, :, i, j], quantiser.codebook[codes[n, i, j]])
    assert len(codes.unique()) > 3


def test_codes_that_are_averages_are_the_means_of_what_they_stand_for():
    with scoped(0, "test"):
        quantiser = Quantiser(3, 2, average=0.75).train()
        quantiser.idle.zero_()
        with torch.no_grad():
            quantiser.codebook.copy_(torch.tensor([[0.0, 0.0], [5.0, 5.0], [99.0, 99.0]]))
        first = torch.tensor([[1.0, 0.0], [-1.0, 0.5], [6.0, 6.0]]).T.reshape(1, 2, 1, 3).requires_grad_()
        _, codebook_loss, commitment = quantiser(first)
        torch.testing.assert_close(quantiser.codebook, torch.tensor([[0.0, 0.25], [6.0, 6.0], [99.0, 99.0]]))
        assert codebook_loss.item() == 0
        assert commitment.item() > 0
        second = torch.tensor([[2.0, 1.25]]).T.reshape(1, 2, 1, 1)
        quantiser(second)
    # Two vectors a step ago weigh 0.75 each beside one of now: (0.75 * (0, 0.5) + (2, 1.25)) / 2.5.
    torch.testing.assert_close(quantiser.codebook[0], torch.tensor([0.8, 0.65]))
    assert not quantiser.codebook.requires_grad
    assert set(quantiser.state_dict()) == {"codebook"}


def test_an_autoencoder_with_averaged_codes_learns():
    model, figures = trained(VQVAE, Config(**SMALL, average=0.9))
    assert figures["perplexity"] > 1.5
    wrong = (model.reconstruct(blocks()) != blocks()).double().mean()
    assert wrong < 0.25, "half of the pixels would be wrong without codes"


def test_the_gradient_passes_straight_through():
    quantiser = Quantiser(7, 5).eval()
    vectors = torch.randn(4, 5, 3, 2, requires_grad=True)
    quantised, _, _ = quantiser(vectors)
    torch.testing.assert_close(quantised, quantiser.lookup(quantiser.nearest(vectors)))
    quantised.retain_grad()
    quantised.sin().sum().backward()
    assert torch.equal(vectors.grad, quantised.grad)
    assert quantiser.codebook.grad is None


def test_each_of_the_two_losses_moves_its_own_side():
    quantiser = Quantiser(7, 5).eval()
    vectors = torch.randn(4, 5, 3, 2, requires_grad=True)
    _, codebook_loss, commitment = quantiser(vectors)
    chosen = quantiser.lookup(quantiser.nearest(vectors)).detach()
    expected = (vectors - chosen).square().sum((1, 2, 3))
    assert torch.allclose(codebook_loss, expected)
    assert torch.allclose(commitment, expected)
    of_codebook = torch.autograd.grad(codebook_loss.sum(), (vectors, quantiser.codebook), allow_unused=True)
    of_commitment = torch.autograd.grad(commitment.sum(), (vectors, quantiser.codebook), allow_unused=True)
    assert of_codebook[0] is None
    assert of_commitment[1] is None
    torch.testing.assert_close(of_commitment[0], 2 * (vectors - chosen).detach())
    for code in range(7):
        mine = (quantiser.nearest(vectors) == code)[:, None]
        pull = (2 * (chosen - vectors.detach()) * mine).sum((0, 2, 3))
        torch.testing.assert_close(of_codebook[1][code], pull)


def test_the_encoder_learns_from_the_likelihood(uniform):
    model, _ = uniform
    x = blocks()[:8]
    vectors = model.autoencoder.encode(x).detach().requires_grad_()
    quantised = model.autoencoder.quantiser(vectors)[0]
    model.observation.log_prob(model.autoencoder.decoder(quantised), x).sum().backward()
    assert vectors.grad.abs().max() > 1e-3


def test_dead_codes_are_revived_on_vectors_of_the_minibatch():
    quantiser = Quantiser(3, 2).train()
    vectors = torch.randn(10, 2, 1, 1)
    quantiser(vectors)
    rows = vectors[:, :, 0, 0].tolist()
    assert all(code in rows for code in quantiser.codebook.tolist())
    with torch.no_grad():
        quantiser.codebook[0] = 100.0
    for _ in range(PATIENCE):
        quantiser(vectors)
        assert (quantiser.codebook[0] == 100).all()
    codes = quantiser.codebook[1:].clone()
    quantiser(vectors)
    assert quantiser.codebook[0].tolist() in rows
    used = quantiser.nearest(vectors).unique()
    assert all(torch.equal(codes[code - 1], quantiser.codebook[code]) for code in used.tolist() if code)
    with torch.no_grad():
        quantiser.eval().codebook[0] = 100.0
    for _ in range(PATIENCE + 1):
        quantiser(vectors)
    assert (quantiser.codebook[0] == 100).all()


def test_perplexity_counts_the_codes_in_use():
    assert perplexity(torch.tensor([[0, 1], [2, 3]]), 9) == pytest.approx(4)
    assert perplexity(torch.tensor([[5, 5], [5, 5]]), 9) == pytest.approx(1)


@pytest.mark.parametrize("which", ["uniform", "learned"])
def test_the_bound_lies_below_the_marginal_by_what_other_codes_add(which, request):
    model, _ = request.getfixturevalue(which)
    exact, bound = marginal(model), model.log_prob(STATES)
    assert bound.dtype == torch.float64
    assert exact.exp().sum() == pytest.approx(1, abs=1e-5)
    assert (bound < exact + 1e-5).all()
    with torch.no_grad():
        codes = model.encode(STATES)
        given = model.observation.log_prob(model.parameters_given(codes), STATES)
        prior = -4 * math.log(3) if which == "uniform" else model.prior.log_prob(codes)
    torch.testing.assert_close(bound, given.double() + prior, atol=1e-4, rtol=0)


@pytest.mark.parametrize("which", ["uniform", "learned"])
def test_samples_follow_the_marginal(which, request):
    model, _ = request.getfixturevalue(which)
    n = 2_000
    drawn = model.sample(n).flatten(1).long() @ (2 ** torch.arange(8, -1, -1))
    counts, expected = torch.bincount(drawn, minlength=512).double(), marginal(model).exp() * n
    common = expected >= 5
    statistic = ((counts - expected)[common].square() / expected[common]).sum()
    assert common.sum() > 5
    assert statistic < stats.chi2.ppf(1 - 1e-5, int(common.sum()))
    assert counts[common].sum().item() == pytest.approx(expected[common].sum().item(), abs=4 * math.sqrt(n))


def test_the_pair_differs_in_nothing_but_the_prior(uniform, learned):
    (plain, first), (better, second) = uniform, learned
    ours, theirs = plain.autoencoder.state_dict(), better.autoencoder.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert first["loss"] == second["loss"]
    assert 1 < first["perplexity"] <= 3
    assert better.log_prob(blocks()).mean() > plain.log_prob(blocks()).mean() + 0.5
    sharp = better.prior.log_prob(better.prior.sample(500, 0.3)).mean()
    assert sharp > better.prior.log_prob(better.prior.sample(500)).mean() + 0.2


def test_each_code_is_predicted_from_earlier_ones_only():
    prior = random_prior()
    indicators = torch.rand(1, 3, 2, 3, requires_grad=True)
    mixed = torch.einsum("nkhw,k->hw", prior.logits(indicators, WholeImage()), torch.randn(3)).flatten()
    slopes = [
        torch.autograd.grad(value, indicators, retain_graph=True)[0].abs().sum((0, 1)).flatten() for value in mixed
    ]
    moved = torch.stack(slopes) > 0
    assert not moved.triu().any()
    assert moved.diagonal(-1)[[0, 1, 3, 4]].all()  # all but the first of a row see their left neighbour


@pytest.mark.parametrize("condition", [0, 4])
def test_the_prior_is_a_distribution_that_its_sampler_follows(condition):
    prior = random_prior(condition)
    given = torch.randn(1, 4, 2, 3) if condition else None
    states = every_state(6, 3).reshape(-1, 2, 3).long()
    n = 10_000
    with torch.no_grad():
        log_prob = prior.log_prob(states, given.expand(len(states), -1, -1, -1) if condition else None)
        drawn = prior.sample(n, condition=given.expand(n, -1, -1, -1) if condition else None)
    assert log_prob.std() > 0.3
    assert log_prob.double().exp().sum() == pytest.approx(1, abs=1e-4)
    counts = torch.bincount(drawn.flatten(1) @ (3 ** torch.arange(5, -1, -1)), minlength=len(states))
    expected = log_prob.double().exp() * n
    common = expected >= 5
    assert ((counts - expected)[common].square() / expected[common]).sum() < stats.chi2.ppf(1 - 1e-5, int(common.sum()))


def test_reconstructions_are_near_and_truncation_is_by_temperature(learned):
    model, _ = learned
    assert (model.reconstruct(blocks()) != blocks()).float().mean() < 0.2
    with scoped(1):
        plain = model.sample(30)
    with scoped(1):
        assert torch.equal(model.sample_truncated(30, psi=1.0), plain)
    with pytest.raises(InputError, match="psi"):
        model.sample_truncated(2, psi=0.0)


def test_what_is_no_image_of_levels_is_refused():
    with pytest.raises(ModelError, match="vq-vae models images"):
        VQVAE(SampleSpec((5,), 3))
    with pytest.raises(ModelError, match="vq-vae-pixelcnn models levelled data"):
        VQVAEPixelCNN(SampleSpec((1, 4, 4), None))
    with pytest.raises(ValueError, match="codes"):
        Config(codes=1)
    with pytest.raises(ValueError, match="prior_width"):
        PriorConfig(prior_width=5)
