"""Walks in a latent space: interpolation between codes, and arithmetic with the means of codes that share a trait.

Reference: A. Radford, L. Metz and S. Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks" (2016), section 6.3, for both; T. White, "Sampling Generative Networks" (2016), for the sphere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from genbench import seeding
from genbench.contracts import FeatureExtractor, Generator, SampleSpec
from genbench.errors import InputError, ModelError, Unsupported
from genbench.evaluation import generators
from genbench.evaluation.image_pass import checked
from genbench.plugins.arrays import plain
from genbench.plugins.guard import attribute, guarded

Way = Literal["line", "sphere"]
POOL = 1000  # codes among which arithmetic looks for traits
AVERAGED = 3  # codes behind each operand, as in the paper
TAIL = 4  # "bold" and "thin" are the upper and the lower quarter (1 / TAIL) of a class by ink


@dataclass(frozen=True, eq=False)
class Sum:
    """bold a - thin a + thin b = ?: four items (4, *shape), and the classes a and b (empty where none are known)."""

    items: Tensor
    minuend: str
    addend: str


def codes_of(generator: Generator, n: int, seed: int) -> Tensor:
    """n codes of the prior, float32 (n, *latent_shape). Raises Unsupported without a latent space, ModelError for what
    are no codes."""
    if not generators.offers(generator, "latent"):
        raise Unsupported("it has no latent space: it defines no latent_shape, sample_latent and decode")
    shape = guarded("latent_shape", lambda: tuple(map(int, attribute(generator, "latent_shape"))))
    with seeding.scoped(seed, "latent"), torch.no_grad():
        codes = plain(guarded("sample_latent", attribute(generator, "sample_latent"), n), f"sample_latent({n})")
    if tuple(codes.shape) != (n, *shape):
        raise ModelError(f"sample_latent({n}) returned shape {tuple(codes.shape)}, not {(n, *shape)}")
    if not torch.isfinite(codes).all():
        raise ModelError(f"sample_latent({n}) returned values that are not finite")
    return codes.float()


def decoded(generator: Generator, codes: Tensor, spec: SampleSpec, seed: int) -> Tensor:
    """The items (n, *spec.shape) of codes (n, *latent_shape), under a scoped seed."""
    with seeding.scoped(seed, "decode"), torch.no_grad():
        items = guarded("decode", attribute(generator, "decode"), codes)
    return generators.as_samples(items, spec, len(codes), "decode")


def between(first: Tensor, last: Tensor, steps: int, way: Way = "line") -> Tensor:
    """Codes (pairs, steps, *shape) from each of `first` to that of `last` (pairs, *shape), both ends included.

    On a "line" in even steps; on a "sphere" along the great circle with the norm changing evenly, so that codes of a
    normal prior keep the norm that its draws have. Raises InputError for fewer than two steps.
    """
    if steps < 2:
        raise InputError(f"an interpolation has at least 2 steps, got {steps}")
    a, b = first.flatten(1).double(), last.flatten(1).double()
    share = torch.linspace(0, 1, steps, dtype=torch.float64)[None, :, None]
    path = (1 - share) * a[:, None] + share * b[:, None]
    if way == "sphere":
        norms = a.norm(dim=1), b.norm(dim=1)
        product = (norms[0] * norms[1]).clamp_min(1e-12)
        angle = torch.acos(((a * b).sum(1) / product).clamp(-1, 1))[:, None, None]
        unit_a, unit_b = (x / norm.clamp_min(1e-12)[:, None] for x, norm in zip((a, b), norms, strict=True))
        arc = torch.sin((1 - share) * angle) * unit_a[:, None] + torch.sin(share * angle) * unit_b[:, None]
        length = (1 - share) * norms[0][:, None, None] + share * norms[1][:, None, None]
        # Where two codes point the same way, or opposite ways, there is no one great circle: the line stays.
        path = torch.where(torch.sin(angle) > 1e-6, length * arc / torch.sin(angle).clamp_min(1e-6), path)
    return path.float().reshape(len(a), steps, *first.shape[1:])


def interpolation(
    generator: Generator, spec: SampleSpec, shape: tuple[int, int] = (6, 10), seed: int = 0, way: Way = "line"
) -> Tensor:
    """Items (pairs, steps, *spec.shape) on the ways between pairs of codes of the prior; `shape` is (pairs, steps)."""
    pairs, steps = shape
    codes = codes_of(generator, 2 * pairs, seed)
    path = between(codes[:pairs], codes[pairs:], steps, way)
    return decoded(generator, path.flatten(0, 1), spec, seed).reshape(pairs, steps, *spec.shape)


def arithmetic(
    generator: Generator, spec: SampleSpec, seeing: FeatureExtractor | None, rows: int = 6, seed: int = 0
) -> list[Sum]:
    """Sums of mean codes: bold items of one class, less thin ones of it, plus thin ones of another.

    What is bold and thin is measured on decoded draws of the prior, as the sum of their values; their class is the
    extractor's, if it has probabilities, else all are of one class. Each operand is the mean of three codes, shown
    decoded. Raises Unsupported for a model without a latent space, and where too few draws share a trait.
    """
    codes = codes_of(generator, POOL, seed)
    items = decoded(generator, codes, spec, seed)
    ink = items.flatten(1).double().sum(1)
    probabilities = None if seeing is None else checked(seeing, items).probabilities
    labels = torch.zeros(POOL, dtype=torch.long) if probabilities is None else probabilities.argmax(1).cpu()
    members = {int(label): (labels == label).nonzero()[:, 0] for label in labels.unique()}
    large = [label for label, own in members.items() if len(own) >= AVERAGED * TAIL]
    if not large:
        raise Unsupported(f"of {POOL} draws, no class has the {AVERAGED * TAIL} that arithmetic needs")
    draws = seeding.generator(seed, "arithmetic")
    operands = []
    for row in range(rows):
        a, b = large[row % len(large)], large[(row + max(1, len(large) // 2)) % len(large)]
        tails = [_tail(members[label], ink, bold, draws) for label, bold in ((a, True), (a, False), (b, False))]
        means = [codes[tail].mean(0) for tail in tails]
        operands.append((torch.stack([*means, means[0] - means[1] + means[2]]), a, b))
    shown = decoded(generator, torch.cat([each for each, _, _ in operands]), spec, seed)
    named = probabilities is not None
    return [
        Sum(part, str(a) if named else "", str(b) if named else "")
        for part, (_, a, b) in zip(shown.split(4), operands, strict=True)
    ]


def _tail(members: Tensor, ink: Tensor, bold: bool, draws: torch.Generator) -> Tensor:
    """A few random ones of the quarter of items with the most (or least) ink, as their numbers."""
    order = members[ink[members].argsort(descending=bold)]
    quarter = order[: len(order) // TAIL]
    return quarter[torch.randperm(len(quarter), generator=draws)[:AVERAGED]]
