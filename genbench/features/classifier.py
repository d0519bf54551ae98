"""Small convolutional classifiers, trained here, whose penultimate layer serves as features.

The weights ship with the package; `genbench.features.training` made them and its record lies beside them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from genbench.contracts import Features, SampleSpec
from genbench.errors import InputError

WEIGHTS = Path(__file__).parent / "weights"


class ConvNet(nn.Module):
    """Four 3x3 convolutions around two poolings, a linear embedding and a linear softmax classifier.

    Takes float images (n, channels, side, side) in [0, 1]; returns embeddings (n, features) and logits
    (n, classes + 1). The last class is uniform noise: a network that has never seen anything but digits maps noise into
    their midst, where k-NN precision would take it for real.
    """

    def __init__(self, channels: int, side: int, width: int, features: int, classes: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_convolution(channels, width),
            *_convolution(width, width),
            nn.MaxPool2d(2),
            *_convolution(width, 2 * width),
            *_convolution(2 * width, 2 * width),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
        )
        self.embed = nn.Linear(2 * width * (side // 4) ** 2, features)
        self.classify = nn.Linear(features, classes + 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = self.embed(self.trunk(x))
        return embeddings, self.classify(embeddings)


def _convolution(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()


ARCHITECTURES = {
    "digits-cnn": {"channels": 1, "side": 8, "width": 32, "features": 64, "classes": 10},
    "mnist-cnn": {"channels": 1, "side": 28, "width": 24, "features": 128, "classes": 10},
}


class ClassifierFeatures:
    """Embeddings float32 (n, D) and probabilities (n, K) of the real classes, for grey images of any levels."""

    def __init__(self, name: str, spec: SampleSpec, batch: int = 500) -> None:
        architecture = ARCHITECTURES[name]
        expected = (architecture["channels"], architecture["side"], architecture["side"])
        if spec.shape != expected or spec.levels is None:
            raise InputError(f"{name} reads levelled images of shape {expected}, not items of shape {spec.shape}")
        path = WEIGHTS / f"{name}.safetensors"
        self.name, self.spec, self.batch = name, spec, batch
        self.fingerprint = f"{name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        self.network = ConvNet(**architecture).eval()
        self.network.load_state_dict(load_file(path))

    @torch.inference_mode()
    def __call__(self, x: Tensor, /) -> Features:
        assert self.spec.levels is not None
        outputs = [self.network(part.float() / (self.spec.levels - 1)) for part in x.split(self.batch)]
        embeddings, logits = (torch.cat(parts).clone() for parts in zip(*outputs, strict=True))
        return Features(embeddings, logits[:, :-1].softmax(1))


def digits_cnn(spec: SampleSpec) -> ClassifierFeatures:
    """Features (n, 64) of 8x8 images; grey and binary digits alike."""
    return ClassifierFeatures("digits-cnn", spec)


def mnist_cnn(spec: SampleSpec) -> ClassifierFeatures:
    """Features (n, 128) of 28x28 images."""
    return ClassifierFeatures("mnist-cnn", spec)
