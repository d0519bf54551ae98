"""Walks in latent spaces: ends and ways, and sums whose answer is known."""

from __future__ import annotations

import pytest
import torch

from genbench.contracts import Features, SampleSpec
from genbench.errors import InputError, ModelError, Unsupported
from genbench.evaluation import latent

SPEC = SampleSpec((1, 2, 2), 256)


class Painter:
    """A code is (class, boldness): pixel 0 shows the class, the others the boldness."""

    spec = SPEC
    latent_shape = (2,)

    def sample_latent(self, n):
        return torch.stack([torch.randint(2, (n,)).float(), torch.rand(n)], dim=1)

    def decode(self, z):
        kind, bold = z.T
        return torch.stack([100 * kind, *[100 * bold] * 3], dim=1).round().clamp(0, 255).byte().view(-1, 1, 2, 2)

    def sample(self, n):
        return self.decode(self.sample_latent(n))


class Seeing:
    name = fingerprint = "class"

    def __call__(self, x):
        second = (x[:, 0, 0, 0] > 50).float()
        return Features(x.flatten(1).float(), torch.stack([1 - second, second], dim=1))


def test_a_way_begins_and_ends_at_its_codes_and_is_even():
    a, b = torch.randn(3, 5), torch.randn(3, 5)
    for way in ("line", "sphere"):
        path = latent.between(a, b, 7, way)
        assert path.shape == (3, 7, 5)
        torch.testing.assert_close(path[:, 0], a)
        torch.testing.assert_close(path[:, -1], b)
    torch.testing.assert_close(latent.between(a, b, 3)[:, 1], (a + b) / 2)
    with pytest.raises(InputError, match="at least 2"):
        latent.between(a, b, 1)


def test_on_the_sphere_norms_stay_and_angles_are_even():
    a, b = torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 3.0], [2.0, 0.0]])
    path = latent.between(a, b, 4, "sphere")
    torch.testing.assert_close(path[0].norm(dim=1), torch.full((4,), 3.0))
    torch.testing.assert_close(torch.atan2(path[0, :, 1], path[0, :, 0]), torch.linspace(0, torch.pi / 2, 4))
    torch.testing.assert_close(path[1], latent.between(a, b, 4)[1], msg="no angle between them: the line")
    opposite = latent.between(torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]]), 5, "sphere")
    assert torch.isfinite(opposite).all()


def test_bold_a_less_thin_a_plus_thin_b_is_bold_b():
    for row in latent.arithmetic(Painter(), SPEC, Seeing(), rows=4):
        assert row.minuend != row.addend
        bold_a, thin_a, thin_b, answer = row.items.int()
        assert answer[0, 0, 0] == thin_b[0, 0, 0] == 100 * int(row.addend)
        assert answer[0, 1, 1] > thin_b[0, 1, 1] + 40
        assert bold_a[0, 1, 1] > thin_a[0, 1, 1] + 40


def test_without_classes_sums_are_of_boldness_alone():
    (row,) = latent.arithmetic(Painter(), SPEC, None, rows=1)
    assert (row.minuend, row.addend) == ("", "")
    assert row.items[3, 0, 1, 1] > row.items[2, 0, 1, 1]


def test_the_same_seed_walks_the_same_way_and_leaves_the_state_alone():
    state = torch.get_rng_state()
    first = latent.interpolation(Painter(), SPEC, (2, 3), seed=1)
    assert torch.equal(first, latent.interpolation(Painter(), SPEC, (2, 3), seed=1))
    assert not torch.equal(first, latent.interpolation(Painter(), SPEC, (2, 3), seed=2))
    assert first.shape == (2, 3, 1, 2, 2)
    assert torch.equal(state, torch.get_rng_state())


def test_what_is_no_latent_space_is_said():
    class Plain:
        spec = SPEC

    with pytest.raises(Unsupported, match="no latent space"):
        latent.interpolation(Plain(), SPEC)
    broken = Painter()
    broken.sample_latent = lambda n: torch.zeros(n, 3)
    with pytest.raises(ModelError, match=r"\(4, 3\), not \(4, 2\)"):
        latent.interpolation(broken, SPEC, (2, 3))
