"""Any network of timm as an extractor, ``timm:NAME``, through timm's own preprocessing for it.

Reference: R. Wightman, "PyTorch Image Models" (2019).
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from genbench.contracts import SampleSpec
from genbench.errors import DataError, InputError
from genbench.features import images, resampling, weight_files
from genbench.features.pretrained import Computation, Outputs, Pretrained, PretrainedFeatures, library

EXTRA = "features"


def run(network: nn.Module, x: Tensor) -> Outputs:
    """What the classifier is given, pooled as the network pools it, and the logits where it has classes."""
    head: Any = network
    maps = head.forward_features(x)
    embeddings: Tensor = head.forward_head(maps, pre_logits=True)
    return embeddings.flatten(1), head.forward_head(maps) if head.num_classes else None


def load(name: str, weights: Path | None) -> nn.Module:
    """timm's network with its weights for that name, or those in a file.

    Raises InputError for an unknown name, DataError where the weights cannot be had or are of another network.
    """
    timm = library("timm", f"timm:{name}", EXTRA)
    if not timm.is_model(name.partition(".")[0]):
        close = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else "timm.list_models() names all"
        raise InputError(f"timm has no network called {name!r}; {hint}")
    if weights is not None:
        network: nn.Module = timm.create_model(name, pretrained=False)
        return filled(network, weight_files.read(weights), f"{weights}", f"timm's {name}")
    try:
        return timm.create_model(name, pretrained=True)
    except RuntimeError as error:
        if "No pretrained weights" in str(error):
            raise InputError(f"timm has no weights for {name}; name a file with --weights FILE") from error
        raise no_weights(f"timm's {name}", error) from error
    except (OSError, ValueError, EOFError) as error:
        raise no_weights(f"timm's {name}", error) from error


def no_weights(what: str, error: Exception) -> DataError:
    """Why the weights that a library downloads from the hub of models are not there, and what to do."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DataError(
        f"the weights of {what} cannot be downloaded or are damaged ({reason}): name a copy with --weights FILE, "
        f"or copy the hub's cache (HF_HOME) from a machine that has them, or go online"
    )


def filled(network: nn.Module, state: dict[str, Tensor], origin: str, what: str) -> nn.Module:
    """The network with the tensors of `state`. Raises DataError where they are those of another network."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{origin} does not hold the weights of {what}: {reason}") from error
    return network


def preparation(network: nn.Module, resize: str | None) -> resampling.Square | resampling.ByLibrary:
    """timm's own preprocessing for a network; with `resize` the whole image is squeezed into its square that way."""
    data: Any = library("timm.data", "timm", EXTRA)
    config = data.resolve_model_data_config(network)
    if resize is None:
        return resampling.ByLibrary(data.create_transform(**config, is_training=False))
    how = resampling.filter_named(config["interpolation"])
    return resampling.Square(config["input_size"][-1], resize, how, tuple(config["mean"]), tuple(config["std"]))


def timm_features(
    spec: SampleSpec,
    argument: str = "",
    *,
    device: str = "cpu",
    precision: str = "float32",
    weights: Path | None = None,
    resize: str | None = None,
) -> PretrainedFeatures:
    """The extractor of one of timm's networks, for levelled images of any size.

    `argument` is its name, as ``convnext_base.fb_in22k_ft_in1k``. `weights` is a file with a state dict, else timm
    downloads those of the name. `resize` is tf, clean or torch, in place of timm's own transform: then the whole image
    is squeezed into the network's square. Raises InputError for other items, unknown networks and precisions, and where
    timm is not installed; DataError where there are no weights.
    """
    images.check_spec("timm", spec)
    images.check_precision("timm", precision)
    resampling.check_choice("timm", resize)
    if not argument:
        raise InputError("timm needs the name of a network: timm:NAME")
    network = load(argument, weights)
    pretrained = Pretrained(f"timm:{argument}", network, preparation(network, resize), run)
    return PretrainedFeatures(spec, pretrained, Computation(device, precision))
