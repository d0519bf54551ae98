"""Generative adversarial networks. Here are only their cards, which import nothing heavy."""

from genbench.registry import ModelCard
from zoo.cards import BINARY, GREY, LATENT

CARDS = (
    ModelCard(
        "dcgan",
        "zoo.gan.dcgan:DCGAN.build",
        "convolutional GAN with a choice of modes, truncated z",
        family="gan",
        reference="Radford, Metz, Chintala, Unsupervised Representation Learning with DCGANs",
        year=2016,
        benchmarks=(GREY, BINARY),
        capabilities=("truncation", *LATENT),
    ),
)
