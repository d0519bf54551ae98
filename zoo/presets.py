"""What every model is trained with on which kind of data: the recipes, by name, in one table.

A model's `Config` holds the defaults, tuned on the thousand 8x8 digits that are bundled. Four presets change them:
``digits`` and ``mnist`` are for small images and for images of 28 x 28 and more, of which there are many;
``digits-binary`` and ``mnist-binary`` say what is different again for data of two levels. To try another recipe, build
the model with a `Config` of your own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genbench.contracts import SampleSpec

SMALL = 256  # dimensions of an item
Settings = Mapping[str, Any]

DEEP_NETWORK = {"hidden": 512, "features": 4, "dropout": 0.0, "steps": 20_000, "rate": 1e-3}
# Encoders that see 0 and 1, decoders with a map of its own for every pixel.
PLAIN = {"hidden": 200, "features": 0, "dropout": 0.0, "decay": 0.0, "rate": 3e-3, "lowest": 0.0}
# The networks of Burda et al. (2016), whose experiments the likelihoods are compared with.
BURDA = {**PLAIN, "latent": 50, "activation": "tanh"}
LARGE_CODES = {"codes": 128, "size": 32, "width": 64, "dropout": 0.0, "decay": 0.01, "steps": 20_000, "rate": 1e-3}
LARGE_PRIOR = {
    **{"prior_width": 128, "prior_blocks": 6, "prior_dropout": 0.1},
    **{"prior_decay": 0.01, "prior_steps": 20_000, "prior_rate": 1e-3},
}

GATED: Mapping[str, Settings] = {
    "digits-binary": {"dropout": 0.35, "steps": 800},
    "mnist": {
        **{"width": 32, "kernel": 3, "dropout": 0.1, "decay": 0.01},
        **{"steps": 60_000, "batch": 8, "rate": 1e-3, "validation": 1000},
    },
}

PRESETS: Mapping[str, Mapping[str, Settings]] = {
    "fvbn": {"mnist": {"steps": 10_000, "rate": 3e-3, "validation": 10_000}},
    "nade": {
        "digits": {"validation": 150},
        # The 500 hidden units of Larochelle and Murray (2011).
        "mnist": {"hidden": 500, "decay": 0.01, "steps": 10_000, "rate": 2e-3, "validation": 2000},
    },
    "eonade": {
        "mnist": {"hidden": 500, "decay": 0.01, "steps": 40_000, "rate": 1e-3, "validation": 2000},
    },
    "made": {
        # One hidden layer, as the smaller ones of Germain et al. (2015), which have 8,000 units and up to 32 masks.
        "mnist": {"hidden": (2000,), "masks": 8, "decay": 0.01, "steps": 15_000, "rate": 3e-3, "validation": 2000},
    },
    "pixel-cnn": {
        # Two levels say less about each image than grey ones do: the network knows a thousand by heart sooner.
        "digits-binary": {"blocks": 8, "dropout": 0.5, "steps": 700},
        # The first filter, the filters and the two layers of single pixels of the paper, with 7 blocks of 64 features.
        "mnist": {
            **{"first": 7, "kernel": 3, "blocks": 7, "outputs": 64, "dropout": 0.1, "decay": 0.01},
            **{"steps": 30_000, "batch": 16, "rate": 1e-3, "validation": 1000},
        },
    },
    "gated-pixel-cnn": GATED,
    "gated-pixel-cnn-classes": GATED,
    "pixel-rnn-row": {
        "digits-binary": {"dropout": 0.5, "steps": 700},
        # The 7 layers of the paper's table on MNIST.
        "mnist": {
            **{"width": 16, "layers": 7, "dropout": 0.1, "decay": 0.01},
            **{"steps": 30_000, "batch": 8, "rate": 1e-3, "validation": 1000},
        },
    },
    "pixel-rnn-diagonal": {
        "digits": {"layers": 2},
        "digits-binary": {"dropout": 0.5, "steps": 700},
        "mnist": {"width": 16, "dropout": 0.1, "decay": 0.01, "steps": 30_000, "batch": 8, "rate": 1e-3},
    },
    "autoencoder": {"mnist": {"latent": 16, "hidden": 512, "steps": 10_000, "rate": 1e-3}},
    "denoising-autoencoder": {"mnist": DEEP_NETWORK},
    "vae": {
        "mnist": {**DEEP_NETWORK, "latent": 32},
        "mnist-binary": {**BURDA, "steps": 80_000, "validation": 2000},
    },
    "vae-iwae": {
        "mnist": {"steps": 40_000, "batch": 20, "rate": 3e-3, "validation": 1000, "lowest": 0.0},
    },
    "vae-iwae-2": {
        "digits": {"latents": (32, 16), "hidden": (128, 64)},
        "mnist": {
            **{"latents": (100, 50), "hidden": (200, 100)},
            **{"steps": 40_000, "batch": 20, "rate": 3e-3, "validation": 1000, "lowest": 0.0},
        },
    },
    "vae-reinforce": {
        "mnist": {**DEEP_NETWORK, "latent": 32},
        "mnist-binary": {**BURDA, "steps": 40_000},
    },
    "dlgm": {
        "mnist": {**DEEP_NETWORK, "latent": 32, "between": 128},
        # Without free nats the upper layer is never used.
        "mnist-binary": {**BURDA, "between": 100, "free": 2.0, "steps": 60_000, "validation": 2000},
    },
    "discrete-vae": {
        "mnist": {**DEEP_NETWORK, "variables": 32, "classes": 16},
        "mnist-binary": {**PLAIN, "variables": 20, "classes": 10, "steps": 60_000},
    },
    "discrete-vae-prior": {
        "mnist": {**DEEP_NETWORK, "variables": 32, "classes": 16, "prior_decay": 0.01, "prior_steps": 10_000},
        "mnist-binary": {**PLAIN, "variables": 20, "classes": 10, "steps": 60_000},
    },
    # Images of two levels hold fewer nats to spend on codes.
    "vq-vae": {"digits-binary": {"codes": 16}, "mnist": LARGE_CODES},
    "vq-vae-pixelcnn": {"digits-binary": {"codes": 16}, "mnist": {**LARGE_CODES, **LARGE_PRIOR}},
    "vq-vae-2": {
        # The top takes its nats from what the codes of VQVAEPixelCNN have.
        "digits": {"codes": 32, "width": 48},
        "digits-binary": {"codes": 8},
        # A grid of 7 x 7 on top of one of 14 x 14, and averaged codes as in the paper; narrow priors, for time.
        "mnist": {
            **{**LARGE_CODES, **LARGE_PRIOR, "top_codes": 128, "halvings": 1, "average": 0.99},
            **{"prior_width": 64, "prior_blocks": 4},
        },
    },
    # Both flows are as wide as lets them train in three hours on one thread.
    "real-nvp": {
        "mnist": {
            **{"width": 24, "blocks": 2, "dropout": 0.0, "smallest": 4, "alpha": 0.05},
            **{"steps": 20_000, "batch": 32, "rate": 1e-3, "average": 0.999},
        },
    },
    "glow": {
        "mnist": {
            **{"steps_per_scale": 8, "width": 64, "dropout": 0.0, "smallest": 4, "alpha": 0.05},
            **{"steps": 20_000, "batch": 32, "rate": 1e-3, "average": 0.999},
        },
    },
    # A sweep over large images takes long, and their many pairs need more data per step than sweeps.
    "boltzmann-machine": {"mnist": {"steps": 2000, "rate": 2e-3, "gibbs_steps": 50}},
    "rbm": {
        # The machine of Salakhutdinov and Murray (2008), trained by CD-25; then persistent chains.
        "mnist": {
            **{"hidden": 500, "k": 25, "persistent": False, "decay": 0.01, "steps": 20_000, "rate": 2e-3},
            **{"polish": 5000},
        },
    },
    "rbm-cd": {
        "digits": {"persistent": False},
        "mnist": {"hidden": 500, "k": 25, "decay": 0.01, "steps": 20_000, "rate": 2e-3},
    },
    "dbn": {
        # The layers of Salakhutdinov and Murray's (2008) network, the first of them trained as their machine alone. Of
        # the many units above it, contrastive divergence makes a mode far from all data, which persistent chains find.
        "mnist": {
            **{"hidden": 500, "k": 25, "decay": 0.01, "rate": 2e-3, "steps": 20_000},
            **{
                "top": 2000,
                "top_k": 5,
                "top_persistent": True,
                "top_renew": 250,
                "top_decay": 0.01,
                "top_rate": 1e-4,
                "top_steps": 10_000,
            },
        },
    },
    "dbm": {
        "digits": {"pretraining": 4000, "rate": 1e-3},
        # The layers of Salakhutdinov and Hinton's (2009) smaller machine.
        "mnist": {
            **{"hidden": 500, "top": 1000, "iterations": 10, "k": 5, "decay": 0.01},
            **{"steps": 20_000, "rate": 5e-4, "pretraining": 20_000, "pretraining_rate": 2e-3},
        },
    },
}


def kind(spec: SampleSpec) -> tuple[str, str]:
    """The two presets for data of a spec, of which the second has the last word: ``("mnist", "mnist-binary")``, say."""
    size = "digits" if spec.size <= SMALL else "mnist"
    return size, f"{size}-binary" if spec.levels == 2 else size


def settings(model: str, spec: SampleSpec) -> dict[str, Any]:
    """What a model's preset for data of a spec changes in the defaults of its `Config`."""
    table = PRESETS.get(model, {})
    size, special = kind(spec)
    return {**table.get(size, {}), **table.get(special, {})}
