"""What every model of the zoo shares: a spec, a configuration, and the road from a card to a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from genbench.contracts import SampleSpec, Setting
from genbench.errors import InputError, ModelError
from zoo import checkpoints, presets


@dataclass(frozen=True, slots=True)
class NoConfig:
    """For models without hyperparameters."""


class Model(nn.Module):
    """Base of the zoo's models: parameters and buffers are all that a checkpoint keeps.

    A subclass names its frozen `Config` and itself, and refuses specs that it cannot model in `__init__` with a
    ModelError. What it is trained with stands in the presets under its `name`; a `recipe` of its own may depend on
    more of the data.
    """

    Config: ClassVar[type[Any]] = NoConfig
    name: ClassVar[str] = ""
    version: str

    def __init__(self, spec: SampleSpec, config: Any = None) -> None:
        super().__init__()
        self.spec = spec
        self.config = self.Config() if config is None else config

    @classmethod
    def recipe(cls, spec: SampleSpec) -> Any:
        """The configuration to train with on data of this spec."""
        return cls.Config(**presets.settings(cls.name, spec))

    @classmethod
    def build(cls, setting: Setting) -> Self:
        """The factory that the catalogue names: a model from its checkpoint, or a fresh one to be trained."""
        if setting.trained:
            model = checkpoints.load(cls, setting)
        else:
            model = cls(setting.spec, cls.recipe(setting.spec))
        model.prepare(setting)
        return model.to(setting.device).eval()

    def prepare(self, setting: Setting) -> None:
        """Take from the setting what the model needs beyond its weights, such as the effort of its estimators."""

    def save(self, setting: Setting, record: Mapping[str, object], /) -> object:
        """Write the checkpoint and its record; returns the path."""
        return checkpoints.save(self, setting, record)

    def accept(self, x: Tensor, spec: SampleSpec | None = None) -> Tensor:
        """Items x (n, *shape) of the model's spec, or of another, on the model's device.

        Raises InputError for other shapes, dtypes or values.
        """
        shape, levels = (spec or self.spec).shape, (spec or self.spec).levels
        if tuple(x.shape[1:]) != shape:
            raise InputError(f"items have shape {tuple(x.shape[1:])}, the model is for {shape}")
        if levels is not None:
            if x.dtype != torch.uint8:
                raise InputError(f"items are {x.dtype}; levelled data is uint8")
            if x.numel() and int(x.max()) >= levels:
                raise InputError(f"items hold the value {int(x.max())}; the levels are 0..{levels - 1}")
        elif not torch.isfinite(x).all():
            raise InputError("items hold values that are not finite")
        return x.to(self.device)

    @property
    def device(self) -> torch.device:
        return next(iter(self.state_dict().values())).device


def require_levels(model: str, spec: SampleSpec) -> int:
    """The number of levels, for models of levelled data only."""
    if spec.levels is None:
        raise ModelError(f"{model} models levelled data, not real values")
    return spec.levels


def require_image(model: str, spec: SampleSpec) -> tuple[int, int, int]:
    """Channels, height and width, for models of images only."""
    if not spec.is_image:
        raise ModelError(f"{model} models images (C, H, W), not items of shape {spec.shape}")
    channels, height, width = spec.shape
    return channels, height, width
