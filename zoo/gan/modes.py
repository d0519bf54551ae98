"""A choice of modes at the start of a generator, which no GAN's own paper has: its rows bear `-modes` in their name.

References: M. Khayatkhoei, M. Singh and A. Elgammal, "Disconnected Manifold Learning for Generative Adversarial
Networks" (2018).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PickMode(nn.Module):
    """The first components of z replaced by the indicator of their largest, the others as they are.

    A continuous map of a normal z has connected images, and digits are not connected: without a choice to make, the
    generator has to paint what lies between them. Which component is largest does not depend on the scale of z, so that
    truncation narrows every mode around its centre and keeps them all.
    """

    def __init__(self, modes: int) -> None:
        super().__init__()
        self.modes = modes

    def forward(self, z: Tensor) -> Tensor:
        choice, rest = z[:, : self.modes], z[:, self.modes :]
        # The square root gives the indicators the second moment of the normals that they replace.
        indicator = F.one_hot(choice.argmax(1), self.modes) * math.sqrt(self.modes)
        return torch.cat([indicator, rest], 1)


def picking(modes: int, network: nn.Sequential) -> nn.Sequential:
    """A generator whose input first picks one of as many modes; 0: the generator as it is."""
    return nn.Sequential(PickMode(modes), *network) if modes else network
