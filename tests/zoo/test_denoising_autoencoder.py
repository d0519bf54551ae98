import pytest
import torch

from genbench.contracts import Budget, Dataset, SampleSpec, capabilities
from genbench.data.digits import digits
from genbench.errors import InputError, ModelError
from genbench.likelihood import every_state
from genbench.seeding import scoped
from zoo.vae.autoencoder import Autoencoder
from zoo.vae.autoencoder import Config as AutoencoderConfig
from zoo.vae.denoising_autoencoder import Config, DenoisingAutoencoder

TINY = SampleSpec((1, 2, 3), 2)
STATES = every_state(6).reshape(64, 1, 2, 3)
WEIGHTS = {0b000000: 0.4, 0b111000: 0.3, 0b000111: 0.2, 0b111111: 0.1}
RATE = 0.12


@pytest.mark.parametrize(("levels", "rate"), [(2, 0.5), (17, 0.2), (17, 1.0)])
def test_corruption_replaces_dimensions_at_the_stated_rate_by_uniform_levels(levels, rate):
    model = DenoisingAutoencoder(SampleSpec((1, 4, 4), levels))
    x = torch.full((4000, 1, 4, 4), levels - 1, dtype=torch.uint8)
    with scoped(0, "test"):
        corrupted = model.corrupt(x, rate)
    counts = torch.bincount(corrupted.flatten().long(), minlength=levels) / x.numel()
    expected = torch.full((levels,), rate / levels)
    expected[-1] += 1 - rate
    torch.testing.assert_close(counts, expected, atol=0.01, rtol=0)
    # Dimensions are replaced independently: the number replaced in an item is binomial.
    changed = (corrupted != x).flatten(1).sum(1).float()
    p = rate * (1 - 1 / levels)
    assert changed.var() == pytest.approx(16 * p * (1 - p), rel=0.1)


def test_every_item_may_have_a_rate_of_its_own():
    model = DenoisingAutoencoder(SampleSpec((1, 8, 8), 17))
    x = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    with scoped(1, "test"):
        corrupted = model.corrupt(x, torch.tensor([0.0, 0.5, 1.0]))
    changed = (corrupted > 0).flatten(1).float().mean(1)
    assert changed[0] == 0
    assert 0.2 < changed[1] < 0.75 < changed[2]


def test_denoises_better_than_the_plain_autoencoder():
    """Both are trained equally long on the same digits; one of them has seen noise."""
    dataset = digits()
    with scoped(2, "test"):
        denoising = DenoisingAutoencoder(dataset.spec, Config(hidden=64))
        plain = Autoencoder(dataset.spec, AutoencoderConfig(hidden=64, latent=32))
        for model in (denoising, plain):
            model.fit(dataset, Budget(steps=300))
        clean = dataset.heldout[:400]
        corrupted = denoising.corrupt(clean, 0.25)
    error = {
        name: (x.float() - clean).square().mean()
        for name, x in (
            ("given", corrupted),
            ("denoising", denoising.reconstruct(corrupted)),
            ("plain", plain.reconstruct(corrupted)),
            ("plain, of clean items", plain.reconstruct(clean)),
        )
    }
    assert error["denoising"] < 0.75 * error["given"]
    assert error["denoising"] < 0.85 * error["plain"]
    assert error["plain, of clean items"] < error["plain"]


@pytest.fixture(scope="module")
def tiny():
    """Trained on four of 64 states, with a single rate; and their distribution."""
    with scoped(3, "test"):
        data = torch.cat([STATES[[state]].repeat(int(1000 * weight), 1, 1, 1) for state, weight in WEIGHTS.items()])
        config = Config(least=RATE, most=RATE, hidden=32, dropout=0.0, decay=0.0, steps=400, batch=500, rate=1e-2)
        model = DenoisingAutoencoder(TINY, config)
        model.fit(Dataset("tiny", TINY, data, data), Budget())
    truth = torch.zeros(64, dtype=torch.float64)
    truth[list(WEIGHTS)] = torch.tensor(list(WEIGHTS.values()), dtype=torch.float64)
    return model, truth


def corruption():
    """C(x~|x) of all pairs of states at RATE: (64, 64)."""
    bits = STATES.flatten(1)
    differ = (bits[:, None] != bits).double()
    return (differ * RATE / 2 + (1 - differ) * (1 - RATE / 2)).prod(2)


@torch.no_grad()
def reconstruction(model):
    """The model's p(x|x~) of all pairs, x~ first: (64, 64)."""
    parameters = model.parameters_given(STATES).repeat_interleave(64, 0)
    return model.observation.log_prob(parameters, STATES.repeat(64, 1, 1, 1)).reshape(64, 64).double().exp()


def test_learns_the_posterior_of_every_dimension(tiny):
    model, truth = tiny
    joint = truth[:, None] * corruption()
    marginal = joint.sum(0)
    expected = (joint / marginal).T @ STATES.flatten(1).double()
    with torch.no_grad():
        got = model.parameters_given(STATES).softmax(1)[:, 1].flatten(1).double()
    assert marginal @ (got - expected).abs().mean(1) < 0.03
    assert (got - expected)[marginal > 0.05].abs().max() < 0.08


def test_the_chains_stationary_distribution_is_close_to_the_datas(tiny):
    model, truth = tiny
    transition = corruption() @ reconstruction(model)
    stationary = torch.linalg.matrix_power(transition, 5000)[0]
    frequencies = truth @ STATES.flatten(1).double()
    bits = STATES.flatten(1).double()
    independent = (bits * frequencies + (1 - bits) * (1 - frequencies)).prod(1)

    def distance(p):
        return (p - truth).abs().sum() / 2

    assert stationary.sum() == pytest.approx(1, abs=1e-3)
    assert distance(independent) > 0.8
    assert distance(stationary) < 0.12


def test_steps_of_the_chain_corrupt_and_then_draw(tiny):
    model, _ = tiny
    transition = corruption() @ reconstruction(model)
    n = 20_000
    for state in (0b000111, 0b010100):
        with scoped(4, "test"), torch.no_grad():
            x = model.step(STATES[[state]].expand(n, 1, 2, 3), RATE)
        assert x.dtype == torch.uint8
        counts = torch.bincount(x.flatten(1).long() @ 2 ** torch.arange(5, -1, -1), minlength=64)
        expected = n * transition[state]
        common = expected > 5
        assert common.sum() > 4
        assert ((counts - expected)[common].square() / expected[common]).sum() < common.sum() + 5 * (
            2 * common.sum()
        ).sqrt()


def test_chains_start_at_noise_and_end_with_the_least_corruption(monkeypatch):
    with scoped(5, "test"):
        model = DenoisingAutoencoder(TINY, Config(least=0.1, most=0.9, chain=5)).eval()
        calls, original = [], DenoisingAutoencoder.step

        def watch(self, x, rate):
            calls.append((x, rate))
            return original(self, x, rate)

        monkeypatch.setattr(DenoisingAutoencoder, "step", watch)
        x = model.sample(200)
    assert x.shape == (200, 1, 2, 3)
    assert [rate for _, rate in calls] == pytest.approx([0.9, 0.7, 0.5, 0.3, 0.1])
    assert calls[0][0].float().mean() == pytest.approx(0.5, abs=0.1)


def test_has_no_likelihood_and_takes_any_levels():
    for levels, numbers in ((17, 17), (256, 2)):
        with scoped(6, "test"):
            model = DenoisingAutoencoder(SampleSpec((3, 4), levels), Config(chain=2))
            x = torch.randint(levels, (5, 3, 4)).to(torch.uint8)
            assert model.parameters_given(x).shape == (5, numbers, 3, 4)
            assert model.reconstruct(x).shape == model.sample(5).shape == (5, 3, 4)
    assert capabilities(model) == ("reconstruction", "training")


def test_what_it_cannot_model_is_refused():
    with pytest.raises(ModelError, match="denoising-autoencoder models levelled data"):
        DenoisingAutoencoder(SampleSpec((4,), None))
    with pytest.raises(InputError, match="levels"):
        DenoisingAutoencoder(TINY).reconstruct(STATES + 1)
    for wrong in ({"least": 0.0}, {"least": 0.6, "most": 0.5}, {"most": 1.1}, {"chain": 0}, {"dropout": 1.0}):
        with pytest.raises(ValueError, match="must"):
            Config(**wrong)
