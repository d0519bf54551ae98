import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genbench.contracts import Budget, Dataset, SampleSpec, capabilities
from genbench.errors import InputError
from zoo.adversarial.penalties import orthogonality
from zoo.gan.biggan import BigGAN, Config
from zoo.gan.residual import ConditionalBatchNorm, SelfAttention

SMALL = SampleSpec((1, 8, 8), 17)
FEW = Config(latent=4, classes=3, embedding=5, width=4, critic_steps=1, steps=3, batch=8)


def small_model(config=FEW):
    torch.manual_seed(0)
    model = BigGAN(SMALL, config)
    model.settle()
    return model.eval()


def test_moments_after_the_norm_follow_the_class():
    torch.manual_seed(0)
    norm = ConditionalBatchNorm(6, 3).train()
    classes = torch.eye(3)
    labels = torch.arange(300) % 3
    gain, bias = norm.gain(classes), norm.bias(classes)
    # Equal moments in every class, so that those of the batch are theirs.
    x = torch.randn(100, 6, 4, 4).repeat_interleave(3, 0) * 5 - 2
    normed = norm(x, classes[labels])
    for label in range(3):
        values = normed[labels == label]
        assert torch.allclose(values.mean((0, 2, 3)), bias[label], atol=2e-2)
        assert torch.allclose(values.std((0, 2, 3)), (1 + gain[label]).abs(), atol=2e-2)
    assert (bias[0] - bias[1]).abs().max() > 0.1


def test_every_norm_hears_of_the_class_and_of_its_part_of_z():
    model = small_model(Config(latent=5, classes=3, embedding=5, width=4))
    heard = []
    for block in model.generator.blocks:
        for norm in block.norms:
            norm.register_forward_hook(lambda _, inputs, __: heard.append(inputs[1]))
    z, labels = torch.randn(4, 5), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        model.generator(model.coded(z, labels))
    shared = model.generator.embedding.weight.T[labels]
    assert model.generator.parts == [3, 2]
    assert len(heard) == 2
    assert all(torch.equal(condition, torch.cat([shared, z[:, 3:]], 1)) for condition in heard)


def test_scores_are_the_projection_on_the_class():
    torch.manual_seed(0)
    discriminator = small_model().discriminator_network().eval()
    images, labels = torch.randn(7, 1, 8, 8), torch.tensor([0, 1, 2, 2, 1, 0, 0])
    with torch.no_grad():
        h = discriminator.features(images).numpy()
        score, embedding = discriminator.score, discriminator.embedding.weight.numpy()
        expected = [
            h[i] @ score.weight[0].numpy() + score.bias.item() + h[i] @ embedding[labels[i].item()] for i in range(7)
        ]
        assert np.allclose(discriminator(images, labels)[:, 0], expected, atol=1e-4)
        assert not np.allclose(discriminator(images, (labels + 1) % 3)[:, 0], expected, atol=1e-2)


def test_all_layers_but_the_shared_embedding_have_spectral_norm_one():
    torch.manual_seed(0)
    model = small_model()
    discriminator = model.discriminator_network()
    with torch.no_grad():
        for network in (model.generator, discriminator):
            for weight in network.parameters():
                weight.add_(torch.randn_like(weight))
            network.train()
        for _ in range(60):
            model.generator(model.sample_latent(4))
            discriminator(torch.rand(4, 1, 8, 8), torch.zeros(4, dtype=torch.long))
    for network, count in ((model.generator.eval(), 13), (discriminator.eval(), 13)):
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding)]
        layers = [layer for layer in layers if layer is not model.generator.embedding]
        norms = [torch.linalg.svdvals(layer.weight.detach().flatten(1))[0].item() for layer in layers]
        assert norms == pytest.approx([1.0] * count, abs=0.03)


def test_attention_is_the_weighted_mean_of_all_positions():
    torch.manual_seed(0)
    attention = SelfAttention(16).eval()
    x = torch.randn(2, 16, 4, 6)
    assert torch.equal(attention(x), x), "it is learned from nothing"
    with torch.no_grad():
        attention.gamma.fill_(0.7)
        attended = attention(x)
        query, key, value = (layer(x) for layer in (attention.query, attention.key, attention.value))
        key, value = (F.max_pool2d(part, 2) for part in (key, value))
        for item, row, column in ((0, 0, 0), (1, 3, 5)):
            matches = torch.einsum("c,chw->hw", query[item, :, row, column], key[item])
            weights = matches.flatten().softmax(0)
            mean = (value[item].flatten(1) * weights).sum(1)
            expected = x[item, :, row, column] + 0.7 * attention.output.weight[:, :, 0, 0] @ mean
            assert torch.allclose(attended[item, :, row, column], expected, atol=1e-5)


def test_both_players_attend():
    model = small_model()
    for network in (model.generator, model.discriminator_network()):
        assert sum(isinstance(module, SelfAttention) for module in network.modules()) == 1


def test_the_hinge_pays_nothing_beyond_the_margin():
    model = small_model()
    real, fake = torch.tensor([[2.0], [1.0], [0.5], [-1.0]]), torch.tensor([[-3.0], [-1.0], [0.0], [4.0]])
    assert model.discriminator_loss(real, fake).item() == pytest.approx((0.5 + 2) / 4 + (1 + 5) / 4)
    assert model.generator_loss(fake).item() == 0
    assert model.generator_loss(fake + 1).item() == -1


def test_orthogonal_penalty_is_that_of_the_products_off_the_diagonal():
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 2, 2)
    rows = weight.reshape(4, -1).numpy()
    expected = ((rows @ rows.T * (1 - np.eye(4))) ** 2).sum()
    assert orthogonality(weight).item() == pytest.approx(expected, rel=1e-5)
    orthogonal = torch.linalg.qr(torch.randn(6, 4)).Q.T
    assert abs(orthogonality(orthogonal).item()) < 1e-5
    longer = torch.tensor([[1.0], [3.0], [0.1], [7.0]]) * orthogonal
    assert abs(orthogonality(longer).item()) < 1e-2 < (longer @ longer.T).square().sum(), "of any length"


def test_the_generator_is_punished_for_all_its_maps_but_the_embedding():
    model = small_model(replace(FEW, orthogonality=0.5))
    layers = [layer for layer in model.generator.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    weights = [layer.parametrizations.weight.original for layer in layers if hasattr(layer, "parametrizations")]
    assert len(weights) == len(layers) - 1
    with torch.no_grad():
        for weight in weights:
            weight.normal_()
        expected = sum(float(orthogonality(weight)) for weight in weights) * 0.5
        penalty = float(torch.as_tensor(model.generator_penalty()))
        assert penalty == pytest.approx(expected, rel=1e-4)
        model.generator.embedding.weight.normal_()
        assert float(torch.as_tensor(model.generator_penalty())) == pytest.approx(penalty)


@pytest.mark.parametrize("psi", [math.inf, 0.5])
def test_codes_hold_every_class_as_often(psi):
    model = small_model()
    codes = model.truncated_latent(3000, psi)
    z, classes = codes[:, :4], codes[:, 4:]
    assert codes.shape == (3000, *model.latent_shape)
    assert torch.equal(classes.sort(1).values, torch.tensor([0.0, 0.0, 1.0]).expand(3000, -1))
    assert torch.allclose(classes.mean(0), torch.full((3,), 1 / 3), atol=0.05)
    assert z.abs().max() <= psi
    assert z.std().item() == pytest.approx(1 if psi == math.inf else 0.28, abs=0.03)


def test_no_truncation_leaves_the_samples():
    model = small_model()
    torch.manual_seed(1)
    plain = model.sample(300)
    torch.manual_seed(1)
    assert torch.equal(model.sample_truncated(300, psi=math.inf), plain)
    torch.manual_seed(1)
    assert not torch.equal(model.sample_truncated(300, psi=0.5), plain)


def test_samples_of_a_class_are_those_of_codes_with_that_class():
    model = small_model()
    torch.manual_seed(1)
    samples = model.sample_class(20, 2)
    torch.manual_seed(1)
    z = model.sample_latent(20)[:, :4]
    assert torch.equal(samples, model.decode(torch.cat([z, torch.tensor([0.0, 0.0, 1.0]).expand(20, -1)], 1)))
    for label in (-1, 3):
        with pytest.raises(InputError, match=r"the classes are 0..2"):
            model.sample_class(1, label)


def black_and_white(labelled):
    """Black images in class 0, white ones in class 1."""
    labels = torch.arange(40) % 2
    images = (16 * labels).to(torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8).contiguous()
    labels = labels if labelled else None
    return Dataset("black and white", SMALL, images, images, labels, labels)


def test_players_are_told_the_classes_of_the_images(monkeypatch):
    torch.manual_seed(0)
    model = BigGAN(SMALL, replace(FEW, noise=0.0, classes=1))
    imagined, told = [], []
    coded, judge = model.coded, model.judge
    monkeypatch.setattr(model, "coded", lambda z, labels: imagined.append(labels) or coded(z, labels))

    def noted(discriminator, images, labels):
        told.append((images, labels))
        return judge(discriminator, images, labels)

    monkeypatch.setattr(model, "judge", noted)
    model.fit(black_and_white(labelled=True), Budget(steps=2))
    assert model.config.classes == 2
    assert model.latent_shape == (6,)
    for real, fake, fooling in (told[:3], told[3:]):
        assert torch.equal(real[0].mean((1, 2, 3)), 2.0 * real[1] - 1)
        assert torch.equal(fake[1], real[1])
        assert len(fooling[1]) == FEW.batch
    given = [labels for labels in imagined if len(labels) == FEW.batch]
    for labels, (_, shown) in zip(given, (told[1], told[2], told[4], told[5]), strict=True):
        assert torch.equal(labels, shown)


def test_data_without_labels_are_one_class():
    torch.manual_seed(0)
    model = BigGAN(SMALL, FEW)
    figures = model.fit(black_and_white(labelled=False), Budget())
    assert all(math.isfinite(value) for value in figures.values())
    assert model.config.classes == 1
    loaded = BigGAN(SMALL, model.config)
    loaded.load_state_dict(model.state_dict())
    assert loaded.eval().sample_class(3, 0).shape == model.sample(3).shape == (3, 1, 8, 8)
    assert capabilities(loaded) == ("truncation", "latent", "training")
    assert all(name.startswith("generator.") for name in model.state_dict())


@pytest.mark.parametrize("wrong", [{"classes": 0}, {"embedding": 0}, {"width": 0}, {"orthogonality": -1.0}])
def test_a_config_is_checked(wrong):
    with pytest.raises(ValueError, match="must be"):
        Config(**wrong)
