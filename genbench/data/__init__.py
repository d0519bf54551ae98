"""The bundled datasets, one file per family; each loader takes a folder to read from (None: the cache, downloading)."""

from __future__ import annotations

from genbench.registry import Card


def catalogue() -> list[Card]:
    """The cards of the bundled datasets."""
    return [
        Card("digits", "genbench.data.digits:digits", "8x8 handwritten digits, 17 levels, bundled with scikit-learn"),
        Card("digits-binary", "genbench.data.digits:digits_binary", "the digits thresholded at 8, 2 levels"),
        Card("weather", "genbench.data.weather:weather", "30 days of sun, rain and fog from a known Markov chain"),
        Card("mnist", "genbench.data.mnist:mnist", "28x28 handwritten digits, 256 levels"),
        Card("mnist-binary", "genbench.data.mnist:mnist_binary", "the fixed binarization of MNIST, 2 levels"),
        Card("fashion-mnist", "genbench.data.mnist:fashion_mnist", "28x28 pictures of clothes, 256 levels"),
        Card("cifar10", "genbench.data.cifar:cifar10", "3x32x32 colour photographs of ten classes, 256 levels"),
    ]
