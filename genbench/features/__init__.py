"""The bundled feature extractors; a card's target takes the SampleSpec and returns an extractor for it."""

from __future__ import annotations

from genbench.registry import Card


def catalogue() -> list[Card]:
    """The cards of the bundled extractors."""
    return [
        Card("identity", "genbench.features.identity:identity", "flattened values scaled to [0, 1]"),
        Card("transitions", "genbench.features.transitions:transitions", "how often each symbol follows each"),
        Card("digits-cnn", "genbench.features.classifier:digits_cnn", "a classifier of the 8x8 digits, 64 features"),
        Card("mnist-cnn", "genbench.features.classifier:mnist_cnn", "a classifier of MNIST, 128 features"),
    ]
