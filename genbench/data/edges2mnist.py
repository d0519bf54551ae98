"""The benchmark of image-to-image translation at 28 x 28: outlines of MNIST's digits, filled to the digits.

References: P. Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (2017), for pairs of
edges and images; J. Rivest, P. Soille and S. Beucher, "Morphological Gradients" (1993), for the edges.
"""

from __future__ import annotations

from pathlib import Path

from genbench.contracts import Dataset, SampleSpec, Source
from genbench.data.mnist import mnist
from genbench.data.translation import outline

INK = 128  # the lowest level that counts as ink where an outline is drawn: half of the scale, where strokes end


def edges2mnist(root: Path | None = None) -> Dataset:
    """The split of `mnist`, each image (1, 28, 28), 256 levels, paired with its outline (1, 28, 28), 2 levels."""
    whole = mnist(root)
    source = Source(
        SampleSpec(whole.spec.shape, 2),
        outline(whole.train, INK),
        outline(whole.heldout, INK),
        True,
        whole.train_labels,
        whole.heldout_labels,
    )
    return Dataset(
        name="edges2mnist",
        spec=whole.spec,
        train=whole.train,
        heldout=whole.heldout,
        train_labels=whole.train_labels,
        heldout_labels=whole.heldout_labels,
        classes=whole.classes,
        source=source,
    )
