import math

import pytest
import torch
import torch.nn.functional as F

from genbench.contracts import Budget, Dataset, SampleSpec, capabilities
from genbench.errors import ModelError
from zoo.gan.equalised import Blur
from zoo.gan.stylegan import AdaptiveInstanceNorm, Config, Noise, StyleGAN

SMALL = SampleSpec((1, 8, 8), 17)
FEW = Config(latent=8, modes=2, depth=2, mapping_speed=0.1, width=4, steps=3, batch=8)


def small_model(spec=SMALL, config=FEW, noise=0.0):
    """A model with styles that matter, as after a training."""
    torch.manual_seed(0)
    model = StyleGAN(spec, config)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Noise):
                module.scale.fill_(noise)
    model.generator.measure_means(model.sample_latent(2000))
    return model.eval()


def test_adaptive_norm_gives_every_channel_the_moments_of_its_style():
    torch.manual_seed(0)
    norm = AdaptiveInstanceNorm(5, 3)
    x, w = torch.randn(4, 5, 16, 16) * 3 + 2, torch.randn(4, 3)
    deviation, mean = (w @ norm.style.weight.T / math.sqrt(3)).chunk(2, 1)
    normed = norm(x, w)
    assert torch.allclose(normed.mean((2, 3)), mean, atol=1e-4)
    assert torch.allclose(normed.std((2, 3), correction=0), (1 + deviation).abs(), atol=1e-4)
    assert torch.allclose(norm(5 * x - 1, w), normed, atol=1e-4), "what the moments were before is forgotten"


def test_noise_is_one_value_for_a_pixel_and_a_factor_for_a_channel():
    torch.manual_seed(0)
    noise = Noise(3)
    x = torch.rand(50, 3, 8, 8)
    assert torch.equal(noise(x), x), "it is learned from nothing"
    with torch.no_grad():
        noise.scale.copy_(torch.tensor([0.0, 1.0, -2.0])[:, None, None])
    added = noise(x) - x
    assert torch.allclose(added[:, 2], -2 * added[:, 1], atol=1e-5)
    assert not added[:, 0].any()
    assert added[:, 1].std().item() == pytest.approx(1, abs=0.05)


def test_noise_changes_images_of_one_w_and_no_noise_leaves_them():
    z = torch.randn(1, FEW.latent).expand(20, -1)
    with torch.no_grad():
        still, moving = small_model().generator(z), small_model(noise=0.1).generator(z)
    assert still.std(0).max() < 1e-6
    assert moving.std(0).mean() > 1e-3


def test_mixing_switches_from_one_w_to_the_other_at_the_crossover():
    model = small_model(SampleSpec((1, 16, 16), 17))
    network = model.generator
    received = []
    for layer in network.synthesis.layers:
        layer.register_forward_hook(lambda _, inputs, __: received.append(inputs[1]))
    w = network.mapping(model.sample_latent(14))
    first, second = w[:7], w[7:]
    with torch.no_grad():
        mixed = network.mixed(first, second, torch.arange(7))
        assert len(received) == 6, "two layers for each of 4 x 4, 8 x 8 and 16 x 16"
        for layer, styles in enumerate(received):
            for crossover in range(7):
                expected = first if layer < crossover else second
                assert torch.equal(styles[crossover], expected[crossover])
        assert torch.allclose(mixed[6], network.painted(first)[6], atol=1e-6)
        assert torch.allclose(mixed[0], network.painted(second)[0], atol=1e-6)
        for crossover in range(1, 6):
            for alone in (first, second):
                assert not torch.allclose(mixed[crossover], network.painted(alone)[crossover], atol=1e-3)


@pytest.mark.parametrize(("mixing", "lowest", "highest"), [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.3, 0.2, 0.4)])
def test_training_mixes_as_often_as_it_should(mixing, lowest, highest, monkeypatch):
    model = small_model(config=Config(latent=8, modes=2, depth=2, width=4, mixing=mixing))
    crossovers = []
    mixed = model.generator.mixed

    def noted(first, second, crossover):
        crossovers.append(crossover)
        return mixed(first, second, crossover)

    monkeypatch.setattr(model.generator, "mixed", noted)
    assert model.imagine(500, None).shape == (500, 1, 8, 8)
    (levels,) = crossovers
    assert lowest <= (levels < 4).float().mean() <= highest
    assert set(levels.tolist()) <= {1, 2, 3, 4}


def test_means_of_w_are_those_of_every_mode():
    model = small_model()
    network, z = model.generator, model.sample_latent(300)
    network.measure_means(z)
    for mode in (0, 1):
        chosen = z[z[:, mode] > z[:, 1 - mode]]
        assert torch.allclose(network.w_mean[mode], network.mapping(chosen).mean(0), atol=1e-5)
    assert not torch.allclose(*network.w_mean, atol=0.1)


def test_truncation_draws_w_to_the_mean_of_its_mode():
    model = small_model()
    network, z = model.generator, model.sample_latent(50)
    w, mean = network.mapping(z), network.w_mean[z[:, :2].argmax(1)]
    assert torch.equal(network.truncated(z, 1.0), w)
    assert torch.equal(network.truncated(z, 0.0), mean)
    assert torch.allclose(network.truncated(z, 0.3), mean + 0.3 * (w - mean), atol=1e-6)


@pytest.mark.parametrize("modes", [0, 2])
def test_full_truncation_leaves_the_mean_images_and_none_the_plain_samples(modes):
    model = small_model(config=Config(latent=8, modes=modes, depth=2, width=4))
    with torch.no_grad():
        means = model.quantised(model.generator.painted(model.generator.w_mean))
    truncated = model.sample_truncated(60, psi=1e-7)
    assert len(truncated.unique(dim=0)) == max(1, modes)
    assert torch.equal(truncated.unique(dim=0), means.unique(dim=0))
    torch.manual_seed(1)
    plain = model.sample(300)
    torch.manual_seed(1)
    assert torch.equal(model.sample_truncated(300, psi=1.0), plain)
    assert len(plain.unique(dim=0)) > 100


def test_blur_is_the_binomial_filter():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 5)
    kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
    expected = F.conv2d(F.pad(x, (1, 1, 1, 1), "replicate"), torch.outer(kernel, kernel).expand(3, 1, 3, 3), groups=3)
    assert torch.allclose(Blur()(x), expected, atol=1e-6)
    blurred = [isinstance(layer.blur, Blur) for layer in small_model().generator.synthesis.layers]
    assert blurred == [False, False, True, False], "after each enlargement"


@pytest.mark.parametrize("psi", [-0.1, math.inf, math.nan])
def test_psi_must_be_a_number_that_is_not_negative(psi):
    with pytest.raises(ModelError, match="psi must be finite and not negative"):
        small_model().sample_truncated(1, psi=psi)


def test_codes_of_any_length_give_the_same_w():
    network = small_model().generator
    z = torch.randn(20, FEW.latent)
    plain = StyleGAN(SMALL, Config(latent=8, depth=2, width=4)).generator.mapping
    assert torch.allclose(network.mapping[:2](z).square().mean(1), torch.ones(20), atol=1e-4)
    assert torch.allclose(plain(z), plain(5 * z), atol=1e-4)
    assert not torch.allclose(plain(z), plain(-z), atol=1e-2)


def test_trains_and_keeps_the_means_in_its_checkpoint():
    torch.manual_seed(0)
    data = torch.randint(17, (30, 1, 8, 8)).to(torch.uint8)
    model = StyleGAN(SMALL, FEW)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    figures = model.fit(Dataset("noise", SMALL, data, data), Budget())
    assert all(math.isfinite(value) for value in figures.values())
    after = model.state_dict()
    assert after["generator.w_mean"].any(1).all()
    assert not any(torch.equal(before[name], after[name]) for name in before), "everything learns"
    assert capabilities(model) == ("truncation", "latent", "training")
    assert model.decode(model.sample_latent(3)).shape == (3, 1, 8, 8)


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"mapping_speed": 0.0}, {"mixing": 1.5}, {"modes": 1000}])
def test_a_config_is_checked(wrong):
    with pytest.raises(ValueError, match="must be"):
        Config(**wrong)
