"""Models from files: samples as they were saved, and networks that are called as their documentation says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

import genbench
from genbench.contracts import SampleSpec, Setting
from genbench.errors import DataError, InputError, ModelError
from genbench.evaluation import generators
from genbench.evaluation.adapters import from_path
from genbench.evaluation.generators import build, draw, resolve
from genbench.plugins.datasets import dataset_named
from genbench.storage import npz

SPEC = SampleSpec((1, 8, 8), 17)


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting("file", "digits", dataset_named("digits"))


def with_spec(setting, spec):
    """The setting of a benchmark whose items are of another spec."""
    items = torch.zeros(2, *spec.shape, dtype=torch.float32 if spec.levels is None else torch.uint8)
    data = dataclasses.replace(
        setting.dataset, spec=spec, train=items, heldout=items, train_labels=None, heldout_labels=None
    )
    return dataclasses.replace(setting, dataset=data)


def opened(path, setting):
    """As `--model PATH` builds it."""
    card = resolve(str(path))
    return build(card, dataclasses.replace(setting, model=card.name))


@pytest.mark.parametrize("spec", [SPEC, SampleSpec((3, 4, 5), 2), SampleSpec((1, 3, 3), 256), SampleSpec((7,), 12)])
def test_saved_samples_come_back_exactly_and_in_order(tmp_path, setting, spec):
    setting = with_spec(setting, spec)
    samples = torch.randint(spec.levels, (2100, *spec.shape)).to(torch.uint8)
    npz.save(tmp_path / "samples.npz", samples, spec)
    model = opened(tmp_path / "samples.npz", setting)
    assert torch.equal(draw(model.sample, spec, 2100, seed=0), samples), "over several chunks too"
    assert torch.equal(draw(model.sample, spec, 5, seed=1), samples[:5])
    with pytest.raises(ModelError, match=r"samples.npz holds 2100 samples, not 2101; draw more, or lower -n"):
        draw(model.sample, spec, 2101, seed=0)
    version = generators.version(model)
    npz.save(tmp_path / "samples.npz", samples.flip(0), spec)
    assert generators.version(opened(tmp_path / "samples.npz", setting)) != version


def test_real_values_and_other_layouts_are_read(tmp_path, setting):
    positions = SampleSpec((4, 2), None)
    values = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    np.save(tmp_path / "positions.npy", values)
    model = opened(tmp_path / "positions.npy", with_spec(setting, positions))
    assert np.array_equal(draw(model.sample, positions, 3, 0), values)
    images = np.full((2, 8, 8), 255, np.uint8)
    for name, array in (("grey", images), ("first", images[:, None]), ("last", images[..., None])):
        np.savez(tmp_path / f"{name}.npz", array)
        assert (draw(opened(tmp_path / f"{name}.npz", setting).sample, SPEC, 2, 0) == 16).all()


def test_adapt_takes_the_path_of_samples(tmp_path):
    samples = torch.randint(17, (30, *SPEC.shape)).to(torch.uint8)
    npz.save(tmp_path / "samples.npz", samples, SPEC)
    model = genbench.adapt(tmp_path / "samples.npz", shape=(1, 8, 8), levels=17)
    assert torch.equal(model.sample(30), samples)
    with pytest.raises(InputError, match=r"holds samples, of which shape, levels, name are told, not range"):
        genbench.adapt(tmp_path / "samples.npz", shape=(1, 8, 8), levels=17, range=(0, 1))
    with pytest.raises(InputError, match=r"net.pt does not exist"):
        genbench.adapt("net.pt")


def test_a_folder_of_images_is_read_in_the_order_of_its_names(tmp_path, setting):
    for name, level in (("b.png", 255), ("a.png", 0), ("c.png", 16)):
        Image.fromarray(np.full((8, 8), level, np.uint8)).save(tmp_path / name)
    samples = draw(opened(tmp_path, setting).sample, SPEC, 3, 0)
    assert samples[:, 0, 0, 0].tolist() == [0, 16, 1]
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "d.png")
    with pytest.raises(DataError, match=r"d.png is 9x8 with 1 channel while .*a.png is 8x8"):
        opened(tmp_path, setting)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.full((2, 8, 8, 1), 17, np.uint8), r"holds the value 17; images of 17 levels are stored as \(level \* 15.9"),
        (np.zeros((2, 8, 8, 1), np.float32), r"holds float32, images must be uint8; convert them .* \[-1, 1\]"),
        (np.zeros((2, 8, 8, 3), np.uint8), "are 8x8 with 3 channels, the benchmark's are 8x8 with 1 channel"),
        (np.zeros((2, 9, 8, 1), np.uint8), "are 8x9 with 1 channel, the benchmark's are 8x8"),
    ],
)
def test_images_that_do_not_fit_are_refused(tmp_path, setting, array, reason):
    np.savez(tmp_path / "samples.npz", array)
    with pytest.raises((ModelError, DataError), match=reason):
        opened(tmp_path / "samples.npz", setting)


@pytest.mark.parametrize(
    ("spec", "array", "reason"),
    [
        (SampleSpec((7,), 3), np.zeros((2, 8), np.uint8), r"an array of shape \(2, 8\); samples are \(n, \*\(7,\)\)"),
        (SampleSpec((7,), 3), np.full((2, 7), 3, np.uint8), "holds the value 3; the levels are 0..2"),
        (SampleSpec((7,), 3), np.zeros((2, 7)), "holds float64, samples of this benchmark are uint8; convert"),
        (SampleSpec((7,), None), np.zeros((2, 7)), "holds float64, samples of this benchmark are float32; convert"),
        (SampleSpec((7,), None), np.full((2, 7), np.nan, np.float32), "values that are not finite"),
    ],
)
def test_other_arrays_that_do_not_fit_are_refused(tmp_path, setting, spec, array, reason):
    np.savez(tmp_path / "samples.npz", array)
    with pytest.raises(ModelError, match=reason):
        opened(tmp_path / "samples.npz", with_spec(setting, spec))
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match="is a folder, which holds images alone"):
        opened(tmp_path / "folder", with_spec(setting, spec))


class Decoder(torch.nn.Module):
    """Codes (n, 3) to items, or, told so, to floats."""

    def __init__(self, floats: bool = False):
        super().__init__()
        self.latent_shape = [3]
        self.floats = floats
        self.linear = torch.nn.Linear(3, 64)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = self.linear(z).tanh().reshape(-1, 1, 8, 8)
        if self.floats:
            return x
        return ((x + 1) * 8).round().clamp(0, 16).to(torch.uint8)


class WithoutShape(Decoder):
    def __init__(self):
        super().__init__()
        del self.latent_shape


class WithBuffer(WithoutShape):
    def __init__(self):
        super().__init__()
        self.register_buffer("latent_shape", torch.tensor([3]))


class Counted(torch.nn.Module):
    def forward(self, n: int) -> torch.Tensor:
        return torch.randint(17, (n, 1, 8, 8)).to(torch.uint8)


class Exported(Counted):
    @torch.jit.export
    def sample(self, n: int) -> torch.Tensor:
        return torch.full((n, 1, 8, 8), 7).to(torch.uint8)


def script(module, path):
    torch.jit.script(module.eval()).save(str(path))
    return path


@pytest.mark.filterwarnings("ignore:.*torch.jit")
class TestTorchScript:
    @pytest.mark.parametrize("kind", [Decoder, WithBuffer])
    def test_codes_are_drawn_for_a_network_that_says_their_shape(self, tmp_path, setting, kind):
        network = kind()
        model = opened(script(network, tmp_path / "model.pt"), setting)
        z = torch.randn(5, 3)
        assert torch.equal(model.decode(z), network(z))
        assert generators.offers(model, "latent")
        samples = [draw(model.sample, SPEC, 40, seed) for seed in (0, 0, 1)]
        assert torch.equal(samples[0], samples[1])
        assert not torch.equal(samples[0], samples[2])
        assert generators.version(model).startswith("file-")

    def test_a_network_that_is_told_how_many_is_asked_so(self, tmp_path, setting):
        model = opened(script(Counted(), tmp_path / "counted.ts"), setting)
        assert len(draw(model.sample, SPEC, 40, 0).unique()) == 17
        assert generators.offered(model) == ()
        assert (draw(opened(script(Exported(), tmp_path / "own.ts"), setting).sample, SPEC, 40, 0) == 7).all()

    def test_what_cannot_be_asked_says_how_it_could(self, tmp_path, setting):
        with pytest.raises(ModelError, match=r"neither a method sample\(n: int\) nor .*self.latent_shape = \[128\]"):
            opened(script(WithoutShape(), tmp_path / "model.pt"), setting)
        torch.save({"weight": torch.zeros(3)}, tmp_path / "weights.pt")
        with pytest.raises(ModelError, match=r"weights.pt is not TorchScript .*module:factory") as caught:
            opened(tmp_path / "weights.pt", setting)
        assert "\n" not in str(caught.value)

    def test_floats_are_refused_with_their_conversion(self, tmp_path, setting):
        model = opened(script(Decoder(floats=True), tmp_path / "model.pt"), setting)
        with pytest.raises(ModelError, match=r"in \[-1, 1\] by \(\(x \+ 1\) \* 8\).round\(\).clamp\(0, 16\)"):
            draw(model.sample, SPEC, 4, 0)

    def test_adapt_takes_its_path_and_scales_what_it_makes(self, tmp_path, setting):
        levels, floats = Decoder(), Decoder(floats=True)
        floats.load_state_dict(levels.state_dict())
        own = opened(script(levels, tmp_path / "levels.pt"), setting)
        model = genbench.adapt(script(floats, tmp_path / "floats.pt"), shape=(1, 8, 8), levels=17)
        assert torch.equal(draw(model.sample, SPEC, 40, 0), draw(own.sample, SPEC, 40, 0))
        assert genbench.check(model) == ("latent",)
        assert (model.name, model.version[:5]) == ("floats.pt", "file-")
        counted = genbench.adapt(str(script(Counted(), tmp_path / "counted.ts")), shape=(1, 8, 8), levels=17)
        assert len(draw(counted.sample, SPEC, 40, 0).unique()) == 17
        silent = genbench.adapt(script(WithoutShape(), tmp_path / "silent.pt"), shape=(1, 8, 8), levels=17, latent=3)
        assert silent.decode(torch.zeros(2, 3)).shape == (2, 1, 8, 8)


class TestTorchExport:
    @pytest.mark.parametrize("dynamic", [True, False])
    def test_an_archive_maps_codes_of_the_shape_that_it_was_exported_with(self, tmp_path, setting, dynamic):
        network = Decoder().eval()
        shapes = {"z": {0: torch.export.Dim("n", min=1, max=4096)}} if dynamic else None
        program = torch.export.export(network, (torch.randn(4, 3),), dynamic_shapes=shapes)
        torch.export.save(program, tmp_path / "model.pt2")
        model = opened(tmp_path / "model.pt2", setting)
        z = torch.randn(6, 3)
        assert torch.equal(model.decode(z), network(z)), "six codes, where four were the example"
        assert model.latent_shape == (3,)
        assert draw(model.sample, SPEC, 7, 0).shape == (7, 1, 8, 8)
        adapted = genbench.adapt(tmp_path / "model.pt2", shape=(1, 8, 8), levels=17)
        assert torch.equal(draw(adapted.sample, SPEC, 7, 0), draw(model.sample, SPEC, 7, 0))
        assert genbench.check(adapted) == ("latent",)

    def test_what_is_no_archive_is_refused(self, tmp_path, setting):
        (tmp_path / "model.pt2").write_bytes(b"PK\3\4 nothing")
        with pytest.raises(ModelError, match=r"model.pt2 is not an archive of torch.export") as caught:
            from_path(tmp_path / "model.pt2", setting)
        assert "\n" not in str(caught.value)
