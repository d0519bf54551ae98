import pytest
import torch
from sourced import GREY, SPECS, fresh, sourced, trains_and_keeps_the_contract

from genbench.contracts import Budget, Setting, capabilities
from genbench.errors import ModelError
from zoo.translation.pose_gan import Config, PoseGAN


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_trains_on_images_of_any_size(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path))
    trains_and_keeps_the_contract(PoseGAN, sourced(spec))


def test_the_refinement_is_added_to_the_coarse_image():
    data = sourced(GREY)
    model = fresh(PoseGAN, data)
    x = data.source.heldout
    assert not torch.equal(model.translate(x), model.coarse(x))
    with torch.no_grad():
        scaled = model.scaled_sources(x)
        coarse = model.coarse_generator(scaled)
        difference = model.generator(torch.cat([scaled[:, :1], coarse], 1))
        assert torch.allclose(model(scaled) - coarse, difference, atol=1e-6)
        for parameter in model.generator.last.parameters():
            parameter.zero_()
    assert torch.equal(model.translate(x), model.coarse(x)), "a difference map of zeros changes nothing"


def test_the_refinement_sees_the_pose_in_the_coarse_image_only():
    data = sourced(GREY)
    model = fresh(PoseGAN, data)
    scaled = model.scaled_sources(data.source.heldout)
    other = torch.cat([scaled[:, :1], -scaled[:, 1:]], 1)
    with torch.no_grad():
        coarse = model.coarse_generator(scaled)
        assert torch.equal(model.refined(scaled, coarse), model.refined(other, coarse))
        assert not torch.equal(model.coarse_generator(other), coarse)


def test_the_first_stage_learns_alone_and_stays_as_it_is_in_the_second():
    torch.manual_seed(0)
    data = sourced(GREY)
    model = fresh(PoseGAN, data, coarse_width=2, width=2)
    stages = []

    def watch(step, steps, figures):
        networks = (model.coarse_generator, model.generator)
        weights = [torch.cat([p.detach().flatten() for p in each.parameters()]) for each in networks]
        stages.append((set(figures), weights))

    model.fit(data, Budget(steps=3, progress=watch))
    (_, first), (_, second) = stages[0], stages[1]
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    (_, third), (figures, last) = stages[3], stages[5]
    assert figures == {"discriminator_loss", "generator_loss"}
    assert torch.equal(third[0], last[0])
    assert not torch.equal(third[1], last[1])


def test_the_mask_doubles_errors_near_the_pose():
    model = fresh(PoseGAN, sourced(GREY), reach=1)
    x = torch.full((1, 2, 8, 8), -1.0)
    x[0, 1, 3, 4] = 0.5
    y = torch.zeros(1, 1, 8, 8)

    def distance(row, column):
        made = y.clone()
        made[0, 0, row, column] = 1.0
        return 64 * model.masked_distance(x, y, made).item()

    near = torch.tensor([[distance(row, column) for column in range(8)] for row in range(8)])
    expected = torch.ones(8, 8)
    expected[2:5, 3:6] = 2
    assert torch.allclose(near, expected)


def test_losses_are_those_of_the_paper():
    data = sourced(GREY)
    model = fresh(PoseGAN, data, noise=0.0, closeness=3.0)
    x, y = model.scaled_sources(data.source.train), model.scaled(data.train)
    discriminator = model.discriminator_network()
    with torch.no_grad():
        made = model(x)
        real = torch.sigmoid(discriminator(torch.cat([x[:, :1], y], 1)))
        fake = torch.sigmoid(discriminator(torch.cat([x[:, :1], made], 1)))
        judged = model.discriminator_loss(discriminator, x, y).item()
        loss = model.generator_loss(discriminator, x, y).item()
    assert judged == pytest.approx(-(real.log().mean() + (1 - fake).log().mean()).item(), rel=1e-4)
    expected = -fake.log().mean() + 3 * model.masked_distance(x, y, made)
    assert loss == pytest.approx(expected.item(), rel=1e-4)


def test_refuses_sources_without_a_pose_map():
    with pytest.raises(ModelError, match="models sources of an image and a pose map, not of 1"):
        PoseGAN.build(Setting("pose-gan", "test", sourced(GREY, maps=0), trained=False))
    with pytest.raises(ValueError, match="closeness and reach"):
        Config(reach=-1)


def test_offers_translations():
    model = fresh(PoseGAN, sourced(GREY))
    assert capabilities(model) == ("translation", "training")
    assert {name.split(".")[0] for name in model.state_dict()} == {"coarse_generator", "generator"}
