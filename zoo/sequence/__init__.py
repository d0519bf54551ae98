"""Models of sequences. Here are only their cards, which import nothing heavy."""

from genbench.plugins.cards import ModelCard
from zoo.cards import BINARY, GREY

STROKES, POSITIONS = ("strokes", "pendigits"), ("strokes-positions", "pendigits-positions")

SMOOTHED = ("frequencies smoothed by pseudo-observations",)

CARDS = (
    ModelCard(
        "markov-chain",
        "zoo.sequence.markov_chain:MarkovChain.build",
        "each symbol given the ones before it",
        family="sequence",
        reference="Shannon, A Mathematical Theory of Communication",
        year=1948,
        benchmarks=(GREY, BINARY, "weather", *STROKES, "tones"),
        capabilities=("log_prob", "training"),
        deviations=SMOOTHED,
    ),
    ModelCard(
        "markov-chain-0",
        "zoo.sequence.markov_chain:OrderZero.build",
        "order 0: the same symbol frequencies at every step",
        family="sequence",
        reference="Shannon, A Mathematical Theory of Communication",
        year=1948,
        benchmarks=("weather", *STROKES),
        capabilities=("log_prob", "training"),
        deviations=SMOOTHED,
    ),
    ModelCard(
        "markov-chain-2",
        "zoo.sequence.markov_chain:OrderTwo.build",
        "order 2: each symbol given the two before it",
        family="sequence",
        reference="Shannon, A Mathematical Theory of Communication",
        year=1948,
        benchmarks=("weather", *STROKES),
        capabilities=("log_prob", "training"),
        deviations=SMOOTHED,
    ),
    ModelCard(
        "hidden-markov",
        "zoo.sequence.hidden_markov:HiddenMarkov.build",
        "one chain of hidden states, fitted by Baum-Welch",
        family="sequence",
        reference="Baum, Petrie, Soules, Weiss, A Maximization Technique in Statistical Analysis of Markov Chains",
        year=1970,
        benchmarks=("weather", *STROKES, *POSITIONS),
        capabilities=("log_prob", "training"),
        deviations=(
            "pseudo-observations in every table, and a floor under the variances of Gaussians",
            "starts from clustered observations, the best of several starts",
        ),
    ),
    ModelCard(
        "hidden-markov-mixture",
        "zoo.sequence.hidden_markov:HiddenMarkovMixture.build",
        "left-to-right chains side by side, one for each way of writing",
        family="sequence",
        reference="Rabiner, A Tutorial on Hidden Markov Models and Selected Applications in Speech Recognition",
        year=1989,
        benchmarks=(*STROKES, "strokes-positions"),
        capabilities=("log_prob", "training"),
        deviations=(
            "a mixture learnt without labels, where the tutorial has a chain for each word",
            "pseudo-observations in every table, and a floor under the variances of Gaussians",
            "starts from clustered observations",
        ),
    ),
    ModelCard(
        "wavenet",
        "zoo.sequence.wavenet:WaveNet.build",
        "dilated causal convolutions, exact mass, cached sampling",
        family="sequence",
        reference="van den Oord et al., WaveNet: A Generative Model for Raw Audio",
        year=2016,
        benchmarks=("tones", "strokes"),
        few_on=("tones",),  # 120 s
        capabilities=("log_prob", "truncation", "training"),
        deviations=(
            "no conditioning, and two blocks of narrow layers that see one short clip",
            "the level's height and a thermometer of 16 marks in place of a one-hot input, where levels are heights",
            "averaged weights and a cosine schedule, dropout on strokes",
        ),
    ),
)
