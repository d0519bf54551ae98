"""Models of other libraries, tiny and untrained, on the digits in one line, and against the libraries' own numbers."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn

import genbench
from genbench.errors import InputError
from genbench.evaluation.adapters.libraries import _ImportanceWeighted

METRICS = ["fid", "likelihood", "reconstruction"]


def library(name):
    """A library that the test extra installs, whatever it warns of while it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def on_digits(model, **statuses):
    """Rows of a model on the digits; every column has a number but for those whose metric has another status."""
    report = genbench.evaluate(model, "digits", metrics=METRICS, n=60)
    for row in report.results:
        metric = {"fid": "fid", "nll": "likelihood", "bpd": "likelihood"}.get(row.column, "reconstruction")
        assert row.status == statuses.get(metric, "ok"), row
    return {row.column: row for row in report.results}


def test_a_pipeline_of_diffusers():
    diffusers = library("diffusers")
    unet = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    pipeline = diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler(num_train_timesteps=4))
    pipeline.set_progress_bar_config(disable=True)
    model = genbench.adapt.diffusers(pipeline, levels=17, num_inference_steps=2)
    assert model.spec == genbench.SampleSpec((1, 8, 8), 17)
    torch.manual_seed(5)
    images = pipeline(batch_size=3, num_inference_steps=2, output_type="np").images
    torch.manual_seed(5)
    samples = model.sample(3)
    assert torch.equal(samples[:, 0], (torch.from_numpy(images[..., 0]).double() * 16).round().to(torch.uint8))
    on_digits(model, likelihood="unsupported", reconstruction="unsupported")


def test_a_pipeline_that_takes_classes():
    diffusers = library("diffusers")
    network = diffusers.DiTTransformer2DModel(
        sample_size=4, num_layers=1, num_attention_heads=1, attention_head_dim=8, in_channels=4, out_channels=4,
        norm_num_groups=2, num_embeds_ada_norm=1000,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(block_out_channels=(4, 4), norm_num_groups=2, latent_channels=4, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)  # fmt: skip
    told = []

    class Pipeline(diffusers.DiTPipeline):
        def __call__(self, class_labels, guidance_scale=4.0, num_inference_steps=50, output_type="pil"):
            told.append(class_labels)
            return super().__call__(
                class_labels,
                guidance_scale=guidance_scale,
                num_inference_steps=num_inference_steps,
                output_type=output_type,
            )

    model = genbench.adapt.diffusers(Pipeline(network, vae, diffusers.DDIMScheduler()), num_inference_steps=1)
    assert model.classes == 1000, "as the network says"
    assert model.spec.shape == (3, 8, 8)
    assert model.sample(2, torch.tensor([7, 3])).shape == (2, 3, 8, 8)
    assert told[-1] == [7, 3]


def test_a_pipeline_that_takes_prompts():
    told = []

    class Pipeline:
        def __call__(self, prompt, num_inference_steps=50, output_type="pil"):
            told.append((prompt, num_inference_steps))
            return type("Output", (), {"images": torch.rand(len(prompt), 4, 4, 3).numpy()})

    model = genbench.adapt.diffusers(Pipeline(), prompt=["a cat", "a dog"], num_inference_steps=9)
    assert told == [([told[0][0][0]], 2)], "two steps are enough to find the shape out"
    assert model.sample(40).shape == (40, 3, 4, 4)
    assert set(told[-1][0]) == {"a cat", "a dog"}
    assert told[-1][1] == 9
    with pytest.raises(InputError, match="takes no batch_size; say prompt=TEXT"):
        genbench.adapt.diffusers(Pipeline(), shape=(3, 4, 4)).sample(1)


def zuko_flow():
    return library("zuko").flows.NSF(64, transforms=1, hidden_features=(8,))


def normflows_flow():
    nf = library("normflows")
    layers = [nf.flows.AffineCouplingBlock(nf.nets.MLP([32, 8, 64])), nf.flows.Permute(64, mode="swap")]
    return nf.NormalizingFlow(nf.distributions.DiagGaussian(64, trainable=False), layers)


def nflows_flow():
    nflows = library("nflows")
    for module in ("flows.base", "distributions.normal", "transforms.autoregressive"):
        library(f"nflows.{module}")
    transform = nflows.transforms.autoregressive.MaskedAffineAutoregressiveTransform(features=64, hidden_features=65)
    return nflows.flows.base.Flow(transform, nflows.distributions.normal.StandardNormal([64]))


def torch_distribution():
    return torch.distributions.Independent(torch.distributions.Uniform(torch.zeros(1, 8, 8), 1.0), 3)


@pytest.mark.parametrize("make", [zuko_flow, normflows_flow, nflows_flow, torch_distribution])
def test_a_flow(make):
    distribution = make()
    model = genbench.adapt.flow(distribution, shape=(1, 8, 8), levels=17)
    assert genbench.check(model) == ("log_prob",)
    rows = on_digits(model, reconstruction="unsupported")
    assert rows["nll"].kind == "lower_bound"
    if make is torch_distribution:
        assert rows["nll"].value == pytest.approx(64 * math.log(17)), "uniform in all cells"
    else:  # a real-valued flow is its own density
        real = genbench.adapt.flow(distribution, shape=(1, 8, 8), levels=None)
        x = torch.randn(3, 1, 8, 8)
        source = distribution() if make is zuko_flow else distribution
        with torch.no_grad():
            assert torch.equal(real.log_prob(x), source.log_prob(x.flatten(1)).double())


def test_what_is_no_flow_is_refused():
    with pytest.raises(InputError, match="int is no flow"):
        genbench.adapt.flow(3)


@pytest.fixture
def models():
    return library("pythae.models")


def test_a_vae_of_pythae(models):
    vae = models.VAE(models.VAEConfig(input_dim=(1, 8, 8), latent_dim=3))
    model = genbench.adapt.pythae(vae, levels=17)
    assert genbench.check(model) == ("log_prob", "reconstruction", "latent")
    rows = on_digits(model)
    assert rows["nll"].kind == "lower_bound"
    codes = model.sample_latent(5)
    with torch.no_grad():
        means = vae.decoder(codes)["reconstruction"]
    assert torch.equal(model.decode(codes), (means.double() * 16).round().to(torch.uint8))


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_the_bound_is_that_of_pythae(models, loss):
    """On data in [0, 1], where pythae's own estimate of many samples is at hand."""
    vae = models.VAE(models.VAEConfig(input_dim=(1, 4, 4), latent_dim=2, reconstruction_loss=loss))
    nn.init.normal_(next(vae.encoder.parameters()), std=0.1)
    vae.eval()
    effort = genbench.contracts.Effort(importance_samples=4000, dequantization_samples=1)
    x = (torch.rand(4, 1, 4, 4) > 0.5).float()
    with torch.no_grad():
        own = float(vae.get_nll(x, n_samples=4000, batch_size=4000))  # its name hides that it is a log-likelihood
        assert float(_ImportanceWeighted(vae, loss, effort, 2)(x).mean()) == pytest.approx(own, abs=0.1)


def test_pythae_models_without_such_a_prior_need_a_sampler(models):
    autoencoder = models.AE(models.AEConfig(input_dim=(1, 8, 8), latent_dim=3))
    with pytest.raises(InputError, match=r"AE has no standard normal prior; fit one of pythae\.samplers"):
        genbench.adapt.pythae(autoencoder)
    samplers = library("pythae.samplers")
    sampler = samplers.NormalSampler(autoencoder)
    model = genbench.adapt.pythae(autoencoder, sampler, levels=17)
    on_digits(model, likelihood="unsupported")


def test_binary_data_has_masses(models):
    vae = models.VAE(models.VAEConfig(input_dim=(1, 2, 2), latent_dim=2, reconstruction_loss="bce"))
    model = genbench.adapt.pythae(vae, levels=2, effort=genbench.contracts.Effort(importance_samples=2000))
    states = torch.cartesian_prod(*[torch.arange(2)] * 4).reshape(16, 1, 2, 2).to(torch.uint8)
    assert float(model.log_prob(states).exp().sum()) == pytest.approx(1, abs=0.05)
    assert model.log_prob_kind == "lower_bound"
