"""Datasets: fixed splits, known truth, exact errors, and users' own images."""

from __future__ import annotations

import gzip
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from genbench.contracts import Dataset, SampleSpec
from genbench.data import cifar, digits, files, locations, mnist, strokes, weather
from genbench.errors import DataError


def test_digits_are_a_fixed_stratified_split():
    d = digits.digits()
    assert (d.train.shape, d.heldout.shape) == ((1000, 1, 8, 8), (797, 1, 8, 8))
    assert (int(d.train.max()), d.train.dtype) == (16, torch.uint8)
    shares = torch.bincount(d.train_labels) / 1000 - torch.bincount(d.heldout_labels) / 797
    assert shares.abs().max() < 0.002
    assert d.sha256 == "13fa6581e70842a023da8dd78bb9884a8dbef3efc0b5f18c92571a347cedb03d"
    everything = torch.cat([d.train, d.heldout]).flatten(1)
    assert len(everything.unique(dim=0)) == 1797, "no image stands in both splits"


def test_binary_digits_are_thresholded_at_eight():
    grey, binary = digits.digits(), digits.digits_binary()
    assert binary.spec.levels == 2
    assert torch.equal(binary.heldout, (grey.heldout > 7).to(torch.uint8))


def test_weather_follows_its_table_and_knows_its_entropy():
    d = weather.weather()
    assert (d.train.shape, d.heldout.shape) == ((1000, 30), (1000, 30))
    days = torch.cat([d.train, d.heldout]).long()
    counts = torch.zeros(3, 3).index_put_((days[:, :-1], days[:, 1:]), torch.tensor(1.0), accumulate=True)
    np.testing.assert_allclose(counts / counts.sum(1, keepdim=True), weather.TRANSITIONS, atol=0.01)
    start = weather.stationary(weather.TRANSITIONS)
    np.testing.assert_allclose(start @ weather.TRANSITIONS, start, atol=1e-12)
    np.testing.assert_allclose(torch.bincount(days[:, 0]) / 2000, start, atol=0.04)
    log_p = d.true_log_prob(days)
    assert abs(-log_p.mean() - d.entropy) < 4 * log_p.std() / 2000**0.5
    # Brute force over all sequences of four days.
    short = torch.cartesian_prod(*[torch.arange(3)] * 4)
    log_p = weather.log_prob(short)
    assert log_p.exp().sum() == pytest.approx(1)
    assert -(log_p.exp() * log_p).sum() == pytest.approx(weather.entropy(4))


def test_mnist_reads_gzipped_originals(shared_data):
    d = mnist.mnist(shared_data("mnist"))
    assert (d.train.shape, d.heldout.shape, d.spec.levels) == ((60000, 1, 28, 28), (10000, 1, 28, 28), 256)
    assert torch.bincount(d.heldout_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_binarized_mnist_is_the_fixed_one(shared_data):
    d = mnist.mnist_binary(shared_data("binarized_mnist.npz").parent)
    assert (len(d.train), len(d.heldout), d.spec.levels) == (50000, 10000, 2)
    assert set(d.heldout.unique().tolist()) == {0, 1}
    grey = mnist.mnist(shared_data("mnist"))
    # Every pixel was drawn with its grey value as its chance, so that the mean images agree.
    difference = d.heldout.float().mean(0) - grey.heldout.float().mean(0) / 255
    assert difference.abs().max() < 0.025


def test_dynamic_mnist_is_drawn_from_the_grey_values(shared_data):
    d, grey = mnist.mnist_dynamic(shared_data("mnist")), mnist.mnist(shared_data("mnist"))
    assert (d.train.shape, d.heldout.shape, d.spec.levels) == ((60000, 1, 28, 28), (10000, 1, 28, 28), 2)
    assert torch.equal(d.intensities, grey.train)
    for drawn, values in ((d.train, grey.train), (d.heldout, grey.heldout)):
        assert not drawn[values == 0].any()
        assert drawn[values == 255].all()
        between = (values > 0) & (values < 255)
        chances = values[between].double() / 255
        error = (chances * (1 - chances)).sum().sqrt()
        assert abs(drawn[between].sum() - chances.sum()) < 5 * error
    assert torch.equal(d.heldout, mnist.mnist_dynamic(shared_data("mnist")).heldout), "one draw for everybody"
    assert not torch.equal(d.heldout, mnist.mnist_binary(shared_data("binarized_mnist.npz").parent).heldout)
    assert replace(d, intensities=d.intensities // 2).sha256 != d.sha256


def test_intensities_belong_to_items_of_two_levels():
    items = torch.zeros(2, 3, dtype=torch.uint8)
    for levels, intensities in ((3, items), (2, items[:1])):
        with pytest.raises(ValueError, match="two levels"):
            Dataset("test", SampleSpec((3,), levels), items, items, intensities=intensities)


def test_original_text_files_of_the_binarization_are_read(tmp_path):
    for split, value in (("train", 1), ("valid", 0), ("test", 0)):
        np.savetxt(tmp_path / f"binarized_mnist_{split}.amat", np.full((3, 784), value), fmt="%d")
    d = mnist.mnist_binary(tmp_path)
    assert (d.train.shape, int(d.train.min()), int(d.heldout.max())) == ((3, 1, 28, 28), 1, 0)


def idx(shape, values):
    return b"\0\0\x08" + bytes([len(shape)]) + np.array(shape, ">i4").tobytes() + bytes(values)


def test_fashion_mnist_is_read_from_torchvisions_layout(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name in mnist.FILES:
        shape = (2, 28, 28) if "images" in name else (2,)
        content = idx(shape, [7] * int(np.prod(shape)))
        (raw / f"{name}.gz").write_bytes(gzip.compress(content)) if "t10k" in name else (raw / name).write_bytes(
            content
        )
    d = mnist.fashion_mnist(tmp_path)
    assert (d.train.shape, d.heldout.shape, d.heldout_labels.tolist()) == ((2, 1, 28, 28), (2, 1, 28, 28), [7, 7])


def test_cifar10_is_read_through_torchvision(tmp_path, monkeypatch):
    folder = tmp_path / cifar.FOLDER
    folder.mkdir()
    for name in cifar.FILES[:-1]:
        batch = {"data": np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072), "labels": [3, 8]}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(i) for i in range(10)]}))
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    d = cifar.cifar10(tmp_path)
    assert (d.train.shape, d.heldout.shape, d.heldout_labels.tolist()) == ((10, 3, 32, 32), (2, 3, 32, 32), [3, 8])
    assert d.train[0, 0, 0, :3].tolist() == [0, 1, 2], "channels first, rows in order"


def test_absent_data_names_the_ways_out(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="--data-root"):
        mnist.mnist(tmp_path)
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path))

    def refuse(home):
        raise OSError("no route to host\nand more")

    with pytest.raises(DataError, match=r"mnist .* cannot be downloaded \(no route to host and more\).*--data-root"):
        locations.obtain("mnist", None, ("file",), (".",), refuse)
    paths = locations.obtain("mnist", None, ("file",), (".",), lambda home: (home.mkdir(), (home / "file").touch()))
    assert paths == [tmp_path / "data" / "file"]


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x08\x01", b"\0\0\x09\x01\0\0\0\x01\0", idx((5,), [1, 2, 3]), idx((-1, -3), [1] * 3)]
)
def test_damaged_idx_files_are_named(tmp_path, content):
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        mnist.read_idx(path)
    truncated = tmp_path / "labels.gz"
    truncated.write_bytes(gzip.compress(idx((5,), range(5)))[:-9])
    with pytest.raises(DataError, match="cannot read"):
        mnist.read_idx(truncated)


def test_idx_files_that_do_not_belong_together_are_named(tmp_path):
    contents = {name: idx((2, 28, 28), [0] * 1568) if "images" in name else idx((2,), [0, 9]) for name in mnist.FILES}
    for wrong, content, sentence in (
        (mnist.FILES[2], idx((2, 5, 5), [0] * 50), r"\(n, 28, 28\)"),
        (mnist.FILES[1], idx((3,), [0] * 3), r"\(2, 28, 28\) and \(3,\)"),
        (mnist.FILES[3], idx((2,), [0, 10]), "the class 10"),
    ):
        for name, right in contents.items():
            (tmp_path / name).write_bytes(content if name == wrong else right)
        with pytest.raises(DataError, match=sentence):
            mnist.mnist(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"train": np.zeros((3, 98), np.uint8)}, "no array named test"),
        ({"train": np.zeros((3, 97), np.uint8), "test": np.zeros((3, 98), np.uint8)}, "packed bits"),
        ({"train": np.zeros((3, 98)), "test": np.zeros((3, 98), np.uint8)}, "packed bits"),
        ({"train": np.array([{}]), "test": np.zeros((3, 98), np.uint8)}, "pickled"),
    ],
)
def test_damaged_packed_bits_are_named(tmp_path, arrays, sentence):
    np.savez(tmp_path / "binarized_mnist.npz", **({"valid": np.zeros((3, 98), np.uint8)} | arrays))
    with pytest.raises(DataError, match=sentence):
        mnist.mnist_binary(tmp_path)


@pytest.mark.parametrize("content", ["", "0 1 x", "0 1 0", "0 " * 783 + "2", "0 " * 784 + "\n0"])
def test_damaged_text_files_of_the_binarization_are_named(tmp_path, content):
    for split in mnist.BINARY_SPLITS:
        (tmp_path / f"binarized_mnist_{split}.amat").write_text(content)
    with pytest.raises(DataError, match=r"binarized_mnist_train\.amat .*; fetch it again"):
        mnist.mnist_binary(tmp_path)


def test_a_damaged_cifar10_is_named_before_it_is_unpickled(tmp_path):
    folder = tmp_path / cifar.FOLDER
    folder.mkdir()
    for name in cifar.FILES:
        (folder / name).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(DataError, match=r"does not hold CIFAR-10.*fetch it again"):
        cifar.cifar10(tmp_path)


def test_data_sets_are_not_read_from_pipes_and_devices(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        for read in (mnist.read_idx, strokes.read_pendigits, locations.content):
            with pytest.raises(DataError, match=rf"{name} is a .*, which is not read"):
                read(tmp_path / name)
    for name in mnist.FILES:
        (tmp_path / name).symlink_to(tmp_path / "pipe")
    for name in cifar.FILES:
        (tmp_path / cifar.FOLDER).mkdir(exist_ok=True)
        (tmp_path / cifar.FOLDER / name).symlink_to("/dev/zero")
    for load in (mnist.mnist, cifar.cifar10):
        with pytest.raises(DataError, match="needs"):
            load(tmp_path)


def test_files_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(locations, "LARGEST", 1000)
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(1001)))
    with pytest.raises(DataError, match="more than 1000 bytes"):
        locations.content(tmp_path / "x.gz")
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(1000)))
    assert locations.content(tmp_path / "x.gz") == bytes(1000)


def picture(path, size=(6, 5), mode="RGB", value=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(path)


def test_a_folder_of_images_is_halved_reproducibly(tmp_path):
    for i in range(7):
        picture(tmp_path / f"{i}.PNG", value=i)
    first, again = files.load(tmp_path), files.load(tmp_path)
    assert (first.train.shape, first.heldout.shape) == ((3, 3, 5, 6), (4, 3, 5, 6))
    assert torch.equal(first.train, again.train)
    assert sorted(first.train[:, 0, 0, 0].tolist() + first.heldout[:, 0, 0, 0].tolist()) == list(range(7))


def test_train_and_test_folders_with_classes_are_kept(tmp_path):
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            picture(tmp_path / split / label / "1.png", mode="L")
    d = files.load(tmp_path)
    assert (d.classes, d.train_labels.tolist(), d.spec.shape) == (("cat", "dog"), [0, 1], (1, 5, 6))


def test_npz_files_are_read_channels_last(tmp_path):
    array = np.arange(4 * 2 * 3 * 3, dtype=np.uint8).reshape(4, 2, 3, 3)
    np.savez(tmp_path / "x.npz", array)
    d = files.load(tmp_path / "x.npz")
    assert d.spec.shape == (3, 2, 3)
    both = torch.cat([d.train, d.heldout])
    assert sorted(both[:, 1, 0, 0].tolist()) == sorted(array[:, 0, 0, 1].tolist())


def test_images_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(DataError, match="holds no images"):
        files.load(tmp_path)
    picture(tmp_path / "a.png")
    with pytest.raises(DataError, match="at least two"):
        files.load(tmp_path)
    picture(tmp_path / "b.png", size=(9, 5))
    with pytest.raises(DataError, match=r"b\.png is 9x5 with 3 channels while .*a\.png is 6x5"):
        files.load(tmp_path)
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"cannot read .*b\.png"):
        files.load(tmp_path)
    Image.new("RGBA", (6, 5)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match="lost an alpha channel"):
        files.load(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3)}, "no array named arr_0"),
        ({"arr_0": np.zeros((2, 4, 4, 3))}, "must be uint8"),
        ({"arr_0": np.zeros((2, 4, 4), np.uint8)}, "must be uint8"),
        ({"arr_0": np.array([{"a": 1}])}, "pickled objects, which may run code"),
    ],
)
def test_npz_files_that_do_not_fit_are_named(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=message):
        files.load(tmp_path / "x.npz")


def test_a_broken_npz_is_named(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"PK\3\4 truncated")
    with pytest.raises(DataError, match="cannot read"):
        files.load(tmp_path / "x.npz")


def test_a_single_array_and_an_archive_by_another_name_are_benchmarks_too(tmp_path):
    array = np.arange(4 * 2 * 3 * 3, dtype=np.uint8).reshape(4, 2, 3, 3)
    np.savez(tmp_path / "x.npz", array)
    np.save(tmp_path / "y.npy", array)
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    expected = files.load(tmp_path / "x.npy")
    assert torch.equal(files.load(tmp_path / "y.npy").heldout, expected.heldout)
    assert expected.train.is_contiguous()


def test_a_benchmark_is_no_pipe_and_holds_none(tmp_path):
    os.mkfifo(tmp_path / "set.npz")
    with pytest.raises(DataError, match="a named pipe"):
        files.load(tmp_path / "set.npz")
    picture(tmp_path / "set" / "a.png")
    os.mkfifo(tmp_path / "set" / "b.png")
    with pytest.raises(DataError, match=r"b\.png is a named pipe"):
        files.load(tmp_path / "set")
