import dataclasses

import pytest
import torch
from sourced import GREY, SPECS, fresh, sourced, trains_and_keeps_the_contract

from genbench.contracts import Budget, Setting, capabilities
from genbench.errors import ModelError
from zoo.adversarial.penalties import gradient_penalty
from zoo.translation.ganimation import Config, GANimation, blended, roughness


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_trains_on_images_of_any_size(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path))
    trains_and_keeps_the_contract(GANimation, sourced(spec))


@pytest.mark.parametrize(("bias", "attention"), [(200.0, 1.0), (-200.0, 0.0)])
def test_attention_at_its_ends_keeps_the_source_or_replaces_it(bias, attention):
    data = sourced(GREY)
    model = fresh(GANimation, data)
    with torch.no_grad():
        model.generator.layers[-1].weight[0] = 0
        model.generator.layers[-1].bias[0] = bias
        image, condition = model.split(model.scaled_sources(data.source.heldout))
        mask, colour = model.masks(image, condition)
    assert (mask == attention).all()
    unmoved = model.translate(data.source.heldout)
    if attention:
        assert torch.equal(unmoved, data.source.heldout[:, :1])
    else:
        assert torch.equal(unmoved, model.quantised(colour))


def test_attention_blends_pixel_by_pixel():
    image, colour = torch.full((1, 1, 2, 2), 0.8), torch.full((1, 1, 2, 2), -0.4)
    attention = torch.tensor([[[[0.0, 0.25], [0.5, 1.0]]]])
    assert torch.allclose(blended(image, attention, colour), torch.tensor([[[[-0.4, -0.1], [0.2, 0.8]]]]))


def test_roughness_is_the_squared_total_variation():
    mask = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    assert roughness(mask).item() == pytest.approx((1 + 0.25 + 0.25 + 0) / 2)


@pytest.mark.parametrize("slope", [0.0, 1.0, 3.0])
def test_the_gradient_penalty_of_a_linear_critic(slope):
    direction = torch.randn(1, 8, 8)
    direction *= slope / direction.norm()

    def critic(points):
        return (points * direction).sum((1, 2, 3)) - 5

    penalty = gradient_penalty(critic, torch.randn(6, 1, 8, 8), torch.randn(6, 1, 8, 8))
    assert penalty.item() == pytest.approx((slope - 1) ** 2, abs=1e-4)


def test_the_penalty_is_taken_between_real_and_generated_images():
    batches = []

    def critic(points):
        batches.append(points.detach())
        return points.square().sum(1, keepdim=True)

    gradient_penalty(critic, torch.zeros(500, 1, 8, 8), torch.ones(500, 1, 8, 8)).item()
    share = batches[0][:, 0, 0, 0]
    assert torch.equal(batches[0], share[:, None, None, None].expand(-1, 1, 8, 8))
    assert share.min() < 0.05
    assert share.max() > 0.95
    assert share.mean().item() == pytest.approx(0.5, abs=0.05)


def test_losses_are_those_of_the_paper(monkeypatch):
    data = sourced(GREY)
    weights = {"penalty": 2.0, "condition": 3.0, "returning": 5.0, "saturation": 7.0, "smoothness": 11.0}
    model = fresh(GANimation, data, noise=0.0, **weights)
    monkeypatch.setattr(model, "asked", lambda condition: condition.roll(1, 0))
    x, y = model.scaled_sources(data.source.train), model.scaled(data.train)
    critic = model.discriminator_network()
    own, wanted = x[:, 1, 0, 0, None], x[:, 1, 0, 0, None].roll(1, 0)
    with torch.no_grad():
        first, colour = model.masks(y, wanted)
        made = blended(y, first, colour)
        second, colour_again = model.masks(made, own)
        loss = 3 * (critic(made)[1] - wanted).square().mean() - critic(made)[0].mean()
        loss += 5 * (blended(made, second, colour_again) - y).abs().mean()
        loss += sum(7 * mask.square().mean() + 11 * roughness(mask) for mask in (first, second))
        assert model.generator_loss(critic, x, y).item() == pytest.approx(loss.item(), rel=1e-4)
    torch.manual_seed(4)
    judged = model.discriminator_loss(critic, x, y).item()

    def mean_score(images):
        return critic(images)[0].mean((1, 2, 3))  # over patches

    torch.manual_seed(4)
    expected = critic(made)[0].mean() - critic(y)[0].mean() + 3 * (critic(y)[1] - own).square().mean()
    assert judged == pytest.approx((expected + 2 * gradient_penalty(mean_score, y, made)).item(), rel=1e-3)


def test_the_images_of_the_sources_serve_no_training():
    data = sourced(GREY)
    source = data.source
    others = torch.cat([source.train[:, :1].flip(0), source.train[:, 1:]], 1)
    changed = dataclasses.replace(data, source=dataclasses.replace(source, train=others))
    states = []
    for each in (data, changed):
        torch.manual_seed(0)
        model = fresh(GANimation, each, width=2)
        model.fit(each, Budget(steps=2))
        states.append(model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_the_condition_reaches_the_generator():
    data = sourced(GREY)
    model = fresh(GANimation, data)
    asked = data.source.heldout.clone()
    asked[:, 1] = 16 - asked[:, 1]
    assert not torch.equal(model.translate(asked), model.translate(data.source.heldout))
    condition = model.split(model.scaled_sources(data.source.heldout))[1]
    assert torch.allclose(condition[:, 0], data.source.heldout[:, 1, 0, 0] / 8 - 1)


def test_what_is_asked_for_are_conditions_of_the_batch():
    model = fresh(GANimation, sourced(GREY))
    condition = torch.arange(20.0)[:, None]
    assert sorted(model.asked(condition).flatten().tolist()) == condition.flatten().tolist()
    assert not torch.equal(model.asked(condition), condition)


def test_refuses_sources_without_a_condition():
    with pytest.raises(ModelError, match="an image and planes of a condition, not of 1"):
        GANimation.build(Setting("ganimation", "test", sourced(GREY, maps=0), trained=False))
    with pytest.raises(ValueError, match="weights of losses"):
        Config(penalty=-1.0)


def test_offers_translations():
    model = fresh(GANimation, sourced(GREY))
    assert capabilities(model) == ("translation", "training")
    assert all(name.startswith("generator.") for name in model.state_dict())
