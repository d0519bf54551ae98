"""Energy-based models. Here are only their cards, which import nothing heavy."""

from genbench.plugins.cards import ModelCard, Published
from zoo.cards import BINARY, MNIST_BINARY

CARDS = (
    ModelCard(
        "boltzmann-machine",
        "zoo.energy.boltzmann_machine:BoltzmannMachine.build",
        "pairwise energies between visible units, log Z by AIS",
        family="energy",
        reference="Ackley, Hinton, Sejnowski, A Learning Algorithm for Boltzmann Machines",
        year=1985,
        benchmarks=(BINARY,),
        capabilities=("log_prob", "training"),
        deviations=(
            "no hidden units, as the pairwise model of the lecture",
            "Adam with a cosine schedule and averaged weights in place of gradient ascent with momentum",
        ),
    ),
    ModelCard(
        "rbm",
        "zoo.energy.restricted_boltzmann:RestrictedBoltzmann.build",
        "restricted Boltzmann machine, contrastive divergence, log Z by AIS",
        family="energy",
        reference="Hinton, Training Products of Experts by Minimizing Contrastive Divergence",
        year=2002,
        benchmarks=(BINARY, MNIST_BINARY),
        few_on=(MNIST_BINARY,),  # 150 s
        capabilities=("log_prob", "reconstruction", "training"),
        deviations=(
            "on the digits persistent chains (Tieleman 2008); on MNIST CD-25 as Salakhutdinov and Murray (2008), and "
            "5,000 steps with persistent chains after it",
            "Adam with a cosine schedule and averaged weights in place of gradient ascent with momentum",
        ),
        published=(
            Published(
                MNIST_BINARY,
                86.34,
                "Salakhutdinov, Murray 2008, CD-25, by AIS",
                "20,000 steps of 100, and 5,000 with persistent chains",
            ),
        ),
    ),
    ModelCard(
        "rbm-cd",
        "zoo.energy.restricted_boltzmann:ContrastiveDivergence.build",
        "the same machine, chains restarted at the data (CD-k)",
        family="energy",
        reference="Hinton, Training Products of Experts by Minimizing Contrastive Divergence",
        year=2002,
        benchmarks=(BINARY,),
        capabilities=("log_prob", "reconstruction", "training"),
        deviations=("Adam with a cosine schedule and averaged weights in place of gradient ascent with momentum",),
    ),
    ModelCard(
        "dbn",
        "zoo.energy.deep_belief:DeepBelief.build",
        "deep belief network: stacked RBMs, trained greedily",
        family="energy",
        reference="Hinton, Osindero, Teh, A Fast Learning Algorithm for Deep Belief Nets",
        year=2006,
        benchmarks=(BINARY,),
        capabilities=("log_prob", "reconstruction", "training"),
        deviations=(
            "greedy training alone: the up-down fine-tuning is an option that the shipped checkpoint does without",
            "the top machine starts as the first one turned over",
            "on MNIST the top machine has persistent chains, annealed anew every 250 steps, in place of CD",
            "Adam with a cosine schedule and averaged weights in place of gradient ascent with momentum",
        ),
        published=(
            Published(
                MNIST_BINARY,
                84.55,
                "Salakhutdinov, Murray 2008, two layers, by AIS",
                "20,000 steps of 100 for the first layer, 10,000 for the second",
            ),
        ),
    ),
    ModelCard(
        "dbm",
        "zoo.energy.deep_boltzmann:DeepBoltzmann.build",
        "deep Boltzmann machine: mean field and persistent chains",
        family="energy",
        reference="Salakhutdinov, Hinton, Deep Boltzmann Machines",
        year=2009,
        benchmarks=(BINARY, MNIST_BINARY),
        few_on=(MNIST_BINARY,),  # 250 s
        capabilities=("log_prob", "reconstruction", "training"),
        deviations=(
            "couplings and chains start from contrastive divergence of one or a few steps for each layer",
            "Adam with a cosine schedule and averaged weights in place of gradient ascent with momentum",
        ),
        published=(
            Published(
                MNIST_BINARY,
                84.62,
                "Salakhutdinov, Hinton 2009, two layers, by AIS",
                "20,000 steps of 100 after 20,000 for each layer",
            ),
        ),
    ),
)
