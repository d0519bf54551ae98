"""What every model of pixels in raster order is held to: its samples follow its own conditionals."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from genbench.errors import InputError
from genbench.likelihood import every_state
from genbench.seeding import scoped

Logits = Callable[[Tensor], Tensor]  # of images (n, C, H, W): (n, C, levels, H, W), in one pass over all pixels


def samples_equal_those_of_full_passes(net, logits: Logits, monkeypatch) -> None:
    """Whatever sampling keeps from pixel to pixel, each conditional is the one that a pass over the image gives."""
    shape, drawn, draw = net.spec.shape, [], torch.multinomial

    def record(probabilities, count):
        drawn.append(probabilities)
        return draw(probabilities, count)

    monkeypatch.setattr(torch, "multinomial", record)
    with scoped(2, "test"):
        quick = net.sample(5)
    conditionals = drawn.copy()
    drawn.clear()
    with scoped(2, "test"), torch.no_grad():
        naive = torch.zeros(5, *shape, dtype=torch.uint8)
        for i in range(shape[1]):
            for j in range(shape[2]):
                for c in range(shape[0]):
                    probabilities = logits(naive)[:, c, :, i, j].softmax(1)
                    naive[:, c, i, j] = record(probabilities, 1)[:, 0]
    torch.testing.assert_close(torch.stack(conditionals), torch.stack(drawn), atol=1e-5, rtol=0)
    assert torch.equal(quick, naive)
    assert len(quick.unique(dim=0)) == 5


def samples_have_the_frequencies_of_the_likelihood(net, logits: Logits, n: int, psi: float) -> None:
    """A chi-squared test over all images of a small space; `psi` divides all logits."""
    levels = net.levels
    states = every_state(net.spec.size, levels).reshape(-1, *net.spec.shape)
    with scoped(3, "test"):
        drawn = net.sample_truncated(n, psi=psi)
    with torch.no_grad():
        tempered = (logits(states) / psi).log_softmax(2)
    expected = tempered.gather(2, states.long().unsqueeze(2)).double().sum((1, 2, 3, 4)).exp()
    if psi == 1:
        torch.testing.assert_close(expected, net.log_prob(states).exp())
    places = levels ** torch.arange(states[0].numel() - 1, -1, -1)
    counts = torch.bincount((drawn.flatten(1).long() * places).sum(1), minlength=len(states))
    common = expected * n >= 5
    chi_squared = ((counts - n * expected)[common].square() / (n * expected)[common]).sum()
    freedom = int(common.sum())
    assert freedom > 5
    assert chi_squared < freedom + 4 * math.sqrt(2 * freedom)
    assert counts[~common].sum() < 2 * n * expected[~common].sum() + 20


def truncation_sharpens_and_is_none_at_one(net) -> None:
    drawn = []
    for draw in (net.sample, lambda n: net.sample_truncated(n, psi=1.0), lambda n: net.sample_truncated(n, psi=0.3)):
        with scoped(4, "test"):
            drawn.append(draw(300))
    assert torch.equal(drawn[0], drawn[1])
    assert net.log_prob(drawn[2]).mean() > net.log_prob(drawn[0]).mean() + 1
    for psi in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="psi"):
            net.sample_truncated(2, psi=psi)
