"""Energy-based models. Here are only their cards, which import nothing heavy."""

from genbench.plugins.cards import ModelCard
from zoo.cards import BINARY

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
        benchmarks=(BINARY, "mnist-binary"),
        capabilities=("log_prob", "reconstruction", "training"),
        deviations=(
            "on the digits persistent chains (Tieleman 2008); on MNIST CD-25 as Salakhutdinov and Murray (2008)",
            "Adam with a cosine schedule and averaged weights in place of gradient ascent with momentum",
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
            "greedy training alone, without the up-down fine-tuning",
            "the top machine starts as the first one turned over",
            "Adam with a cosine schedule and averaged weights in place of gradient ascent with momentum",
        ),
    ),
    ModelCard(
        "dbm",
        "zoo.energy.deep_boltzmann:DeepBoltzmann.build",
        "deep Boltzmann machine: mean field and persistent chains",
        family="energy",
        reference="Salakhutdinov, Hinton, Deep Boltzmann Machines",
        year=2009,
        benchmarks=(BINARY,),
        capabilities=("log_prob", "reconstruction", "training"),
        deviations=(
            "the shipped checkpoint was trained jointly from nothing, without the greedy pretraining of the paper",
            "Adam with a cosine schedule and averaged weights in place of gradient ascent with momentum",
        ),
    ),
)
