"""Normalizing flows. Here are only their cards, which import nothing heavy."""

from genbench.plugins.cards import ModelCard, Published
from zoo.cards import GREY, LATENT

CARDS = (
    ModelCard(
        "real-nvp",
        "zoo.flow.real_nvp:RealNVP.build",
        "affine couplings, exact density",
        family="flow",
        reference="Dinh, Sohl-Dickstein, Bengio, Density Estimation Using Real NVP",
        year=2017,
        benchmarks=(GREY,),
        capabilities=("log_prob", "truncation", *LATENT),
        deviations=("narrower residual networks and fewer couplings than the paper, with dropout on the digits",),
        published=(Published("mnist", 1.06, "as Grathwohl et al. 2019 report it", "20,000 steps of 32", "bpd"),),
    ),
    ModelCard(
        "glow",
        "zoo.flow.glow:Glow.build",
        "actnorm, invertible 1x1 convolutions, temperature",
        family="flow",
        reference="Kingma, Dhariwal, Glow: Generative Flow with Invertible 1x1 Convolutions",
        year=2018,
        benchmarks=(GREY,),
        capabilities=("log_prob", "truncation", *LATENT),
        deviations=("fewer and narrower steps than the paper, with dropout on the digits",),
        published=(Published("mnist", 1.05, "as Grathwohl et al. 2019 report it", "20,000 steps of 32", "bpd"),),
    ),
)
