import math

import pytest
import torch
from scipy import stats
from torch import nn

from genbench.contracts import SampleSpec
from zoo.adversarial.game import Game
from zoo.gan.gan import MinimaxGAN
from zoo.gan.gan_nonsaturating import NonSaturatingGAN
from zoo.gan.perceptron import Config

SMALL = SampleSpec((1, 8, 8), 17)
KINDS = [MinimaxGAN, NonSaturatingGAN]


def game_of(kind, **settings):
    torch.manual_seed(0)
    model = kind(SMALL, Config(latent=4, hidden=32, dropout=0.0, rate=1e-3, **settings))
    return Game(model, model.discriminator_network())


def generator_gradient(game):
    """The norm of the gradient at the generator, of one batch of codes, and the mean D(G(z)) of that batch."""
    torch.manual_seed(1)
    scores = game.discriminator(game.model.imagine(200, None))
    game.model.generator.zero_grad()
    game.model.generator_loss(scores).backward()
    norm = nn.utils.get_total_norm([parameter.grad for parameter in game.model.generator.parameters()])
    return norm.item(), torch.sigmoid(scores).mean().item()


def test_the_minimax_loss_saturates_against_a_discriminator_that_wins():
    measured = []
    for kind in KINDS:
        game = game_of(kind, discriminator_rate=5e-3)
        for _ in range(60):
            game.discriminator_step((0.8 + 0.2 * torch.rand(64, 1, 8, 8), None))
        measured.append(generator_gradient(game))
    (minimax, fooled), (nonsaturating, same) = measured
    assert fooled == same < 0.01
    assert minimax < 0.02 * nonsaturating


def test_before_the_discriminator_has_learnt_both_losses_pull_alike():
    (minimax, undecided), (nonsaturating, _) = (generator_gradient(game_of(kind)) for kind in KINDS)
    assert undecided == pytest.approx(0.5, abs=0.1)
    assert minimax == pytest.approx(nonsaturating, rel=0.3)


@pytest.mark.parametrize(
    ("kind", "loss"), [(MinimaxGAN, lambda d: math.log(1 - d)), (NonSaturatingGAN, lambda d: -math.log(d))]
)
def test_losses_are_those_of_the_paper(kind, loss):
    model = kind(SMALL, Config(latent=4, hidden=8))
    probability = torch.tensor([[0.1], [0.7]], dtype=torch.float64)
    scores = torch.logit(probability)
    assert model.generator_loss(scores).item() == pytest.approx((loss(0.1) + loss(0.7)) / 2)
    expected = -(math.log(0.1) + math.log(0.7)) / 2 - (math.log(1 - 0.7) + math.log(1 - 0.1)) / 2
    assert model.discriminator_loss(scores, scores.flip(0)).item() == pytest.approx(expected)


def test_the_discriminators_loss_at_its_best_is_the_jensen_shannon_divergence():
    """min_D of the loss is log 4 - 2 JS(P, Q), here for P and Q on three points."""
    p, q = torch.tensor([0.5, 0.4, 0.1]), torch.tensor([0.1, 0.2, 0.7])
    middle = (p + q) / 2
    divergence = ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum()) / 2
    counts = [torch.repeat_interleave((p / q).log(), (1000 * weights).round().long())[:, None] for weights in (p, q)]
    best = MinimaxGAN(SMALL, Config(latent=4, hidden=8)).discriminator_loss(*counts)
    assert best.item() == pytest.approx(math.log(4) - 2 * divergence.item(), abs=1e-5)
    assert MinimaxGAN(SMALL, Config(latent=4, hidden=8)).discriminator_loss(counts[0] + 0.1, counts[1] + 0.1) > best


def test_the_discriminator_sees_the_images_as_they_are_and_the_last_weights_count():
    game = game_of(MinimaxGAN)
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(game.model.seen(images), images)
    assert game.model.config.average == 0


def test_z_is_uniform_as_in_the_paper_and_truncation_narrows_it():
    model = MinimaxGAN(SMALL, MinimaxGAN.recipe(SMALL))
    assert model.config.modes == 0
    assert isinstance(model.generator[0], nn.Linear)
    for psi, largest in ((math.inf, 1.0), (2.0, 1.0), (0.3, 0.3)):
        z = model.truncated_latent(2000, psi)
        assert stats.kstest(z.flatten().numpy() / largest, stats.uniform(-1, 2).cdf).pvalue > 1e-4


@pytest.mark.parametrize(
    "settings", [{"prior": "odd"}, {"hidden": 0}, {"dropout": 1.0}, {"latent": 0}, {"average": 1.0}]
)
def test_a_configuration_says_what_is_wrong_with_it(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Config(**settings)
