"""Classifiers of torchvision as extractors: layers by name, their own preprocessing, weights from a file."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from genbench import seeding
from genbench.contracts import SampleSpec
from genbench.errors import DataError, InputError
from genbench.features import resampling, torchvision_network
from genbench.features.torchvision_network import averaged, default_layer, layers, torchvision_features

SPEC = SampleSpec((3, 40, 30), 256)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    rng = seeding.generator("torchvision images")
    return torch.randint(256, (3, 3, 40, 30), dtype=torch.uint8, generator=rng)


def network(name: str) -> nn.Module:
    with seeding.scoped("torchvision", name):
        return models.get_model(name, weights=None).eval()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network("resnet18").state_dict(), path)
    return path


def test_features_are_the_input_of_the_classifier_and_probabilities_its_softmax(images, file):
    peer, features = network("resnet18"), torchvision_features(SPEC, "resnet18", weights=file)(images)
    inputs = []
    peer.fc.register_forward_pre_hook(lambda _, x: inputs.append(x[0]))
    with torch.inference_mode():
        logits = peer(models.ResNet18_Weights.DEFAULT.transforms()(images))
    torch.testing.assert_close(features.embeddings, inputs[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features.probabilities, logits.softmax(1), rtol=1e-4, atol=1e-6)
    assert features.embeddings.shape == (3, 512)
    assert features.embeddings.dtype == features.probabilities.dtype == torch.float32


def test_another_resize_is_seen_and_part_of_the_fingerprint(images, file):
    plain = torchvision_features(SPEC, "resnet18", weights=file)
    squeezed = torchvision_features(SPEC, "resnet18", weights=file, resize="clean")
    peer = network("resnet18")
    peer.fc = nn.Identity()
    with torch.inference_mode():
        expected = peer(resampling.Square(224, "clean")(images))
    torch.testing.assert_close(squeezed(images).embeddings, expected, rtol=1e-4, atol=1e-4)
    assert squeezed.fingerprint != plain.fingerprint
    assert (squeezed(images).embeddings - plain(images).embeddings).abs().max() > 1e-3


def test_a_map_is_averaged_over_space_and_comes_without_probabilities(images, file):
    flat = torchvision_features(SPEC, "resnet18", weights=file)(images)
    last = torchvision_features(SPEC, "resnet18:layer4", weights=file)(images)
    early = torchvision_features(SPEC, "resnet18:layer1", weights=file)(images)
    logits = torchvision_features(SPEC, "resnet18:fc", weights=file)(images)
    torch.testing.assert_close(last.embeddings, flat.embeddings, rtol=1e-4, atol=1e-5)  # what its own pooling does
    assert last.probabilities is None
    assert early.embeddings.shape == (3, 64)
    assert early.probabilities is None
    torch.testing.assert_close(logits.embeddings.softmax(1), flat.probabilities)
    torch.testing.assert_close(logits.probabilities, flat.probabilities)


def test_what_is_averaged():
    tokens, chw = torch.rand(2, 7, 5), torch.rand(2, 5, 4, 4)
    assert torch.equal(averaged(tokens, 2, "it"), tokens.mean(1))
    assert torch.equal(averaged(chw, 2, "it"), chw.mean((2, 3)))
    torch.testing.assert_close(averaged(chw.permute(0, 2, 3, 1), 2, "it"), chw.mean((2, 3)))
    for wrong in (torch.rand(8, 49, 5), torch.rand(2), torch.rand(2, 1, 2, 3, 4), (chw, chw)):
        with pytest.raises(InputError, match="choose another layer"):
            averaged(wrong, 2, "it")


def test_default_layers_pass_over_dropout():
    with torch.device("meta"):
        networks = {name: models.get_model(name, weights=None) for name in ("vgg16", "vit_b_32", "squeezenet1_1")}
    chosen = {name: default_layer(module, layers(module)) for name, module in networks.items()}
    # Of vgg16 the second fully connected layer after its ReLU (Kynkäänniemi et al., 2019).
    assert chosen == {"vgg16": "classifier.4", "vit_b_32": "getitem_5", "squeezenet1_1": "features.12.cat"}


def test_precision_and_weights_enter_the_fingerprint_and_float64_is_close(images, file, tmp_path):
    plain = torchvision_features(SPEC, "resnet18", weights=file)
    double = torchvision_features(SPEC, "resnet18", weights=file, precision="float64")
    torch.testing.assert_close(plain(images).embeddings, double(images).embeddings, rtol=1e-4, atol=1e-5)
    changed = torch.load(file) | {"fc.bias": torch.zeros(1000)}
    torch.save(changed, other := tmp_path / "other.pth")
    prints = {
        plain.fingerprint,
        double.fingerprint,
        torchvision_features(SPEC, "resnet18:layer1", weights=file).fingerprint,
        torchvision_features(SPEC, "resnet18", weights=other).fingerprint,
    }
    assert len(prints) == 4
    assert "resize_size=[256]" in plain.fingerprint
    named = torchvision_features(SPEC, "resnet18:flatten", weights=file)
    assert (named.name, named.fingerprint) == (plain.name, plain.fingerprint)


def test_old_names_in_torchvisions_own_files_are_understood(tmp_path):
    state = network("densenet121").state_dict()
    old = {key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for key, value in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, path := tmp_path / "densenet.pth")
    loaded = torchvision_network.load("densenet121", path).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_unknown_names_and_wrong_input_are_refused(images, file):
    with pytest.raises(InputError, match=r"did you mean .*resnet18"):
        torchvision_features(SPEC, "resnet81")
    with pytest.raises(InputError, match=r"no layer called 'layer4.1.rely'; did you mean .*layer4.1.relu"):
        torchvision_features(SPEC, "resnet18:layer4.1.rely", weights=file)
    with pytest.raises(InputError, match=r"the last ones are .*flatten, fc"):
        torchvision_features(SPEC, "resnet18:qqq", weights=file)
    with pytest.raises(InputError, match="torchvision:NAME"):
        torchvision_features(SPEC, "")
    with pytest.raises(InputError, match="float16"):
        torchvision_features(SPEC, "resnet18", precision="float16", weights=file)
    with pytest.raises(InputError, match="reads levelled images"):
        torchvision_features(SampleSpec((30,), 256), "resnet18", weights=file)
    with pytest.raises(InputError, match="reads uint8 images"):
        torchvision_features(SPEC, "resnet18", weights=file)(images.float())


def test_weights_that_cannot_be_had_or_do_not_fit_are_one_clear_error(file, monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(DataError, match="unreachable") as caught:
        torchvision_features(SPEC, "resnet18")
    for way in ("--weights", str(tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"), "https://"):
        assert way in str(caught.value)
    with pytest.raises(DataError, match="does not hold the weights of torchvision's mobilenet_v2"):
        torchvision_features(SPEC, "mobilenet_v2", weights=file)
    with pytest.raises(DataError, match="there is no file"):
        torchvision_features(SPEC, "resnet18", weights=tmp_path / "absent.pth")


def test_very_thin_images_are_refused_before_they_are_enlarged(file):
    extract = torchvision_features(SPEC, "resnet18", weights=file)
    for size in ((1, 20000), (20000, 1), (2, 65)):
        with pytest.raises(InputError, match=f"{size[1]}x{size[0]} pixels are too thin; crop"):
            extract(torch.zeros(1, 3, *size, dtype=torch.uint8))
