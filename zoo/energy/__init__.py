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
    ),
    ModelCard(
        "rbm",
        "zoo.energy.restricted_boltzmann:RestrictedBoltzmann.build",
        "restricted Boltzmann machine, persistent chains, log Z by AIS",
        family="energy",
        reference="Hinton, Training Products of Experts by Minimizing Contrastive Divergence",
        year=2002,
        benchmarks=(BINARY, "mnist-binary"),
        capabilities=("log_prob", "reconstruction", "training"),
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
    ),
)
