"""The zoo: the models of the lectures on generative models, each in one readable file.

Here is only the catalogue, which imports nothing heavy: every family lists its cards in its own ``__init__``. genbench
finds it through the entry point ``genbench.models``, as it finds anybody's.
"""

from __future__ import annotations

from dataclasses import replace

from genbench.plugins.cards import ModelCard
from zoo import anchors, autoregressive, energy, flow, gan, mixture, sequence, translation, vae

RECORDS = "zoo.records:of_model"


def catalogue() -> list[ModelCard]:
    """The cards of all models, anchors first, then from the simplest family to the richest."""
    families = (anchors, mixture, sequence, energy, vae, flow, autoregressive, gan, translation)
    cards = [card for family in families for card in family.CARDS]
    return [replace(card, records=RECORDS) if "training" in card.capabilities else card for card in cards]
