import math

import pytest
import torch
import torch.nn.functional as F

from genbench.contracts import Budget, Dataset, SampleSpec, capabilities
from zoo.adversarial.penalties import path_lengths
from zoo.gan.stylegan2 import Config, ModulatedConv, StyleGAN2

SMALL = SampleSpec((1, 8, 8), 17)
FEW = Config(latent=8, depth=2, mapping_speed=0.1, width=4, steps=5, batch=8, path_every=2, penalty_every=2)


def test_modulation_is_a_convolution_with_weights_of_its_own_for_every_image():
    torch.manual_seed(0)
    layer, x, w = ModulatedConv(5, 7, 3), torch.randn(4, 5, 6, 6), torch.randn(4, 3)
    style = w @ layer.style.weight.T / math.sqrt(3) + 1
    images = layer(x, w)
    for image in range(4):
        weight = layer.weight / math.sqrt(45) * style[image][None, :, None, None]
        weight = weight / weight.flatten(1).norm(dim=1)[:, None, None, None]
        assert torch.allclose(images[image], F.conv2d(x[image : image + 1], weight, padding=1)[0], atol=1e-4)


def test_demodulation_keeps_unit_variance_whatever_the_style():
    torch.manual_seed(0)
    layer, x = ModulatedConv(64, 64, 3), torch.randn(8, 64, 16, 16)
    for scale in (1.0, 30.0):
        made = layer(x, scale * torch.randn(8, 3))[..., 1:-1, 1:-1]
        assert made.std().item() == pytest.approx(1, abs=0.05)


def test_path_lengths_of_a_linear_generator_have_a_closed_form():
    """Images A w: J^T y is A^T y, whose expected square is the squared norm of A over the number of pixels."""
    torch.manual_seed(0)
    maps = torch.randn(64, 5)
    w = torch.randn(4000, 1, 5, requires_grad=True)
    lengths = path_lengths((w[:, 0] @ maps.T).unflatten(1, (1, 8, 8)), w)
    assert lengths.shape == (4000,)
    assert lengths.square().mean().item() == pytest.approx((maps.square().sum() / 64).item(), rel=0.05)


def test_the_path_penalty_enters_in_some_steps_and_its_mean_follows():
    torch.manual_seed(0)
    model = StyleGAN2(SMALL, FEW)
    before = model.generator.path_mean.clone()
    for step, enters in ((1, False), (2, True), (3, False)):
        model.begin_step(model, step, 10)
        penalty = model.generator_penalty()
        assert isinstance(penalty, torch.Tensor) == enters
        if enters:
            assert float(penalty.detach()) > 0
    assert model.generator.path_mean > before


def test_images_are_sums_over_resolutions():
    torch.manual_seed(0)
    model = StyleGAN2(SMALL, FEW).eval()
    synthesis, w = model.generator.synthesis, torch.randn(3, 3, 8)
    with torch.no_grad():
        whole = synthesis(w)
        for parameter in synthesis.painters[1].parameters():
            parameter.zero_()
        coarse = synthesis(w)
        x = synthesis.layers[0](synthesis.constant.expand(3, -1, -1, -1), w[:, 0])
        painted = synthesis.painters[0](x, w[:, 0]).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert not torch.allclose(whole, coarse)
    assert torch.allclose(coarse, synthesis.blur(painted), atol=1e-5)


def test_trains_and_truncates_towards_one_mean():
    torch.manual_seed(0)
    data = torch.randint(17, (30, 1, 8, 8)).to(torch.uint8)
    model = StyleGAN2(SMALL, FEW)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    figures = model.fit(Dataset("noise", SMALL, data, data), Budget())
    assert all(math.isfinite(value) for value in figures.values())
    after = model.state_dict()
    assert not any(torch.equal(before[name], after[name]) for name in before), "everything learns"
    assert after["generator.w_mean"].shape == (1, 8)
    assert capabilities(model) == ("truncation", "latent", "training")


@pytest.mark.parametrize("wrong", [{"path_every": 0}, {"path_penalty": -1.0}])
def test_a_config_is_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Config(**wrong)
