"""The anchors, between which every model lies. Here are only their cards, which import nothing heavy."""

from genbench.plugins.cards import ModelCard
from zoo.cards import BINARY, GREY

CARDS = (
    ModelCard(
        "real",
        "zoo.anchors.real:Real",
        "the train split handed in as if generated",
        family="anchor",
        benchmarks=("*",),
        # There are fewer than 10,000 train items.
        few_on=(GREY, BINARY, "weather", "strokes", "strokes-positions", "tones", "pendigits", "pendigits-positions"),
    ),
    ModelCard(
        "noise",
        "zoo.anchors.noise:Noise",
        "uniform noise; Gaussian for real values",
        family="anchor",
        benchmarks=("*",),
        capabilities=("log_prob",),
    ),
    ModelCard(
        "copy",
        "zoo.anchors.copy:Copy",
        "the source itself, untranslated",
        family="anchor",
        benchmarks=("edges2digits", "thin2bold", "pose", "slant"),
        capabilities=("translation",),
    ),
)
