"""The cycle-consistent GAN for unpaired images.

Lecture topic: image-to-image translation. Two generators translate there and back; what goes there and comes back must
be what it was, which takes the place of the pairs that are not there.

References: J. Zhu, T. Park, P. Isola and A. Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent
Adversarial Networks" (2017); A. Shrivastava et al., "Learning from Simulated and Unsupervised Images through
Adversarial Training" (2017), for the pool of earlier images; X. Mao et al., "Least Squares Generative Adversarial
Networks" (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.contracts import SampleSpec
from zoo.adversarial import game, losses
from zoo.training import in_batches
from zoo.translation import translator
from zoo.translation.networks import ResidualGenerator, patch_discriminator


@dataclass(frozen=True, slots=True)
class Config(translator.Config):
    """The networks and their losses; see `translator.Config` for their training.

    `width`, `blocks`: channels of each generator at the full resolution, and its residual blocks.
    `discriminator_width`, `patches`: channels of each PatchGAN at the full resolution, and how often it halves that.
    `cycle`: the weight lambda of the cycle loss. `identity`: the weight of the identity loss, which is left out where
    sources and targets have other numbers of channels. `pool`: how many earlier translations each PatchGAN remembers.
    """

    batch: int = 16
    width: int = 64
    blocks: int = 9
    discriminator_width: int = 64
    patches: int = 3
    cycle: float = 10.0
    identity: float = 5.0
    pool: int = 50

    def __post_init__(self) -> None:
        translator.Config.__post_init__(self)
        if min(self.width, self.blocks, self.discriminator_width, self.patches) < 1:
            raise ValueError(f"widths, blocks and patches must be positive, got {self}")
        if min(self.cycle, self.identity) < 0 or self.pool < self.batch:
            raise ValueError(f"weights must not be negative, and the pool must hold a batch, got {self}")


class ImagePool(nn.Module):
    """The last images of a generator, old and new: half of what a discriminator sees comes from the past.

    Its state is a buffer, so that an interrupted training goes on with the same images.
    """

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("filled", torch.tensor(0))

    @torch.no_grad()
    def forward(self, new: Tensor) -> Tensor:
        """Images (n, C, H, W), n at most the pool's size: each is kept and given back as long as there is room, then
        given back with probability 1/2, and otherwise exchanged for one of the pool."""
        room = min(len(new), len(self.images) - int(self.filled))
        self.images[int(self.filled) : int(self.filled) + room] = new[:room]
        self.filled += room
        late = new[room:]
        slots = torch.randperm(len(self.images), device=new.device)[: len(late)]
        exchanged = (torch.rand(len(late), device=new.device) < 0.5).reshape(-1, 1, 1, 1)
        old = self.images[slots]
        self.images[slots] = torch.where(exchanged, late, old)
        return torch.cat([new[:room], torch.where(exchanged, old, late)])


class Side(nn.Module):
    """What watches over one domain: a PatchGAN and the pool of what was translated into the domain."""

    def __init__(self, shape: tuple[int, ...], config: Config) -> None:
        super().__init__()
        self.discriminator = patch_discriminator(shape[0], config.discriminator_width, config.patches)
        self.pool = ImagePool(config.pool, shape)


class CycleGAN(translator.Translator):
    """G translates sources x to targets y, F back: G(x) looks like y, F(y) like x, F(G(x)) is x and G(F(y)) is y."""

    Config = Config
    name = "cyclegan"
    pairs = False

    def __init__(self, spec: SampleSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c, channels, sources = self.config, spec.shape[0], self.config.source_channels
        there = nn.Sequential(ResidualGenerator(sources, channels, c.width, c.blocks), nn.Tanh())
        back = nn.Sequential(ResidualGenerator(channels, sources, c.width, c.blocks), nn.Tanh())
        self.generator = nn.ModuleDict({"there": there, "back": back})

    def forward(self, x: Tensor) -> Tensor:
        return self.generator["there"](x)

    def back(self, y: Tensor) -> Tensor:
        """Targets in [-1, 1] to images of the source domain in [-1, 1]."""
        return self.generator["back"](y)

    def discriminator_network(self) -> nn.Module:
        shapes = {"targets": self.spec.shape, "sources": self.source_spec.shape}
        return nn.ModuleDict({name: Side(shape, self.config) for name, shape in shapes.items()})

    def discriminator_loss(self, discriminator: nn.ModuleDict, x: Tensor, y: Tensor) -> Tensor:
        """(D(y) - 1)^2 + D(G(x))^2 over the patches of targets, and likewise of sources, each halved as in the paper.

        The translations are those of the pools.
        """
        with torch.no_grad():
            translated = {"targets": self(x), "sources": self.back(y)}
        total = torch.zeros((), device=x.device)
        for name, real in (("targets", y), ("sources", x)):
            side = discriminator[name]
            fake = side.pool(translated[name])
            judged = side.discriminator(self.seen(real)), side.discriminator(self.seen(fake))
            total = total + losses.least_squares(*judged)
        return total

    def generator_loss(self, discriminator: nn.ModuleDict, x: Tensor, y: Tensor) -> Tensor:
        """(D(G(x)) - 1)^2 and likewise for F, with the cycle loss and the identity loss."""
        c = self.config
        there, back = self(x), self.back(y)
        fakes = (("targets", there), ("sources", back))
        scores = [discriminator[name].discriminator(self.seen(fake)) for name, fake in fakes]
        loss = 2 * sum(losses.least_squares_generator(score) for score in scores)
        loss = loss + c.cycle * self.cycle_loss(x, y, there, back)
        if c.identity and x.shape[1] == y.shape[1]:
            loss = loss + c.identity * self.identity_loss(x, y)
        return loss

    def cycle_loss(self, x: Tensor, y: Tensor, there: Tensor, back: Tensor) -> Tensor:
        """|F(G(x)) - x| + |G(F(y)) - y|, each the mean over pixels, of translations `there` = G(x), `back` = F(y)."""
        return F.l1_loss(self.back(there), x) + F.l1_loss(self(back), y)

    def identity_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """|G(y) - y| + |F(x) - x|: what is there already has no need to be translated."""
        return F.l1_loss(self(y), y) + F.l1_loss(self.back(x), x)

    @torch.no_grad()
    def cycle(self, x: Tensor, /) -> Tensor:
        """Sources (n, *source shape), uint8, translated there, rounded to the targets' levels, and back: like x."""

        def returned(part: Tensor) -> Tensor:
            # Between the levels of a translation there is room for a hidden copy of the source; rounding removes it.
            translation = self.scaled(self.quantised(self(self.scaled_sources(part))))
            return game.quantised(self.back(translation), self.config.source_levels)

        return in_batches(returned, self.accept(x, self.source_spec), translator.ITEMS_AT_ONCE)
