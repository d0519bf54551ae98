"""The median of p(x|z) in place of a draw of it: what a latent-variable model makes without the noise of its pixels.

Lecture topic: variational autoencoders, what to show. The likelihood is that of draws x ~ p(x|z), with independent
pixels whose noise no data has; many papers show the decoder's mean or median instead, and compute the FID of that. Here
such samples stand in rows of their own, beside those of the model itself, and have no likelihood.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from genbench.contracts import Setting
from zoo import checkpoints
from zoo.training import sizes
from zoo.vae.dlgm import DLGM
from zoo.vae.latent import ITEMS_AT_ONCE, GaussianLatentModel
from zoo.vae.vae import VAE


class Median:
    """Samples z ~ N(0, I) of a trained model, each decoded to the median of p(x|z)."""

    def __init__(self, model: GaussianLatentModel) -> None:
        self.model, self.spec, self.latent_shape = model, model.spec, model.latent_shape
        self.version = checkpoints.version(type(self), config={"model": model.version})

    @classmethod
    def of(cls, kind: type[GaussianLatentModel], setting: Setting) -> Median:
        """The medians of the checkpoint of `kind` for the setting's benchmark."""
        return cls(kind.build(replace(setting, model=kind.name, trained=True)))

    def sample(self, n: int, /) -> Tensor:
        """n items, uint8 (n, *shape)."""
        return torch.cat([self.decode(self.sample_latent(part)) for part in sizes(n, ITEMS_AT_ONCE)])

    def sample_latent(self, n: int, /) -> Tensor:
        """n latents of the prior: (n, *latent_shape)."""
        return self.model.sample_latent(n)

    def decode(self, z: Tensor, /) -> Tensor:
        """The median of p(x|z): uint8 (n, *shape)."""
        return self.model.decode(z)


vae = partial(Median.of, VAE)
dlgm = partial(Median.of, DLGM)
