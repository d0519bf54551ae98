"""DINOv2 ViT-L/14 as an extractor: the features behind FD-DINOv2, prepared as dgm-eval prepares them.

Images are squeezed to 224 x 224 by Pillow's bicubic filter and normalised by ImageNet's mean and deviation; the feature
is the class token after the last norm, 1,024 values. The weights are for 518 x 518: their position embeddings are
resampled as the authors' network does it, which timm's own resampling differs from.

References: M. Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (2023); G. Stein et al.,
"Exposing flaws of generative model evaluation metrics and their unfair treatment of diffusion models" (2023).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import SampleSpec
from genbench.errors import DataError
from genbench.features import images, resampling, weight_files
from genbench.features.pretrained import Computation, Pretrained, PretrainedFeatures, library
from genbench.features.timm_network import EXTRA, filled, run

SIDE = 224
ARCHITECTURE = "vit_large_patch14_dinov2"
RELEASE = weight_files.Release(
    of="DINOv2 ViT-L/14",
    name="dinov2_vitl14_pretrain.pth",
    url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    sha256="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
    variable="GENBENCH_DINOV2_WEIGHTS",
)
# Added to the number of patches along a side before it is divided into a scale, by the authors' network: the positions
# that the resampling takes hang on it.
OFFSET = 0.1


def positions(embedding: Tensor, patches: int) -> Tensor:
    """Position embeddings (1, 1 + M * M, D), of the class token first, for `patches` by `patches` instead of M by M."""
    before = math.isqrt(embedding.shape[1] - 1)
    if before == patches:
        return embedding
    grid = embedding[:, 1:].reshape(1, before, before, -1).permute(0, 3, 1, 2).float()
    scale = (patches + OFFSET) / before
    resampled = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([embedding[:, :1], resampled.permute(0, 2, 3, 1).flatten(1, 2)], 1)


def loaded(state: dict[str, Tensor], origin: str, architecture: str = ARCHITECTURE) -> nn.Module:
    """The network for images of SIDE pixels with the authors' tensors. Raises DataError for those of another one."""
    timm = library("timm", "dinov2", EXTRA)
    network: nn.Module = timm.create_model(architecture, pretrained=False, img_size=SIDE, num_classes=0)
    if "pos_embed" not in state or state["pos_embed"].ndim != 3:
        raise DataError(f"{origin} does not hold the weights of DINOv2: it has no position embeddings")
    patches = math.isqrt(network.get_parameter("pos_embed").shape[1] - 1)
    state = {name: tensor for name, tensor in state.items() if name != "mask_token"}  # of no use outside training
    state["pos_embed"] = positions(state["pos_embed"], patches)
    return filled(network, state, origin, "DINOv2 ViT-L/14")


def dinov2(
    spec: SampleSpec,
    *,
    device: str = "cpu",
    precision: str = "float32",
    weights: Path | None = None,
    resize: str | None = None,
) -> PretrainedFeatures:
    """The extractor of FD-DINOv2, for levelled images of any size.

    `weights` is a copy of the authors' file, else it is looked for in the caches and downloaded. `resize` is tf, clean
    (``--clean_resize`` of dgm-eval) or torch. Raises InputError for other items and precisions, and where timm is not
    installed; DataError where there are no weights.
    """
    images.check_spec("dinov2", spec)
    images.check_precision("dinov2", precision)
    resampling.check_choice("dinov2", resize)
    library("timm", "dinov2", EXTRA)  # before a download that would be in vain
    path = weight_files.find(RELEASE, weights)
    prepare = resampling.Square(SIDE, resize or "pil")
    pretrained = Pretrained("dinov2", loaded(weight_files.read(path), str(path)), prepare, run)
    return PretrainedFeatures(spec, pretrained, Computation(device, precision))
