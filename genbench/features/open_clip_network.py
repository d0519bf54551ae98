"""CLIP's image encoders as extractors: ``clip``, as CMMD uses it, and ``open_clip:NAME[:PRETRAINED]``.

``clip`` is OpenAI's ViT-L/14 for 336 x 336 pixels, the one of CMMD: images are cropped to the square amid them, resized
by Pillow's bicubic filter and embedded to 768 values of length 1. ``clip:224`` is the ViT-L/14 for 224 x 224 pixels.

References: A. Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021); S.
Jayasumana et al., "Rethinking FID: Towards a Better Evaluation Metric for Image Generation" (2024); G. Ilharco et al.,
"OpenCLIP" (2021).
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import SampleSpec
from genbench.errors import DataError, InputError
from genbench.features import images, resampling, weight_files
from genbench.features.pretrained import Computation, Outputs, Pretrained, PretrainedFeatures, library
from genbench.features.timm_network import EXTRA, no_weights

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
ADDRESS = "https://openaipublic.azureedge.net/clip/models"


def _release(name: str, sha256: str) -> weight_files.Release:
    return weight_files.Release(
        of=f"CLIP {name}",
        name=f"{name}.pt",
        url=f"{ADDRESS}/{sha256}/{name}.pt",
        sha256=sha256,
        variable="GENBENCH_CLIP_WEIGHTS",
    )


# By pixels: open_clip's name of the network, and the released file.
VARIANTS = {
    336: (
        "ViT-L-14-336-quickgelu",
        _release("ViT-L-14-336px", "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"),
    ),
    224: (
        "ViT-L-14-quickgelu",
        _release("ViT-L-14", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
    ),
}


def run(network: nn.Module, x: Tensor) -> Outputs:
    """The embedding that images share with texts, as the encoder gives it."""
    embeddings = network(x)
    return (embeddings[0] if isinstance(embeddings, tuple) else embeddings), None


def run_normalised(network: nn.Module, x: Tensor) -> Outputs:
    """The embedding brought to length 1, as CMMD compares it."""
    return F.normalize(run(network, x)[0], dim=1), None


@contextmanager
def _silenced() -> Iterator[None]:
    """Without open_clip's warning that a network is random, given before the weights are put into it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def encoder(name: str, state: dict[str, Tensor], origin: str) -> nn.Module:
    """open_clip's image encoder of that name with the tensors of a whole CLIP, or of its image encoder alone.

    Raises DataError where they are those of another network.
    """
    open_clip = library("open_clip", "open_clip", EXTRA)
    with _silenced():
        tower: nn.Module = open_clip.create_model(name, pretrained=None, pretrained_text=False).visual
    visual = {key.removeprefix("visual."): tensor for key, tensor in state.items() if key.startswith("visual.")}
    try:
        tower.load_state_dict({key: tensor.float() for key, tensor in (visual or state).items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{origin} does not hold the weights of open_clip's {name}: {reason}") from error
    return tower


def preparation(open_clip: Any, tower: Any, resize: str | None) -> resampling.Square | resampling.ByLibrary:
    """open_clip's own preprocessing for an encoder; with `resize` the whole image is squeezed into its square."""
    config = open_clip.transform.PreprocessCfg(**tower.preprocess_cfg)
    if resize is None:
        return resampling.ByLibrary(open_clip.transform.image_transform_v2(config, is_train=False))
    side = config.size if isinstance(config.size, int) else config.size[0]
    how = resampling.filter_named(config.interpolation)
    return resampling.Square(side, resize, how, tuple(config.mean), tuple(config.std))


def open_clip_features(
    spec: SampleSpec,
    argument: str = "",
    *,
    device: str = "cpu",
    precision: str = "float32",
    weights: Path | None = None,
    resize: str | None = None,
) -> PretrainedFeatures:
    """The extractor of one of open_clip's image encoders, for levelled images of any size.

    `argument` is its name, or name and the tag of its weights, as ``ViT-B-32:laion2b_s34b_b79k``; without a tag it is
    the first of open_clip's list. `weights` is a file with the state dict of the CLIP or of its image encoder, else
    open_clip downloads those of the tag. `resize` is tf, clean or torch, in place of open_clip's own transform. Raises
    InputError for other items, unknown names, tags and precisions, and where open_clip is not installed; DataError
    where there are no weights.
    """
    images.check_spec("open_clip", spec)
    images.check_precision("open_clip", precision)
    resampling.check_choice("open_clip", resize)
    name, _, tag = argument.partition(":")
    open_clip = library("open_clip", "open_clip", EXTRA)
    if name not in open_clip.list_models():
        close = difflib.get_close_matches(name, open_clip.list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else "open_clip.list_models() names all"
        raise InputError(f"open_clip has no network called {name!r}; {hint}")
    if weights is not None:
        tower = encoder(name, weight_files.read(weights), str(weights))
    else:
        tower = _downloaded(open_clip, name, tag)
    known = f"open_clip:{name}" + (f":{tag}" if tag else "")
    pretrained = Pretrained(known, tower, preparation(open_clip, tower, resize), run)
    return PretrainedFeatures(spec, pretrained, Computation(device, precision))


def _downloaded(open_clip: Any, name: str, tag: str) -> nn.Module:
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not tags:
        raise InputError(f"open_clip has no weights for {name}; name a file with --weights FILE")
    if tag and tag not in tags:
        raise InputError(f"open_clip has no weights {tag!r} for {name}; choose one of {', '.join(tags)}")
    try:
        tower: nn.Module = open_clip.create_model(name, pretrained=tag or tags[0], pretrained_text=False).visual
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise no_weights(f"open_clip's {name}", error) from error
    return tower


def clip(
    spec: SampleSpec,
    argument: str = "",
    *,
    device: str = "cpu",
    precision: str = "float32",
    weights: Path | None = None,
    resize: str | None = None,
) -> PretrainedFeatures:
    """The extractor of CMMD, for levelled images of any size.

    `argument` is the side of the network's input, 336 (default) or 224. `weights` is a copy of OpenAI's file, else it
    is looked for in the caches and downloaded. `resize` is tf, clean or torch, after the crop. Raises InputError for
    other items, arguments and precisions, and where open_clip is not installed; DataError where there are no weights.
    """
    images.check_spec("clip", spec)
    images.check_precision("clip", precision)
    resampling.check_choice("clip", resize)
    sides = {str(pixels): pixels for pixels in VARIANTS}
    side = sides.get(argument or "336")
    if side is None:
        raise InputError(f"clip comes for {' or '.join(sides)} pixels, not for {argument!r}; write clip or clip:224")
    name, release = VARIANTS[side]
    library("open_clip", "clip", EXTRA)  # before a download that would be in vain
    path = weight_files.find(release, weights)
    prepare = resampling.Square(side, resize or "pil", mean=MEAN, std=STD, cropped=True)
    tower = encoder(name, weight_files.read(path), str(path))
    known = "clip" if side == 336 else f"clip:{side}"
    return PretrainedFeatures(spec, Pretrained(known, tower, prepare, run_normalised), Computation(device, precision))
