"""The Inception extractor beside torch-fidelity and pytorch-fid on one random state, and where weights come from."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import warnings
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from genbench import seeding
from genbench.contracts import SampleSpec
from genbench.errors import DataError, InputError
from genbench.features import images, inception_network, inception_weights, weight_files
from genbench.features.inception import InceptionFeatures, Options, frechet, inception
from genbench.features.resize import resized
from genbench.metrics import frechet_distance

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytorch_fid.inception
    from cleanfid.resize import make_resizer
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

SPEC = SampleSpec((3, 32, 32), 256)
CPU = torch.device("cpu")


def random_state(*keys: object) -> dict[str, torch.Tensor]:
    """Weights under which activations neither vanish nor explode, so that every tap depends on the image."""
    rng = seeding.generator("inception", *keys)
    state = {}
    for name, shape in inception_weights.expected_shapes().items():
        if name.endswith("conv.weight"):
            state[name] = torch.randn(shape, generator=rng) * (2 / math.prod(shape[1:])) ** 0.5
        elif name == "fc.weight":
            state[name] = torch.randn(shape, generator=rng) * (4 / shape[1]) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            state[name] = 0.5 + torch.rand(shape, generator=rng)
        else:
            state[name] = torch.randn(shape, generator=rng) / 4
    return state


def pictures(n: int, channels: int, height: int, width: int) -> torch.Tensor:
    rng = seeding.generator("pictures", n, channels, height, width)
    return torch.randint(256, (n, channels, height, width), dtype=torch.uint8, generator=rng)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return random_state(0)


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "state.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def extractor(state) -> InceptionFeatures:
    return InceptionFeatures(SPEC, state, Options())


def relative(features: torch.Tensor, expected: torch.Tensor) -> float:
    return float((features.double() - expected.double()).norm() / expected.double().norm())


def torch_fidelity_taps(file, x: torch.Tensor, side: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Its taps of images that it resizes to `side`, before they are rounded to float32; logits with the bias."""
    network = FeatureExtractorInceptionV3("its", ["logits"], str(file)).to(dtype)
    network.INPUT_IMAGE_SIZE = side
    network.feature_extractor_internal_dtype = dtype  # its own argument "float64" means float32 to it (0.4.0)
    taps = {}
    modules = {"64": network.MaxPool_1, "192": network.MaxPool_2, "768": network.Mixed_6e, "2048": network.AvgPool}
    for tap, module in (modules | {"logits": network.fc, "spatial": network.Mixed_6d.branch1x1}).items():
        module.register_forward_hook(lambda _, __, y, tap=tap: taps.update({tap: y}))
    with torch.inference_mode():
        network(x)
    # Flattened as TensorFlow lays maps out, channels innermost, of which guided-diffusion takes the first 7.
    taps["spatial"] = taps["spatial"].movedim(1, -1)[..., :7].flatten(1)
    return {tap: y if y.ndim == 2 else y.mean((2, 3)) for tap, y in taps.items()}


def pytorch_fid_taps(state, x: torch.Tensor, monkeypatch) -> dict[str, torch.Tensor]:
    """Its taps of images that are resized and scaled already; it has no logits."""
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: state)
    network = pytorch_fid.inception.InceptionV3((0, 1, 2, 3), resize_input=False, normalize_input=False)
    with torch.inference_mode():
        maps = network.eval().to(x.dtype)(x)
    return {str(y.shape[1]): y.mean((2, 3)) for y in maps}


@pytest.mark.parametrize(("dtype", "side", "tolerance"), [(torch.float32, 299, 1e-5), (torch.float64, 107, 1e-12)])
def test_every_tap_is_that_of_torch_fidelity_and_pytorch_fid(state, file, monkeypatch, dtype, side, tolerance):
    x = pictures(2, 3, 40, 30)
    prepared = resized(x, side, dtype)
    network = inception_network.Inception(state, dtype, CPU)
    with torch.inference_mode():
        ours = {tap: network(prepared, tap)[0] for tap in inception_network.TAPS}
    widths = {"logits": 1008, "spatial": 7 * (17 if side == 299 else 5) ** 2}
    assert all(y.dtype == dtype and y.shape == (2, widths.get(tap) or int(tap)) for tap, y in ours.items())
    for peer in (torch_fidelity_taps(file, x, side, dtype), pytorch_fid_taps(state, prepared, monkeypatch)):
        assert {tap: relative(ours[tap], peer[tap]) for tap in peer} == dict.fromkeys(
            peer, pytest.approx(0, abs=tolerance)
        )
    # Images that all look the same to the network would agree under any weights.
    assert relative(ours["2048"][0], ours["2048"][1]) > 0.01


def test_probabilities_leave_the_bias_out_and_the_logits_do_not(state, file, extractor):
    x = pictures(2, 3, 32, 32)
    theirs = FeatureExtractorInceptionV3("its", ["logits_unbiased", "logits"], str(file))
    with torch.inference_mode():
        unbiased, biased = theirs(x)
    logits = InceptionFeatures(SPEC, state, Options("logits"))(x)
    torch.testing.assert_close(extractor(x).probabilities, unbiased.softmax(1), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(logits.probabilities, unbiased.softmax(1), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(logits.embeddings, biased, rtol=1e-4, atol=1e-4)
    assert relative(biased.softmax(1), unbiased.softmax(1)) > 1e-3
    assert InceptionFeatures(SPEC, state, Options("192"))(x).probabilities is None


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (28, 28), (32, 33), (64, 64), (299, 299), (300, 200), (512, 512)])
def test_resize_is_that_of_tensorflow_1(size):
    x = pictures(2, 3, *size)
    for dtype, rounding in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        theirs = interpolate_bilinear_2d_like_tensorflow1x(x.to(dtype), (299, 299), align_corners=False)
        torch.testing.assert_close(resized(x, 299, dtype), (theirs - 128) / 128, rtol=0, atol=rounding)


def test_resize_measures_from_the_corner_of_pixels_and_averages_nothing_on_the_way_down():
    ramp = torch.arange(32, dtype=torch.uint8).expand(1, 1, 32, 32)
    place = torch.arange(299, dtype=torch.float64) * 32 / 299
    expected = (place.clamp(max=31) - 128) / 128
    value = resized(ramp, 299, torch.float64)[0, 0, 7]
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-7)
    centred = F.interpolate(ramp.double(), (299, 299), mode="bilinear")[0, 0, 7]
    assert ((centred - 128) / 128 - expected).abs().max() > 1e-3
    stripes = torch.tensor([0, 255] * 4, dtype=torch.uint8).expand(1, 1, 8, 8)
    assert torch.equal(resized(stripes, 4), torch.full((1, 1, 4, 4), -1.0))


def test_other_tools_resizes_give_their_inputs(state, monkeypatch):
    x = pictures(2, 3, 40, 30)
    received = []
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: state)
    network = pytorch_fid.inception.InceptionV3((0,)).eval()  # resizes and scales images in [0, 1]
    network.blocks[0].register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    with torch.inference_mode():
        network(x / 255)
    torch.testing.assert_close(Options(resize="torch").prepared(x, torch.float32), received[0], rtol=0, atol=2e-6)
    cleaned = make_resizer("PIL", False, "bicubic", (299, 299))
    theirs = torch.stack([torch.from_numpy(cleaned(image.permute(1, 2, 0).numpy())) for image in x])
    expected = (theirs.permute(0, 3, 1, 2) - 128) / 128
    torch.testing.assert_close(Options(resize="clean").prepared(x, torch.float32), expected, rtol=0, atol=1e-6)
    assert (Options().prepared(x, torch.float32) - expected).abs().max() > 0.1


def test_resizes_are_part_of_the_fingerprint_and_others_are_refused(state, file):
    prints = {InceptionFeatures(SPEC, state, Options(resize=way)).fingerprint for way in ("tf", "torch", "clean")}
    assert len(prints) == 3
    plain = inception(SPEC, weights=file).fingerprint
    assert plain == inception(SPEC, weights=file, resize="tf").fingerprint
    assert "resize=tensorflow-1-bilinear-299" in plain
    with pytest.raises(InputError, match="resizes by tf, clean, torch, not by 'lanczos'"):
        inception(SPEC, weights=file, resize="lanczos")


def test_features_do_not_depend_on_the_batch_and_repeat_exactly(extractor):
    x = pictures(5, 3, 32, 32)
    together = extractor(x)
    assert together.embeddings.dtype == together.probabilities.dtype == torch.float32
    assert torch.equal(extractor(x).embeddings, together.embeddings)
    alone = torch.cat([extractor(part).embeddings for part in x.split(1)])
    assert relative(alone, together.embeddings) < 1e-5


def test_grey_is_repeated_levels_are_scaled_and_sizes_may_differ_from_the_spec(extractor, state):
    levels = pictures(2, 1, 9, 7) % 17
    scaled = torch.tensor([round(255 * level / 16) for level in range(17)], dtype=torch.uint8)[levels.long()]
    embeddings = InceptionFeatures(SampleSpec((1, 9, 7), 17), state, Options())(levels).embeddings
    assert torch.equal(embeddings, extractor(scaled.expand(-1, 3, -1, -1)).embeddings)


def test_what_are_no_images_is_refused(extractor, state, file):
    for spec in (SampleSpec((4, 8, 8), 256), SampleSpec((64,), 256), SampleSpec((3, 8, 8), None)):
        with pytest.raises(InputError, match="inception reads levelled images"):
            inception(spec, weights=file)
    for x in (torch.rand(2, 3, 8, 8), torch.zeros(2, 4, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 8).byte()):
        with pytest.raises(InputError, match="reads uint8 images"):
            extractor(x)
    with pytest.raises(InputError, match="no images"):
        extractor(torch.zeros(0, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(InputError, match="2 levels, an image holds the value 255"):
        InceptionFeatures(SampleSpec((1, 8, 8), 2), state, Options())(torch.full((1, 1, 8, 8), 255).byte())
    with pytest.raises(InputError, match=r"no layer '2047'; choose one of 64, 192"):
        inception(SPEC, "2047", weights=file)
    with pytest.raises(InputError, match="float16"):
        inception(SPEC, precision="float16", weights=file)


def test_fingerprints_follow_the_content_of_the_weights_the_layer_and_the_precision(state, file, tmp_path):
    changed = dict(state) | {"fc.bias": state["fc.bias"].roll(1)}
    repacked = tmp_path / "repacked.pth"
    counters = {"Conv2d_1a_3x3.bn.num_batches_tracked": torch.tensor(3)}
    torch.save(counters | dict(reversed(state.items())), repacked)
    prints = [
        InceptionFeatures(SPEC, state, Options()).fingerprint,
        InceptionFeatures(SPEC, changed, Options()).fingerprint,
        InceptionFeatures(SPEC, state, Options("768")).fingerprint,
        InceptionFeatures(SPEC, state, Options(precision="bfloat16")).fingerprint,
    ]
    assert len(set(prints)) == len(prints)
    assert inception(SPEC, weights=repacked).fingerprint == prints[0]


def test_packed_convolutions_give_what_plain_ones_give(state):
    x = resized(pictures(1, 3, 32, 32), 299)
    with torch.inference_mode():
        plain = inception_network.Inception(state, torch.float32, CPU, pack=False)(x, "2048")[0]
        packed = inception_network.Inception(state, torch.float32, CPU)(x, "2048")[0]
    assert relative(packed, plain) < 1e-5


def test_bfloat16_says_how_far_it_is_from_float32(state):
    x = pictures(2, 3, 32, 32)
    reduced = InceptionFeatures(SPEC, state, Options("64", precision="bfloat16"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="bfloat16 is .* times slower")  # where the processor has no such
        deviation = reduced.deviation(x)
    exact = InceptionFeatures(SPEC, state, Options("64"))(x).embeddings
    assert deviation.features == pytest.approx(relative(reduced(x).embeddings, exact))
    assert 1e-4 < deviation.features < 0.02
    assert deviation.frechet == pytest.approx(float(frechet_distance(reduced(x).embeddings, exact)), rel=1e-3)
    assert InceptionFeatures(SPEC, state, Options("64")).deviation(x)[:2] == (0, pytest.approx(0, abs=1e-15))


def test_frechet_of_few_rows_is_the_frechet_distance():
    rng = seeding.generator("frechet")
    x, y = torch.randn(7, 5, generator=rng).double(), 1 + torch.randn(9, 5, generator=rng).double()
    assert frechet(x, y) == pytest.approx(float(frechet_distance(x, y)))


def test_tensorfloat_is_off_inside_and_the_setting_comes_back():
    def settings():
        if hasattr(torch.backends.cudnn, "conv"):
            return torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32  # torch before 2.9

    before = settings()
    with contextlib.suppress(KeyError), images.full_precision(torch.device("cuda")):
        inside = settings()
        raise KeyError
    assert inside in (("ieee", "ieee"), (False, False))
    assert settings() == before


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No weights anywhere, and a network that refuses."""

    def refuse(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(inception_weights.RELEASE.variable, raising=False)
    monkeypatch.setattr(weight_files.urllib.request, "urlopen", refuse)
    return tmp_path


def test_offline_one_error_names_all_ways(offline):
    with pytest.raises(DataError) as caught:
        inception(SPEC)
    message = str(caught.value)
    for way in (
        "Network is unreachable",
        "--weights",
        "--features efficientnet-lite0",
        inception_weights.RELEASE.variable,
        str(offline / "cache"),
        "https://",
    ):
        assert way in message
    assert not list((offline / "cache" / "weights").iterdir())


def test_weights_are_looked_for_in_order(offline, monkeypatch):
    content = b"weights"
    known = replace(inception_weights.RELEASE, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(inception_weights, "RELEASE", known)
    hub = offline / "torch" / "hub" / "checkpoints" / inception_weights.RELEASE.also_called[0]
    cached = offline / "cache" / "weights" / inception_weights.NAME
    named, given = offline / "named.pth", offline / "given.pth"
    for path in (hub, cached, named, given):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if path == named:
            monkeypatch.setenv(inception_weights.RELEASE.variable, str(named))
        assert inception_weights.find(given if path == given else None) == path
    with pytest.raises(DataError, match=r"--weights names .*absent"):
        inception_weights.find(offline / "absent")
    monkeypatch.setenv(inception_weights.RELEASE.variable, str(offline / "absent"))
    with pytest.raises(DataError, match=inception_weights.RELEASE.variable):
        inception_weights.find()
    monkeypatch.delenv(inception_weights.RELEASE.variable)
    cached.write_bytes(b"half of the wei")
    with pytest.raises(DataError, match="damaged"):
        inception_weights.find()


def test_downloads_are_checked_and_atomic(offline, monkeypatch, capsys):
    content = b"weights" * 1000

    class Answer(io.BytesIO):
        @property
        def headers(self) -> dict[str, str]:
            return {"Content-Length": str(len(content))}

    monkeypatch.setattr(weight_files.urllib.request, "urlopen", lambda *_, **__: Answer(content))
    with pytest.raises(DataError, match="SHA-256"):
        inception_weights.find()
    assert not list((offline / "cache" / "weights").iterdir())
    known = replace(inception_weights.RELEASE, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(inception_weights, "RELEASE", known)
    assert inception_weights.find().read_bytes() == content
    captured = capsys.readouterr()
    assert "downloading" in captured.err
    assert not captured.out


def test_files_that_are_not_these_weights_are_refused(state, file, tmp_path):
    path = tmp_path / "bad.pth"
    path.write_bytes(file.read_bytes()[: 10**6])
    with pytest.raises(DataError, match="truncated"):
        inception(SPEC, weights=path)
    torch.save({"weights": print}, path)
    with pytest.raises(DataError, match="cannot be read"):
        inception(SPEC, weights=path)
    torch.save([torch.zeros(2)], path)
    with pytest.raises(DataError, match="a list instead of tensors by name"):
        inception(SPEC, weights=path)
    tiny = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in state.items()}  # one number each on disk
    torch.save({name: tensor.half() for name, tensor in tiny.items()}, path)
    assert {tensor.dtype for tensor in inception_weights.load(path).values()} == {torch.float32}
    for change, message in (
        ({"fc.bias": torch.zeros(1000)}, r"fc.bias has shape \(1000,\)"),
        ({"fc.bias": torch.full((1008,), torch.nan)}, "not finite"),
    ):
        torch.save(tiny | change, path)
        with pytest.raises(DataError, match=message):
            inception_weights.load(path)
    torch.save({name: tensor for name, tensor in tiny.items() if not name.startswith("Mixed_7c")}, path)
    with pytest.raises(DataError, match="tensors are missing, such as Mixed_7c"):
        inception_weights.load(path)
