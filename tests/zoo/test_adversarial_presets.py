import pytest

from genbench.contracts import SampleSpec
from genbench.plugins import registry
from zoo.adversarial.presets import PRESETS, preset, size

SIZES = {8: "8", 16: "8", 28: "28", 32: "32", 64: "64", 256: "64"}
MODELS = {
    card.name: registry.load(card.target.removesuffix(".build"))
    for card in registry.models().values()
    if card.family in ("gan", "translation")
}


@pytest.mark.parametrize(("side", "name"), SIZES.items())
def test_presets_go_by_the_larger_side(side, name):
    assert size(SampleSpec((3, side, side // 2), 256)) == name


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_preset_for_every_size(name):
    kind = MODELS[name]
    sizes = [kind.recipe(SampleSpec((1, side, side), 256)) for side in (8, 28, 32, 256)]
    assert sizes[0] != sizes[1] != sizes[3]
    assert sizes[-1].steps > sizes[1].steps, "256 x 256 gets more than 28 x 28"


def test_two_levels_may_have_a_preset_of_their_own():
    grey, binary = (preset("dcgan", SampleSpec((1, 8, 8), levels)) for levels in (17, 2))
    assert grey["latent"] > binary["latent"]
    assert preset("gan", SampleSpec((1, 8, 8), 2)) == PRESETS["gan"]["8"]
