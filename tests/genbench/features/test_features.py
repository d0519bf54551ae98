"""Extractors: what they see, that they refuse what they cannot read, and the accuracy that their records claim."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch

from genbench.contracts import SampleSpec
from genbench.data import digits, mnist, weather
from genbench.errors import InputError
from genbench.features.classifier import WEIGHTS, ClassifierFeatures, digits_cnn, mnist_cnn
from genbench.features.identity import identity
from genbench.features.training import accuracy, train, with_noise
from genbench.features.transitions import transitions


def guesses(extractor: ClassifierFeatures, images: torch.Tensor) -> torch.Tensor:
    return extractor(images).probabilities.argmax(1)


@pytest.mark.parametrize("name", ["digits-cnn", "mnist-cnn"])
def test_records_belong_to_the_weights_beside_them(name):
    record = json.loads((WEIGHTS / f"{name}.json").read_text())
    assert hashlib.sha256((WEIGHTS / f"{name}.safetensors").read_bytes()).hexdigest() == record["weights_sha256"]
    assert name in record["command"]


def test_digits_cnn_has_the_accuracy_it_claims_on_grey_and_binary_digits():
    record = json.loads((WEIGHTS / "digits-cnn.json").read_text())
    grey, binary = digits.digits(), digits.digits_binary()
    right = (guesses(digits_cnn(grey.spec), grey.heldout) == grey.heldout_labels).double().mean()
    assert right == pytest.approx(record["heldout_accuracy"], abs=0.002)
    assert right >= 0.975
    right = (guesses(digits_cnn(binary.spec), binary.heldout) == binary.heldout_labels).double().mean()
    assert right >= 0.96
    assert record["data_sha256"] == grey.sha256


def test_mnist_cnn_has_the_accuracy_it_claims(shared_data):
    record = json.loads((WEIGHTS / "mnist-cnn.json").read_text())
    data = mnist.mnist(shared_data("mnist"))
    right = (guesses(mnist_cnn(data.spec), data.heldout[:2000]) == data.heldout_labels[:2000]).double().mean()
    assert right >= 0.985  # the first 2,000 are a sample; the record holds the figure over all
    assert record["heldout_accuracy"] >= 0.993
    assert record["data_sha256"] == data.sha256


def test_features_are_finite_float32_and_do_not_depend_on_the_batch():
    data = digits.digits()
    features = ClassifierFeatures("digits-cnn", data.spec, batch=300)(data.heldout)
    again = ClassifierFeatures("digits-cnn", data.spec, batch=7)(data.heldout[:20])
    assert features.embeddings.shape == (797, 64)
    assert features.embeddings.dtype == torch.float32
    assert features.probabilities.shape == (797, 10)
    torch.testing.assert_close(features.probabilities.sum(1), torch.ones(797))
    torch.testing.assert_close(features.embeddings[:20], again.embeddings, rtol=1e-3, atol=1e-3)


def test_classifiers_refuse_images_of_another_size():
    with pytest.raises(InputError, match=r"digits-cnn reads levelled images of shape \(1, 8, 8\)"):
        digits_cnn(SampleSpec((1, 28, 28), 256))


def test_identity_scales_levels_to_the_unit_interval():
    x = torch.tensor([[[[0, 16]]], [[[8, 4]]]], dtype=torch.uint8)
    assert identity(SampleSpec((1, 1, 2), 17))(x).embeddings.tolist() == [[0, 1], [0.5, 0.25]]
    real = torch.tensor([[1.5, -2.0]])
    assert torch.equal(identity(SampleSpec((2,), None))(real).embeddings, real)


def test_transitions_count_the_steps_between_symbols():
    spec = SampleSpec((4,), 3)
    assert transitions(spec)(torch.tensor([[0, 0, 2, 1]], dtype=torch.uint8)).embeddings.tolist() == [
        [1, 0, 1, 0, 0, 0, 0, 1, 0]
    ]
    assert transitions(weather.weather().spec)(weather.weather().heldout).embeddings.sum(1).unique().tolist() == [29]
    with pytest.raises(InputError, match="symbol sequences"):
        transitions(SampleSpec((1, 8, 8), 17))


def test_training_learns_and_noise_is_a_class_of_its_own():
    data = digits.digits()
    network = train("digits-cnn", data, epochs=2, batch=50)
    scaled = data.heldout.float() / 16
    assert accuracy(network, scaled, data.heldout_labels) > 0.5  # ten classes: chance is 0.1
    x, labels = with_noise(scaled[:50], data.heldout_labels[:50], 10)
    assert (labels == 10).sum() == 10
    assert len(x) == 60
