"""Any classifier of torchvision as an extractor: ``torchvision:NAME`` or ``torchvision:NAME:LAYER``.

``torchvision:vgg16`` is the network and layer of T. Kynkäänniemi, T. Karras, S. Laine, J. Lehtinen and T. Aila,
"Improved Precision and Recall Metric for Assessing Generative Models" (2019), with torchvision's weights and
preprocessing.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from genbench.contracts import Features, SampleSpec
from genbench.errors import DataError, InputError
from genbench.features import images, resampling, weight_files
from genbench.features.pretrained import Computation
from genbench.plugins import registry

# What torchvision's own weights imply of these two networks, and a slow initialisation that weights overwrite.
WITH_WEIGHTS = {name: {"transform_input": True, "init_weights": False} for name in ("googlenet", "inception_v3")}


class TorchvisionFeatures:
    """Embeddings float32 (n, D) on the CPU and, from the classifier's input on, the probabilities float32 (n, K).

    Images of any size pass torchvision's own preprocessing for the network. Of a layer with values over space, or over
    the tokens of a transformer, the average is taken, as for the earlier layers of the Inception network.
    """

    any_size = True

    def __init__(
        self,
        name: str,
        spec: SampleSpec,
        network: nn.Module,
        layer: str = "",
        computation: Computation | None = None,
        resize: str | None = None,
    ) -> None:
        """`network` in float32 with its weights, named `name` by torchvision; an empty `layer` is the default one.

        With `resize` the whole image is squeezed that way into the square that torchvision's preprocessing crops.
        """
        computation = computation or Computation()
        self.spec, self.device = spec, torch.device(computation.device)
        self.dtype = images.PRECISIONS[computation.precision]
        names = layers(network)
        usual = default_layer(network, names)
        self.layer = find_layer(name, layer, names) if layer else usual
        self.classifies = names.index(self.layer) >= names.index(usual)
        usual_preprocessing = models.get_model_weights(name).DEFAULT.transforms()
        self.preprocess = usual_preprocessing if resize is None else squeezing(usual_preprocessing, resize)
        self.name = f"torchvision:{name}" + (f":{self.layer}" if self.layer != usual else "")
        self.fingerprint = (
            f"{self.name} layer={self.layer} weights={weight_files.content(network.state_dict())} "
            f"preprocessing={' '.join(repr(self.preprocess).split())} precision={computation.precision}"
        )
        wanted = {self.layer: "features"}
        if self.classifies and names[-1] != self.layer:
            wanted[names[-1]] = "logits"
        self.network = create_feature_extractor(network.eval(), wanted, suppress_diff_warning=True)
        self.network.to(self.device, self.dtype, memory_format=torch.channels_last).requires_grad_(False)

    def __call__(self, x: Tensor, /) -> Features:
        """Raises InputError for anything but uint8 images, very thin ones, and layers without one tensor per image."""
        x = images.rgb(self.name, self.spec, x)
        images.check_aspect(self.name, x)
        if len(x) == 0:
            raise InputError(f"{self.name} was given no images")
        outputs = []
        with torch.inference_mode(), images.full_precision(self.device):
            for part in x.split(images.images_per_pass(self.device)):
                prepared = self.preprocess(part.to(self.device)).to(self.dtype, memory_format=torch.channels_last)
                outcome = self.network(prepared)
                embeddings = averaged(outcome["features"], len(part), self.name)
                logits = outcome.get("logits", outcome["features"]) if self.classifies else embeddings[:, :0]
                outputs.append((embeddings.float(), logits.float().softmax(1)))
            embeddings, probabilities = (torch.cat(parts).cpu() for parts in zip(*outputs, strict=True))
        # Tensors of inference mode could not be written to by who receives them.
        return Features(embeddings.clone(), probabilities.clone() if self.classifies else None)


def squeezing(transforms: Any, resize: str) -> resampling.Square:
    """What squeezes whole images into the square of torchvision's transforms, normalised as they do."""
    how = resampling.filter_named(transforms.interpolation.value)
    return resampling.Square(transforms.crop_size[0], resize, how, tuple(transforms.mean), tuple(transforms.std))


def layers(network: nn.Module) -> list[str]:
    """The names of everything that the network computes on the way to its logits, in order."""
    return get_graph_node_names(network, suppress_diff_warning=True)[1]


def default_layer(network: nn.Module, names: list[str]) -> str:
    """The input of the last linear layer, or of the last convolution where there is none; dropout passed over."""
    modules = dict(network.named_modules())
    for kind in (nn.Linear, nn.Conv2d):
        places = [place for place, name in enumerate(names) if isinstance(modules.get(name), kind)]
        if places:
            place = places[-1] - 1
            while isinstance(modules.get(names[place]), nn.Dropout):
                place -= 1
            return names[place]
    raise InputError("this network has neither a linear layer nor a convolution; name a layer")


def find_layer(network: str, layer: str, names: list[str]) -> str:
    """The name itself, or the last one within the module of that name. Raises InputError with the closest names."""
    within = [name for name in names if name == layer or name.startswith(f"{layer}.")]
    if within:
        return within[-1]
    close = difflib.get_close_matches(layer, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"the last ones are {', '.join(names[-8:])}"
    raise InputError(f"{network} has no layer called {layer!r}; {hint}")


def averaged(values: object, n: int, name: str) -> Tensor:
    """Values (n, C), (n, T, C), (n, C, S, S) or (n, S, S, C) as (n, C), in float32 or wider."""
    if not isinstance(values, Tensor) or values.ndim not in (2, 3, 4) or len(values) != n:
        shape = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"type {type(values).__name__}"
        raise InputError(f"{name} does not give one vector or map per image, but {shape}; choose another layer")
    wide = values.to(torch.promote_types(values.dtype, torch.float32))
    if wide.ndim == 2:
        return wide
    if wide.ndim == 3:
        return wide.mean(1)
    channels_last = wide.shape[1] == wide.shape[2] != wide.shape[3]  # Swin's; the preprocessing crops to squares
    return wide.mean((1, 2) if channels_last else (2, 3))


def load(name: str, weights: Path | None) -> nn.Module:
    """The network with torchvision's default weights for it, or those in a file.

    Raises InputError for an unknown name, DataError where the weights cannot be had or are of another network.
    """
    known = models.list_models(module=models)
    if name not in known:
        raise InputError(registry.unknown("torchvision networks", name, known))
    chosen = models.get_model_weights(name).DEFAULT
    if weights is None:
        try:
            return models.get_model(name, weights=chosen)
        except (OSError, RuntimeError, EOFError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            file = Path(torch.hub.get_dir()) / "checkpoints" / Path(chosen.url).name
            raise DataError(
                f"the weights of {name} cannot be downloaded or are damaged ({reason}): name a copy with "
                f"--weights FILE, or put it at {file}, or go online and torchvision downloads it from {chosen.url}"
            ) from error
    network = models.get_model(name, weights=None, **WITH_WEIGHTS.get(name, {}))
    state = weight_files.read(weights)
    if name.startswith("densenet"):  # torchvision's own files have names that its network no longer has
        state = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.", key): state[key] for key in state}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{weights} does not hold the weights of torchvision's {name}: {reason}") from error
    return network


def torchvision_features(
    spec: SampleSpec,
    argument: str = "",
    *,
    device: str = "cpu",
    precision: str = "float32",
    weights: Path | None = None,
    resize: str | None = None,
) -> TorchvisionFeatures:
    """The extractor of one of torchvision's classifiers, for levelled images of any size.

    `argument` is its name, or name and layer, as ``vgg16`` or ``vgg16:classifier.3``; a module's name stands for its
    output. Without a layer it is the input of the last linear layer: for vgg16 the second fully connected one, 4096
    features after the ReLU. `weights` is a file with a state dict, else torchvision's default weights are downloaded.
    `precision` is float32, float64 or bfloat16; `resize` is tf, clean or torch, in place of torchvision's own. Raises
    InputError for other items, and for unknown networks, layers, precisions and ways to resize; DataError where there
    are no weights.
    """
    images.check_spec("torchvision", spec)
    images.check_precision("torchvision", precision)
    resampling.check_choice("torchvision", resize)
    name, _, layer = argument.partition(":")
    if not name:
        raise InputError("torchvision needs the name of a network: torchvision:NAME or torchvision:NAME:LAYER")
    return TorchvisionFeatures(name, spec, load(name, weights), layer, Computation(device, precision), resize)
