import pytest
import torch

from genbench.contracts import Budget, Dataset, SampleSpec, capabilities
from genbench.data.digits import digits
from zoo.vae.autoencoder import Autoencoder, Config


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    dataset = digits()
    model = Autoencoder(dataset.spec, Config(latent=6, hidden=64))
    model.fit(dataset, Budget(steps=300))
    return model, dataset


def test_reconstructions_of_new_images_beat_the_mean_image(trained):
    model, dataset = trained
    x = dataset.heldout
    error = (model.reconstruct(x).float() - x).square().mean()
    assert error < 0.6 * (dataset.train.float().mean(0) - x.float()).square().mean()


def test_the_gaussian_has_the_moments_of_the_train_codes(trained):
    model, dataset = trained
    codes = model.encode(dataset.train)
    torch.manual_seed(0)
    drawn = model.sample_latent(200_000)
    scale = codes.std()
    assert torch.allclose(drawn.mean(0), codes.mean(0), atol=0.02 * scale)
    assert torch.allclose(drawn.T.cov(), codes.T.cov(), atol=0.02 * scale**2)
    # Were only the variances kept, this test could not tell a full covariance from a diagonal one.
    correlations = codes.T.corrcoef() - torch.eye(6)
    assert correlations.abs().max() > 0.1


def test_temperature_pulls_codes_to_the_mean_code(trained):
    model, _ = trained
    mean_item = model.decode(model.code_mean[None])
    assert (model.sample_truncated(5, psi=0.0) == mean_item).all()
    torch.manual_seed(1)
    x = model.sample(20)
    torch.manual_seed(1)
    assert torch.equal(model.sample_truncated(20, psi=1.0), x)
    spread = [model.sample_truncated(500, psi=psi).float().var(0).mean() for psi in (0.3, 0.6, 1.0)]
    assert spread == sorted(spread)


def test_an_unused_code_dimension_leaves_the_root_defined():
    model = Autoencoder(SampleSpec((4,), 2), Config(latent=3, hidden=4))
    codes = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    codes[:, 1] = 2.0
    model.fit_gaussian(codes)
    assert torch.allclose(model.sample_latent(100)[:, 1], torch.tensor(2.0), atol=0.01)


@pytest.mark.parametrize("spec", [SampleSpec((1, 28, 28), 256), SampleSpec((3, 32, 32), 256), SampleSpec((5,), 3)])
def test_trains_on_data_of_any_size(spec):
    torch.manual_seed(0)
    data = (torch.rand(201, *spec.shape) ** 3 * spec.levels).to(torch.uint8)
    model = Autoencoder(spec, Autoencoder.recipe(spec))
    before = (model.reconstruct(data).float() - data).square().mean()
    model.fit(Dataset("noise", spec, data, data), Budget(steps=30))
    assert (model.reconstruct(data).float() - data).square().mean() < before
    x = model.sample(3)
    assert x.shape == (3, *spec.shape)
    assert x.dtype == torch.uint8
    assert int(x.max()) < spec.levels


def test_has_no_likelihood(trained):
    assert not hasattr(Autoencoder, "log_prob")
    assert capabilities(trained[0]) == ("truncation", "reconstruction", "latent", "training")
