"""Discrete codes on a grid: the nearest-neighbour quantiser, and an autoregressive prior over what it makes.

Lecture topic: vector-quantised autoencoders. An encoder's vectors are replaced by the nearest entries of a codebook;
after that training a PixelCNN over the grid of entries learns which of them go together.

References: A. van den Oord, O. Vinyals and K. Kavukcuoglu, "Neural Discrete Representation Learning" (2017); A. Razavi,
A. van den Oord and O. Vinyals, "Generating Diverse High-Fidelity Images with VQ-VAE-2" (2019), for the conditional
prior; P. Dhariwal et al., "Jukebox" (2020), for the revival of dead codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.errors import InputError
from zoo.autoregressive.pixel_cnn import MaskedConv2d, ResidualBlock
from zoo.autoregressive.raster import Part, View, WholeImage

PATIENCE = 20  # training steps that a code may go unused


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a training in several: optimiser steps, items per step, initial rate and weight decay."""

    steps: int
    batch: int
    rate: float
    decay: float


class Quantiser(nn.Module):
    """A codebook of vectors; what it is given is replaced by the nearest of them.

    Codes that no vector of the last 20 minibatches was nearest to are dead, and would stay so, because only what is
    chosen has a gradient: each is moved onto a random vector of the current minibatch. At the start all are dead, so
    that the codebook begins with vectors of the encoder.

    With `average` above 0 a code is no weight that a loss moves, but the mean of the vectors that it was nearest to,
    over moving averages of this decay (van den Oord et al. 2017, appendix A.1; the way of VQ-VAE-2).
    """

    def __init__(self, codes: int, size: int, average: float = 0.0) -> None:
        super().__init__()
        self.average = average
        self.codebook = nn.Parameter(0.1 * torch.randn(codes, size), requires_grad=average == 0)
        self.register_buffer("counts", torch.zeros(codes), persistent=False)
        self.register_buffer("sums", torch.zeros(codes, size), persistent=False)
        self.register_buffer("idle", torch.full((codes,), PATIENCE), persistent=False)

    def nearest(self, vectors: Tensor) -> Tensor:
        """The code nearest to each vector (n, size, h, w) in Euclidean distance: int64 (n, h, w)."""
        flat = vectors.detach().movedim(1, -1)
        # A vector's own square is the same for all codes.
        return (self.codebook.square().sum(1) - 2 * flat @ self.codebook.T).argmin(-1)

    def lookup(self, codes: Tensor) -> Tensor:
        """The vectors (n, size, h, w) of codes (n, h, w)."""
        return F.embedding(codes, self.codebook).movedim(-1, 1)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors (n, size, h, w) quantised straight through, the codebook's loss and the commitment, each (n,).

        The gradient of the first passes to `vectors` as if nothing had happened between; the codebook's loss, the
        squared distance, moves the codes only, and the commitment, which is the same number, the vectors only. Codes
        that are averages have no loss: it is 0.
        """
        if self.training:
            self.revive(vectors)
        codes = self.nearest(vectors)
        if self.training:
            self.idle += 1
            self.idle[codes.unique()] = 0
            if self.average:
                self.follow(vectors, codes)
        chosen = self.lookup(codes)
        codebook_loss = (chosen - vectors.detach()).square().flatten(1).sum(1) * (self.average == 0)
        commitment = (vectors - chosen.detach()).square().flatten(1).sum(1)
        return vectors + (chosen - vectors).detach(), codebook_loss, commitment

    @torch.no_grad()
    def follow(self, vectors: Tensor, codes: Tensor) -> None:
        """Move every code that the vectors (n, size, h, w) were nearest to, as `codes` (n, h, w) says, to its mean."""
        flat, rows = vectors.movedim(1, -1).flatten(0, -2), codes.flatten()
        self.counts.lerp_(torch.bincount(rows, minlength=len(self.counts)).to(self.counts), 1 - self.average)
        self.sums.lerp_(torch.zeros_like(self.sums).index_add_(0, rows, flat), 1 - self.average)
        # A code that has just been moved onto a vector stays there until a vector is nearest to it.
        used = self.counts > 1e-5
        self.codebook[used] = self.sums[used] / self.counts[used, None]

    @torch.no_grad()
    def revive(self, vectors: Tensor) -> None:
        """Move every dead code onto a random one of the vectors (n, size, h, w)."""
        dead = (self.idle >= PATIENCE).nonzero()[:, 0]
        flat = vectors.movedim(1, -1).flatten(0, -2)
        self.codebook[dead] = flat[torch.randint(len(flat), (len(dead),), device=flat.device)]
        self.counts[dead], self.sums[dead] = 0, 0
        self.idle[dead] = 0


def perplexity(codes: Tensor, number: int) -> float:
    """exp of the entropy of the codes' frequencies: how many of the `number` codes are in use, as if evenly."""
    frequencies = torch.bincount(codes.flatten(), minlength=number).double() / codes.numel()
    return torch.special.entr(frequencies).sum().exp().item()


class CodePrior(nn.Module):
    """A PixelCNN over grids of unordered codes (h, w), given a map of features (condition, h, w) or nothing."""

    def __init__(
        self, codes: int, grid: tuple[int, int], width: int, blocks: int, dropout: float, condition: int = 0
    ) -> None:
        super().__init__()
        self.codes, self.grid = codes, grid
        self.first = MaskedConv2d(1, codes, width, 3, "A")
        self.position = nn.Parameter(torch.zeros(width, *grid))
        self.given = nn.Conv2d(condition, width, 1) if condition else None
        self.blocks = nn.ModuleList(ResidualBlock(1, width, 3, dropout) for _ in range(blocks))
        self.dropout = nn.Dropout(dropout)
        self.last = MaskedConv2d(1, width, codes, 1, "B")

    def one_hot(self, codes: Tensor) -> Tensor:
        """Codes (n, h, w) as indicators: (n, codes, h, w)."""
        return F.one_hot(codes, self.codes).movedim(-1, 1).float()

    def logits(self, indicators: Tensor, view: View, condition: Tensor | None = None) -> Tensor:
        """Logits of every code at the positions that the view shows, (n, codes, h, w), given those before them."""
        features = view.convolve(self.first, self.dropout(indicators)) + view.crop(self.position)
        if self.given is not None:
            assert condition is not None
            given = self.given(condition)
            features = features + view.crop(given.flatten(0, 1)).unflatten(0, given.shape[:2])
        for block in self.blocks:
            features = block(features, view)
        return self.last(self.dropout(F.relu(features)))

    def log_prob(self, codes: Tensor, condition: Tensor | None = None) -> Tensor:
        """log p(codes | condition) of grids int64 (n, h, w) in nats: (n,)."""
        logits = self.logits(self.one_hot(codes), WholeImage(), condition)
        return -F.cross_entropy(logits, codes, reduction="none").flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, n: int, psi: float = 1.0, condition: Tensor | None = None) -> Tensor:
        """n grids int64 (n, h, w) with all logits divided by the temperature psi > 0."""
        if not psi > 0:
            raise InputError(f"psi must be positive, got {psi}")
        codes = torch.zeros(n, *self.grid, dtype=torch.int64, device=self.position.device)
        view = Part(n, *self.grid)
        for view.row in range(self.grid[0]):
            for column in range(self.grid[1]):
                view.columns = slice(column, column + 1)
                here = codes[:, view.row, column, None, None]
                logits = self.logits(self.one_hot(here), view, condition)[:, :, 0, 0]
                here[:, 0, 0] = torch.multinomial((logits / psi).softmax(1), 1)[:, 0]
                # Mask A hid the code from its own position, but the positions to come do see it.
                view.keep(self.first, self.one_hot(here))
        return codes
