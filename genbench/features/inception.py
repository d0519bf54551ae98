"""The features behind FID, KID and the Inception Score as the field computes them.

``inception`` is the 2048 averages of the last block; ``inception:64``, ``inception:192`` and ``inception:768`` those of
earlier ones, ``inception:logits`` the 1008 logits, and ``inception:spatial`` the 2,023 values that sFID compares.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from genbench.contracts import Features, SampleSpec
from genbench.errors import InputError
from genbench.features import images, inception_weights, resampling, weight_files
from genbench.features.inception_network import SIDE, TAPS, Inception
from genbench.features.resize import resized


class Deviation(NamedTuple):
    """How far features of reduced precision are from those of float32, on the same images.

    `features` is the norm of the difference over that of the features. `frechet` is the Fréchet distance between the
    two, whose root bounds by how much the reduced precision of one set of images changes the root of a FID. `speedup`
    is the time of float32 over that of the reduced precision.
    """

    features: float
    frechet: float
    speedup: float


@dataclass(frozen=True, slots=True)
class Options:
    """Which layer, where and how; `compile` hands the network to torch.compile, which takes a minute to pay off.

    `resize` is ``tf``, as in the graph itself and behind every FID of TensorFlow; ``torch``, as pytorch-fid, which
    also scales to [-1, 1] where the others take (x - 128) / 128; or ``clean``, as clean-fid.
    """

    tap: str = "2048"
    device: str = "cpu"
    precision: str = "float32"
    compile: bool = False
    resize: str = "tf"

    def prepared(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """uint8 RGB images as the network's input of `dtype`, float32 or float64."""
        if self.resize == "tf":
            return resized(x, SIDE, dtype)
        values = resampling.resampled(x, SIDE, self.resize, "bilinear").to(dtype)
        return values / 127.5 - 1 if self.resize == "torch" else (values - 128) / 128


# How a fingerprint names the ways to resize.
RESIZES = {"tf": "tensorflow-1-bilinear", "torch": "torch-bilinear", "clean": "clean-bicubic"}


class InceptionFeatures:
    """Embeddings float32 (n, D) on the CPU and, for 2048 and logits, the probabilities float32 (n, 1008).

    The probabilities are the softmax of the logits without the classifier's bias, from which the Inception Score is
    computed since its authors' own code; the features ``logits`` are with it. Images may have any size.
    """

    any_size = True

    def __init__(self, spec: SampleSpec, state: dict[str, Tensor], options: Options) -> None:
        self.spec, self.state, self.options = spec, state, options
        self.name = "inception" if options.tap == "2048" else f"inception:{options.tap}"
        self.fingerprint = (
            f"{self.name} weights={weight_files.content(state)} resize={RESIZES[options.resize]}-{SIDE} "
            f"precision={options.precision}"
        )
        self.network: Callable[[Tensor, str], tuple[Tensor, Tensor | None]] | None = None

    def __call__(self, x: Tensor, /) -> Features:
        """Raises InputError for anything but uint8 images (n, C, H, W) with C = 1 or 3."""
        x = images.rgb(self.name, self.spec, x)
        if len(x) == 0:
            raise InputError(f"{self.name} was given no images")
        if self.network is None:  # only now, so that cached features cost no folding
            self.network = self._build()
        device = torch.device(self.options.device)
        dtype = torch.promote_types(images.PRECISIONS[self.options.precision], torch.float32)
        outputs = []
        with torch.inference_mode(), images.full_precision(device):
            for part in x.split(images.images_per_pass(device)):
                embeddings, logits = self.network(self.options.prepared(part.to(device), dtype), self.options.tap)
                outputs.append((embeddings, embeddings[:, :0] if logits is None else logits.softmax(1)))
            embeddings, probabilities = (torch.cat(parts).float().cpu() for parts in zip(*outputs, strict=True))
        # Tensors of inference mode could not be written to by who receives them.
        return Features(embeddings.clone(), probabilities.clone() if probabilities.shape[1] else None)

    def _build(self) -> Callable[[Tensor, str], tuple[Tensor, Tensor | None]]:
        dtype, device = images.PRECISIONS[self.options.precision], torch.device(self.options.device)
        network = Inception(self.state, dtype, device, pack=not self.options.compile)
        return torch.compile(network) if self.options.compile else network

    def deviation(self, x: Tensor) -> Deviation:
        """How far this precision's features of `x` (two images or more) are from those of float32, and how fast.

        Warns where reduced precision is slower than float32, as on processors without instructions for it.
        """
        if len(x) < 2:
            raise InputError(f"a deviation needs at least two images, got {len(x)}")
        float32 = replace(self.options, precision="float32", compile=False)
        plain = InceptionFeatures(self.spec, self.state, float32)
        seconds, outputs = [], []
        for extractor in (self, plain):
            extractor(x[:1])  # builds the network
            start = time.perf_counter()
            outputs.append(extractor(x).embeddings.double())
            seconds.append(time.perf_counter() - start)
        speedup = seconds[1] / seconds[0]
        if speedup < 1 and self.options.precision == "bfloat16":
            warnings.warn(
                f"bfloat16 is {1 / speedup:.1f} times slower than float32 here, as on every processor without "
                f"instructions for it; leave --precision out",
                stacklevel=2,
            )
        reduced, exact = outputs
        return Deviation(float((reduced - exact).norm() / exact.norm()), frechet(reduced, exact), speedup)


def frechet(x: Tensor, y: Tensor) -> float:
    """The Fréchet distance between float64 features (n, D) and (m, D), for few rows and many columns."""
    a, b = ((z - z.mean(0)) / (len(z) - 1) ** 0.5 for z in (x, y))
    overlap = torch.linalg.matrix_norm(a @ b.T, "nuc")
    means = (x.mean(0) - y.mean(0)).square().sum()
    return float((means + a.square().sum() + b.square().sum() - 2 * overlap).clamp(min=0))


def inception(
    spec: SampleSpec,
    argument: str = "",
    *,
    weights: Path | None = None,
    device: str = "cpu",
    precision: str = "float32",
    resize: str | None = None,
) -> InceptionFeatures:
    """The extractor of the FID network, for levelled images of any size.

    `argument` is the layer: 64, 192, 768, 2048 (default), logits or spatial. `weights` is a file, else they are found
    as `inception_weights.find` says. `precision` is float32, float64 or bfloat16, which `deviation` holds to float32.
    `resize` is tf (default), torch or clean, as `Options` says. Raises InputError for other items, layers, precisions
    and ways to resize, and DataError where there are no weights.
    """
    images.check_spec("inception", spec)
    images.check_precision("inception", precision)
    resampling.check_choice("inception", resize)
    tap = argument or "2048"
    if tap not in TAPS:
        raise InputError(f"inception has no layer {tap!r}; choose one of {', '.join(TAPS)}")
    state = inception_weights.load(inception_weights.find(weights))
    return InceptionFeatures(spec, state, Options(tap, device, precision, resize=resize or "tf"))
