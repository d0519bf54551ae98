"""Generative adversarial networks. Here are only their cards, which import nothing heavy."""

from genbench.plugins.cards import ModelCard
from zoo.cards import BINARY, GREY, LATENT, MNIST

F_GAN = "Nowozin, Cseke, Tomioka, f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization"

# What several models depart from their papers by.
AVERAGED = "the weights are a moving average over the training (EMA), which the paper does not take"
AGAINST_MEMORY = (
    "on 8 x 8: noise on the images that the discriminator sees, against knowing a thousand of them by heart"
)
SMALLER = "narrower networks and fewer steps, for images of 8 x 8 and 28 x 28"
ADAM = "Adam takes the steps, not gradient descent with a momentum"
LEAKY = "leaky rectifiers in the discriminator, not maxout"
DCGAN_CRITIC = "the networks are the DCGAN's of fewer layers, the critic's without batch norm"
UNPROGRESSIVE = "all resolutions are there from the start: no progressive growing"
EQUALISED = "R1 enters in every 16th step, as in StyleGAN2"
FEW_STYLES = "at a tenth of the rate, not a hundredth, and no images of two w"
UNMIXED = f"on 8 x 8: four layers of mapping, learning {FEW_STYLES}"
UNMIXED_2 = f"on 8 x 8: three layers of mapping {FEW_STYLES}"
PERCEPTRON = (SMALLER, ADAM, LEAKY)
F_GAN_DEVIATIONS = (SMALLER, "leaky rectifiers in the discriminator, not exponential linear units", AVERAGED)
F_GAN_NOISE = "noise on the images that the discriminator sees, so that data and model share a support"

CARDS = (
    ModelCard(
        "gan",
        "zoo.gan.gan:MinimaxGAN.build",
        "perceptrons, minimax loss",
        family="gan",
        reference="Goodfellow et al., Generative Adversarial Nets",
        year=2014,
        benchmarks=(GREY, MNIST),
        capabilities=("truncation", *LATENT),
        deviations=PERCEPTRON,
    ),
    ModelCard(
        "gan-nonsaturating",
        "zoo.gan.gan_nonsaturating:NonSaturatingGAN.build",
        "perceptrons, the generator ascends log D",
        family="gan",
        reference="Goodfellow et al., Generative Adversarial Nets",
        year=2014,
        benchmarks=(GREY, MNIST),
        capabilities=("truncation", *LATENT),
        deviations=PERCEPTRON,
    ),
    ModelCard(
        "cgan",
        "zoo.gan.cgan:ConditionalPerceptronGAN.build",
        "perceptrons, both of them told the class",
        family="gan",
        reference="Mirza, Osindero, Conditional Generative Adversarial Nets",
        year=2014,
        benchmarks=(GREY, MNIST),
        capabilities=("truncation", *LATENT),
        deviations=(
            *(SMALLER, ADAM, LEAKY, "the generator ascends log D, as Goodfellow et al. advise"),
            "the class enters beside z and beside the image, where the paper has a hidden layer for each of them",
            "the class is scaled to be as strong as all pixels together; no dropout in the generator",
        ),
    ),
    ModelCard(
        "dcgan",
        "zoo.gan.dcgan:DCGAN.build",
        "convolutional GAN, truncated z",
        family="gan",
        reference="Radford, Metz, Chintala, Unsupervised Representation Learning with DCGANs",
        year=2016,
        benchmarks=(GREY, BINARY, MNIST),
        capabilities=("truncation", *LATENT),
        deviations=(SMALLER, AVERAGED, AGAINST_MEMORY, "on 8 x 8: dropout in the discriminator"),
    ),
    ModelCard(
        "dcgan-modes",
        "zoo.gan.dcgan:DCGANModes.build",
        "dcgan whose z first picks one of 16 modes",
        family="gan",
        reference="Radford, Metz, Chintala, Unsupervised Representation Learning with DCGANs",
        year=2016,
        benchmarks=(GREY,),
        capabilities=("truncation", *LATENT),
        deviations=(
            "16 components of a normal z only pick, by the largest, one of 16 vectors (Khayatkhoei et al. 2018)",
            *(SMALLER, AVERAGED, AGAINST_MEMORY, "on 8 x 8: dropout in the discriminator"),
        ),
    ),
    ModelCard(
        "lsgan",
        "zoo.gan.lsgan:LSGAN.build",
        "convolutional GAN, scores regressed on 0 and 1",
        family="gan",
        reference="Mao et al., Least Squares Generative Adversarial Networks",
        year=2017,
        benchmarks=(GREY,),
        capabilities=("truncation", *LATENT),
        deviations=("the networks are the DCGAN's", AVERAGED, AGAINST_MEMORY, "on 8 x 8: dropout in the discriminator"),
    ),
    ModelCard(
        "wgan",
        "zoo.gan.wgan:WGAN.build",
        "Wasserstein critic, clipped weights",
        family="gan",
        reference="Arjovsky, Chintala, Bottou, Wasserstein Generative Adversarial Networks",
        year=2017,
        benchmarks=(GREY, MNIST),
        capabilities=("truncation", *LATENT),
        deviations=(DCGAN_CRITIC, "larger rates, for fewer steps", AVERAGED),
    ),
    ModelCard(
        "wgan-gp",
        "zoo.gan.wgan_gp:WGANGP.build",
        "Wasserstein critic, gradient penalty",
        family="gan",
        reference="Gulrajani et al., Improved Training of Wasserstein GANs",
        year=2017,
        benchmarks=(GREY, MNIST),
        capabilities=("truncation", *LATENT),
        deviations=(
            *(DCGAN_CRITIC, "larger rates, for fewer steps", AVERAGED),
            "on 8 x 8: three steps of the critic for each of the generator's, not five",
        ),
    ),
    ModelCard(
        "sn-gan",
        "zoo.gan.sn_gan:SNGAN.build",
        "spectral normalisation, hinge loss",
        family="gan",
        reference="Miyato et al., Spectral Normalization for Generative Adversarial Networks",
        year=2018,
        benchmarks=(GREY, MNIST),
        capabilities=("truncation", *LATENT),
        deviations=(DCGAN_CRITIC, "one step of the discriminator for each of the generator's, not five", AVERAGED),
    ),
    ModelCard(
        "f-gan",
        "zoo.gan.f_gan:FGAN.build",
        "perceptrons, Kullback-Leibler divergence",
        family="gan",
        reference=F_GAN,
        year=2016,
        benchmarks=(GREY, MNIST),
        capabilities=("truncation", *LATENT),
        deviations=(*F_GAN_DEVIATIONS, F_GAN_NOISE),
    ),
    ModelCard(
        "f-gan-reverse-kl",
        "zoo.gan.f_gan:ReverseKullbackLeibler.build",
        "perceptrons, reverse Kullback-Leibler divergence",
        family="gan",
        reference=F_GAN,
        year=2016,
        benchmarks=(GREY,),
        capabilities=("truncation", *LATENT),
        deviations=(*F_GAN_DEVIATIONS, F_GAN_NOISE),
    ),
    ModelCard(
        "f-gan-pearson",
        "zoo.gan.f_gan:Pearson.build",
        "perceptrons, Pearson divergence",
        family="gan",
        reference=F_GAN,
        year=2016,
        benchmarks=(GREY,),
        capabilities=("truncation", *LATENT),
        deviations=(*F_GAN_DEVIATIONS, F_GAN_NOISE),
    ),
    ModelCard(
        "f-gan-hellinger",
        "zoo.gan.f_gan:SquaredHellinger.build",
        "perceptrons, squared Hellinger distance",
        family="gan",
        reference=F_GAN,
        year=2016,
        benchmarks=(GREY,),
        capabilities=("truncation", *LATENT),
        deviations=(*F_GAN_DEVIATIONS, F_GAN_NOISE),
    ),
    ModelCard(
        "f-gan-js",
        "zoo.gan.f_gan:JensenShannon.build",
        "perceptrons, Jensen-Shannon divergence",
        family="gan",
        reference=F_GAN,
        year=2016,
        benchmarks=(GREY,),
        capabilities=("truncation", *LATENT),
        deviations=(*F_GAN_DEVIATIONS, F_GAN_NOISE),
    ),
    ModelCard(
        "progan",
        "zoo.gan.progan:ProGAN.build",
        "grows from 4x4, fade-in, equalised weights, averaged weights (EMA)",
        family="gan",
        reference="Karras, Aila, Laine, Lehtinen, Progressive Growing of GANs",
        year=2018,
        benchmarks=(GREY,),
        capabilities=("truncation", *LATENT),
        deviations=(
            *(SMALLER, "the non-saturating loss with R1, not the gradient penalty of WGAN-GP", EQUALISED),
            AGAINST_MEMORY,
        ),
    ),
    ModelCard(
        "stylegan",
        "zoo.gan.stylegan:StyleGAN.build",
        "mapping network, adaptive instance norm, noise, truncated w, averaged weights (EMA)",
        family="gan",
        reference="Karras, Laine, Aila, A Style-Based Generator Architecture for GANs",
        year=2019,
        benchmarks=(GREY, MNIST),
        capabilities=("truncation", *LATENT),
        deviations=(SMALLER, UNPROGRESSIVE, EQUALISED, UNMIXED, AGAINST_MEMORY),
    ),
    ModelCard(
        "stylegan-modes",
        "zoo.gan.stylegan:StyleGANModes.build",
        "stylegan whose z first picks one of 16 modes, w drawn to its mode's mean",
        family="gan",
        reference="Karras, Laine, Aila, A Style-Based Generator Architecture for GANs",
        year=2019,
        benchmarks=(GREY,),
        capabilities=("truncation", *LATENT),
        deviations=(
            "16 components of z only pick, by the largest, one of 16 learned vectors (Khayatkhoei et al. 2018)",
            "truncation draws w towards the mean of its mode (Mokady et al. 2022)",
            *(SMALLER, UNPROGRESSIVE, EQUALISED, UNMIXED, AGAINST_MEMORY),
        ),
    ),
    ModelCard(
        "stylegan2",
        "zoo.gan.stylegan2:StyleGAN2.build",
        "modulated and demodulated weights, path lengths, averaged weights (EMA)",
        family="gan",
        reference="Karras et al., Analyzing and Improving the Image Quality of StyleGAN",
        year=2020,
        benchmarks=(GREY,),
        capabilities=("truncation", *LATENT),
        deviations=(SMALLER, UNMIXED_2, AGAINST_MEMORY),
    ),
    ModelCard(
        "sagan",
        "zoo.gan.sagan:SAGAN.build",
        "self-attention, class-conditional batch norm, spectral norm on both sides",
        family="gan",
        reference="Zhang, Goodfellow, Metaxas, Odena, Self-Attention Generative Adversarial Networks",
        year=2019,
        benchmarks=(GREY,),
        capabilities=("truncation", *LATENT),
        deviations=(SMALLER, "on 8 x 8: equal rates of both players", AVERAGED, AGAINST_MEMORY),
    ),
    ModelCard(
        "biggan",
        "zoo.gan.biggan:BigGAN.build",
        "class-conditional batch norm, attention, projection hinge loss, truncated z, averaged weights (EMA)",
        family="gan",
        reference="Brock, Donahue, Simonyan, Large Scale GAN Training for High Fidelity Natural Image Synthesis",
        year=2019,
        benchmarks=(GREY, MNIST),
        capabilities=("truncation", *LATENT),
        deviations=(
            *(SMALLER, "minibatches of 32 on 8 x 8 and of 64 on 28 x 28, not 2,048"),
            *("one step of the discriminator for each of the generator's on 8 x 8, not two", AGAINST_MEMORY),
            "on 28 x 28 and 32 x 32: such noise too, without which the discriminator wins in its first steps",
        ),
    ),
)
