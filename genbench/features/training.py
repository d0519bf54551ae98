"""Trains a classifier extractor and records how: ``python -m genbench.features.training digits-cnn``."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from torchvision.transforms import v2

from genbench import seeding
from genbench.contracts import Dataset
from genbench.features.classifier import ARCHITECTURES, WEIGHTS, ConvNet
from genbench.plugins import registry


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a classifier is trained on, and for how long."""

    dataset: str
    epochs: int
    batch: int


RECIPES = {"digits-cnn": Recipe("digits", 60, 50), "mnist-cnn": Recipe("mnist", 8, 100)}


NOISE_SHARE = 0.2  # uniform noise per real image in a minibatch


def augment(images: Tensor) -> Tensor:
    """Small random rotations, shifts and scalings, one for every five images."""
    affine = v2.RandomAffine(degrees=10, translate=(0.07, 0.07), scale=(0.9, 1.1))
    return torch.cat([affine(part) for part in images.split(5)])


def with_noise(images: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The images and some of uniform noise, labelled `classes`; half of both thresholded, for binary data."""
    noise = torch.rand(int(NOISE_SHARE * len(images)), *images.shape[1:])
    both = torch.cat([images, noise])
    thresholded = (both >= 0.5).to(both.dtype)
    mixed = torch.where(torch.rand(len(both), 1, 1, 1) < 0.5, thresholded, both)
    return mixed, torch.cat([labels, torch.full((len(noise),), classes)])


@torch.inference_mode()
def accuracy(network: ConvNet, images: Tensor, labels: Tensor) -> float:
    """The fraction of float images in [0, 1] whose most probable class is their label."""
    network.eval()
    guesses = torch.cat([network(part)[1][:, :-1].argmax(1) for part in images.split(500)])
    return (guesses == labels).double().mean().item()


def train(name: str, dataset: Dataset, epochs: int, batch: int) -> ConvNet:
    """A classifier trained on the train split by Adam on the cross-entropy, one cycle of the learning rate."""
    assert dataset.train_labels is not None
    assert dataset.spec.levels is not None
    network = ConvNet(**ARCHITECTURES[name])
    images = dataset.train.float() / (dataset.spec.levels - 1)
    steps = epochs * -(-len(images) // batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=steps)
    for epoch in range(epochs):
        network.train()
        for rows in torch.randperm(len(images)).split(batch):
            x, labels = with_noise(augment(images[rows]), dataset.train_labels[rows], len(dataset.classes))
            loss = F.cross_entropy(network(x)[1], labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        click.echo(f"epoch {epoch + 1}/{epochs}: loss {loss.item():.4f}", err=True)
    return network


@click.command(epilog="Example: python -m genbench.features.training mnist-cnn --data-root data")
@click.argument("name", type=click.Choice(sorted(RECIPES)))
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder that holds the data already.")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=WEIGHTS, help="Folder for the weights.")
def main(name: str, data_root: Path | None, seed: int, out: Path) -> None:
    """Train extractor NAME and write its weights and its record."""
    recipe = RECIPES[name]
    dataset: Dataset = registry.load(registry.find("datasets", recipe.dataset).target)(data_root)
    assert dataset.spec.levels is not None
    assert dataset.heldout_labels is not None
    start = time.monotonic()
    with seeding.scoped(seed, name):
        network = train(name, dataset, recipe.epochs, recipe.batch)
    heldout = dataset.heldout.float() / (dataset.spec.levels - 1)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.safetensors"
    save_file(network.state_dict(), path)
    record = {
        "command": f"python -m genbench.features.training {name} --seed {seed}",
        "seed": seed,
        **asdict(recipe),
        "data_sha256": dataset.sha256,
        "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "heldout_items": len(heldout),
        "heldout_accuracy": accuracy(network, heldout, dataset.heldout_labels),
        "heldout_accuracy_thresholded": accuracy(network, (heldout >= 0.5).float(), dataset.heldout_labels),
        "seconds": round(time.monotonic() - start, 1),
        "torch": torch.__version__,
    }
    path.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    click.echo(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
