import pytest
import torch
from sourced import GREY, SPECS, fresh, sourced, trains_and_keeps_the_contract

from genbench.contracts import capabilities
from zoo.translation.cyclegan import Config, CycleGAN, ImagePool
from zoo.translation.translator import Feed


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_trains_on_images_of_any_size(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path))
    trains_and_keeps_the_contract(CycleGAN, sourced(spec, maps=0, paired=False))


def test_sources_may_have_other_levels_and_channels():
    data = sourced(GREY, maps=1, paired=False, levels=2)
    model = fresh(CycleGAN, data, width=2, blocks=1)
    assert model.translate(data.source.heldout).shape == data.heldout.shape
    back = model.cycle(data.source.heldout)
    assert back.shape == data.source.heldout.shape
    assert back.dtype == torch.uint8
    assert int(back.max()) <= 1
    x, y = model.scaled_sources(data.source.train), model.scaled(data.train)
    assert torch.isfinite(model.generator_loss(model.discriminator_network(), x, y)), "without an identity loss"


class By(torch.nn.Module):
    """A generator that is a function."""

    def __init__(self, function):
        super().__init__()
        self.forward = function
        self.register_buffer("place", torch.zeros(1))


def marked(start, n):
    """Images whose only pixel is their number."""
    return torch.arange(start, start + n).float().reshape(-1, 1, 1, 1)


def test_the_pool_gives_back_all_until_it_is_full():
    pool = ImagePool(50, (1, 1, 1))
    for start in (0, 20):
        assert torch.equal(pool(marked(start, 20)), marked(start, 20))
    out = pool(marked(40, 20)).flatten()
    assert torch.equal(out[:10], torch.arange(40.0, 50.0))
    assert sorted(torch.cat([out[10:], pool.images.flatten()]).tolist()) == sorted([*range(50), *range(50, 60)])


def test_half_of_what_a_full_pool_gives_is_old():
    torch.manual_seed(0)
    pool = ImagePool(50, (1, 1, 1))
    fresh_share, ages, total = 0.0, [], 0
    for step in range(400):
        start = 20 * step
        out = pool(marked(start, 20)).flatten()
        if step < 50:
            continue
        assert len(set(out.tolist())) == 20, "no image is given twice at once"
        old = out[out < start]
        fresh_share += 20 - len(old)
        ages += (step - (old // 20)).tolist()
        total += 20
    assert fresh_share / total == pytest.approx(0.5, abs=0.02)
    # An image leaves with probability 20/2 of 50 per step: its age is geometric with mean 5.
    assert torch.tensor(ages).mean().item() == pytest.approx(5, rel=0.05)


def test_the_cycle_loss_is_zero_where_the_way_back_undoes_the_way_there():
    data = sourced(GREY, maps=0, paired=False)
    model = fresh(CycleGAN, data)
    x, y = model.scaled_sources(data.source.train), model.scaled(data.train)
    flip = By(lambda image: image.flip(3))
    model.generator = torch.nn.ModuleDict({"there": flip, "back": flip})
    assert model.cycle_loss(x, y, model(x), model.back(y)) == 0
    assert torch.equal(model.cycle(data.source.train), data.source.train)
    assert model.identity_loss(x, y) > 0
    model.generator["back"] = By(lambda image: image + 0.25)
    expected = (x.flip(3) + 0.25 - x).abs().mean() + ((y + 0.25).flip(3) - y).abs().mean()
    assert model.cycle_loss(x, y, model(x), model.back(y)).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_way_back_starts_from_what_translate_returns():
    data = sourced(GREY, maps=0, paired=False)
    model = fresh(CycleGAN, data, width=2)
    with torch.no_grad():
        translated = model.translate(data.source.heldout)
        back = model.back(translated.float() / 8 - 1)
    assert torch.equal(model.cycle(data.source.heldout), ((back + 1) * 8).round().to(torch.uint8))


def test_losses_are_least_squares():
    data = sourced(GREY, maps=0, paired=False)
    model = fresh(CycleGAN, data, noise=0.0, cycle=2.0, identity=3.0, batch=30)
    x, y = model.scaled_sources(data.source.train), model.scaled(data.train)
    sides = model.discriminator_network()
    targets, sources = sides["targets"].discriminator, sides["sources"].discriminator
    with torch.no_grad():
        there, back = model(x), model.back(y)
        judged = [(targets(y) - 1) ** 2, targets(there) ** 2, (sources(x) - 1) ** 2, sources(back) ** 2]
        assert model.discriminator_loss(sides, x, y).item() == pytest.approx(
            sum(part.mean().item() for part in judged) / 2, rel=1e-4
        )
        fooled = ((targets(there) - 1) ** 2).mean() + ((sources(back) - 1) ** 2).mean()
        there_again, back_again = (model(back) - y).abs().mean(), (model.back(there) - x).abs().mean()
        identity = (model(y) - y).abs().mean() + (model.back(x) - x).abs().mean()
        expected = fooled + 2 * (there_again + back_again) + 3 * identity
        assert model.generator_loss(sides, x, y).item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_pairs_are_not_used():
    torch.manual_seed(0)
    data = sourced(GREY, maps=0)
    model = fresh(CycleGAN, data, batch=30)
    x, y = Feed(model, data).batch()
    assert torch.equal(x.sum(), model.scaled_sources(data.source.train).sum())
    paired = (x.flip(2) == y).flatten(1).all(1)
    assert paired.float().mean() < 0.5


def test_offers_translations_and_cycles():
    model = fresh(CycleGAN, sourced(GREY, maps=0, paired=False))
    assert capabilities(model) == ("translation", "cycle", "training")
    assert all(name.startswith("generator.") for name in model.state_dict())
    with pytest.raises(ValueError, match="the pool must hold a batch"):
        Config(pool=10)
