"""Models of sequences. Here are only their cards, which import nothing heavy."""

from genbench.plugins.cards import ModelCard
from zoo.cards import BINARY, GREY

CARDS = (
    ModelCard(
        "markov-chain",
        "zoo.sequence.markov_chain:MarkovChain.build",
        "each symbol given the ones before it",
        family="sequence",
        reference="Shannon, A Mathematical Theory of Communication",
        year=1948,
        benchmarks=(GREY, BINARY, "weather", "strokes", "tones"),
        capabilities=("log_prob", "training"),
    ),
    ModelCard(
        "markov-chain-0",
        "zoo.sequence.markov_chain:OrderZero.build",
        "order 0: the same symbol frequencies at every step",
        family="sequence",
        reference="Shannon, A Mathematical Theory of Communication",
        year=1948,
        benchmarks=("weather", "strokes"),
        capabilities=("log_prob", "training"),
    ),
    ModelCard(
        "markov-chain-2",
        "zoo.sequence.markov_chain:OrderTwo.build",
        "order 2: each symbol given the two before it",
        family="sequence",
        reference="Shannon, A Mathematical Theory of Communication",
        year=1948,
        benchmarks=("weather", "strokes"),
        capabilities=("log_prob", "training"),
    ),
    ModelCard(
        "hidden-markov",
        "zoo.sequence.hidden_markov:HiddenMarkov.build",
        "hidden states, fitted by Baum-Welch",
        family="sequence",
        reference="Baum, Petrie, Soules, Weiss, A Maximization Technique in Statistical Analysis of Markov Chains",
        year=1970,
        benchmarks=("weather", "strokes", "strokes-positions"),
        capabilities=("log_prob", "training"),
    ),
    ModelCard(
        "wavenet",
        "zoo.sequence.wavenet:WaveNet.build",
        "dilated causal convolutions, exact mass, cached sampling",
        family="sequence",
        reference="van den Oord et al., WaveNet: A Generative Model for Raw Audio",
        year=2016,
        benchmarks=("tones", "strokes"),
        capabilities=("log_prob", "truncation", "training"),
    ),
)
