"""The zoo: the models of the lectures on generative models, each in one readable file.

Here is only the catalogue, which imports nothing heavy. genbench finds it through the entry point ``genbench.models``,
as it finds anybody's.
"""

from __future__ import annotations

from genbench.registry import ModelCard

GREY, BINARY = "digits", "digits-binary"
LATENT = ("latent", "training")


def catalogue() -> list[ModelCard]:
    """The cards of all models, anchors first, then from the simplest family to the richest."""
    return [
        ModelCard(
            "real",
            "zoo.anchors.real:Real",
            "the train split handed in as if generated",
            family="anchor",
            benchmarks=("*",),
        ),
        ModelCard(
            "noise",
            "zoo.anchors.noise:Noise",
            "uniform noise",
            family="anchor",
            benchmarks=("*",),
            capabilities=("log_prob",),
        ),
        ModelCard(
            "naive-bayes",
            "zoo.mixture.naive_bayes:NaiveBayes.build",
            "every dimension on its own",
            family="mixture",
            reference="Maron, Automatic Indexing: An Experimental Inquiry",
            year=1961,
            benchmarks=(GREY, BINARY, "weather"),
            capabilities=("log_prob", "training"),
        ),
        ModelCard(
            "naive-bayes-classifier",
            "zoo.mixture.naive_bayes_classifier:NaiveBayesClassifier.build",
            "given its class, every dimension on its own",
            family="mixture",
            reference="Maron, Automatic Indexing: An Experimental Inquiry",
            year=1961,
            benchmarks=(BINARY,),
            capabilities=("log_prob", "class_joint", "training"),
        ),
        ModelCard(
            "gaussian-mixture",
            "zoo.mixture.gaussian_mixture:GaussianMixture.build",
            "full covariances, fitted by EM",
            family="mixture",
            reference="Dempster, Laird, Rubin, Maximum Likelihood from Incomplete Data via the EM Algorithm",
            year=1977,
            benchmarks=(GREY,),
            capabilities=("log_prob", "training"),
        ),
        ModelCard(
            "markov-chain",
            "zoo.sequence.markov_chain:MarkovChain.build",
            "each symbol given the ones before it",
            family="sequence",
            reference="Shannon, A Mathematical Theory of Communication",
            year=1948,
            benchmarks=(GREY, BINARY, "weather"),
            capabilities=("log_prob", "training"),
        ),
        ModelCard(
            "rbm",
            "zoo.energy.restricted_boltzmann:RestrictedBoltzmann.build",
            "restricted Boltzmann machine, contrastive divergence, log Z by AIS",
            family="energy",
            reference="Hinton, Training Products of Experts by Minimizing Contrastive Divergence",
            year=2002,
            benchmarks=(BINARY,),
            capabilities=("log_prob", "reconstruction", "training"),
        ),
        ModelCard(
            "autoencoder",
            "zoo.vae.autoencoder:Autoencoder.build",
            "a Gaussian fitted to the codes of an autoencoder",
            family="vae",
            reference="Hinton, Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks",
            year=2006,
            benchmarks=(GREY, BINARY),
            capabilities=("truncation", "reconstruction", *LATENT),
        ),
        ModelCard(
            "vae",
            "zoo.vae.vae:VAE.build",
            "variational autoencoder, importance-weighted bound",
            family="vae",
            reference="Kingma, Welling, Auto-Encoding Variational Bayes",
            year=2014,
            benchmarks=(GREY, BINARY),
            capabilities=("log_prob", "truncation", "reconstruction", *LATENT),
        ),
        ModelCard(
            "real-nvp",
            "zoo.flow.real_nvp:RealNVP.build",
            "affine couplings, exact density",
            family="flow",
            reference="Dinh, Sohl-Dickstein, Bengio, Density Estimation Using Real NVP",
            year=2017,
            benchmarks=(GREY,),
            capabilities=("log_prob", "truncation", *LATENT),
        ),
        ModelCard(
            "pixel-cnn",
            "zoo.autoregressive.pixel_cnn:PixelCNN.build",
            "masked convolutions, exact mass, cached sampling",
            family="autoregressive",
            reference="van den Oord, Kalchbrenner, Kavukcuoglu, Pixel Recurrent Neural Networks",
            year=2016,
            benchmarks=(GREY, BINARY),
            capabilities=("log_prob", "truncation", "training"),
        ),
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
    ]
