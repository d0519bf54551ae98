"""Checkpoints are what their records say: damage, mix-ups and failed writes end in one sentence."""

from __future__ import annotations

import json
import os

import pytest
import torch

from genbench.contracts import Budget, Dataset, SampleSpec, Setting
from genbench.errors import ModelError
from zoo import checkpoints, compact
from zoo.autoregressive.fvbn import FVBN
from zoo.autoregressive.nade import NADE

SPEC = SampleSpec((1, 3, 3), 2)


def data(seed: int = 0) -> Dataset:
    x = (torch.rand(20, 1, 3, 3, generator=torch.Generator().manual_seed(seed)) < 0.5).to(torch.uint8)
    return Dataset("tiny", SPEC, x[:10], x[10:])


@pytest.fixture
def setting(tmp_path, monkeypatch):
    """The setting of an FVBN that is trained and kept."""
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path))
    setting = Setting("fvbn", "tiny", data())
    model = FVBN(SPEC)
    model.fit(data(), Budget(steps=3))
    model.save(setting, {})
    return setting


def files(tmp_path):
    return tmp_path / "tiny" / "fvbn.safetensors", tmp_path / "tiny" / "fvbn.json"


def refusal(setting, **changes):
    values = {name: getattr(setting, name) for name in ("model", "benchmark", "dataset")} | changes
    with pytest.raises(ModelError) as refused:
        FVBN.build(Setting(**values))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_flipped_byte_anywhere_is_refused(setting, tmp_path):
    weights, _ = files(tmp_path)
    whole = weights.read_bytes()
    FVBN.build(setting)
    for place in (0, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert "damaged or not the file that its record belongs to" in refusal(setting)


def test_another_trainings_weights_are_refused(setting, tmp_path):
    weights, record = files(tmp_path)
    first = weights.read_bytes()
    model = FVBN(SPEC)
    model.fit(data(), Budget(steps=5))
    model.save(setting, {})
    weights.write_bytes(first)
    assert "damaged or not the file that its record belongs to" in refusal(setting)
    del_key = json.loads(record.read_text())
    del del_key["weights_sha256"]
    record.write_text(json.dumps(del_key))
    assert "damaged or incomplete ('weights_sha256')" in refusal(setting)


def test_a_record_of_another_model_benchmark_or_data_is_refused(setting, tmp_path):
    for name, changes in {
        "model other": {"model": "other"},
        "benchmark elsewhere": {"benchmark": "elsewhere"},
    }.items():
        (key, value) = name.split()
        folder = tmp_path / changes.get("benchmark", "tiny")
        folder.mkdir(exist_ok=True)
        for file in files(tmp_path):
            target = folder / (changes.get("model", "fvbn") + file.suffix)
            if target != file:
                target.write_bytes(file.read_bytes())
        assert f"was trained for {key}" in refusal(setting, **changes), value
    assert "was trained for data" in refusal(setting, dataset=data(seed=1))


def test_a_missing_checkpoint_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_CHECKPOINTS", str(tmp_path))
    with pytest.raises(ModelError) as refused:
        NADE.build(Setting("nade", "nowhere", data()))
    message = str(refused.value)
    for part in (str(tmp_path), str(checkpoints.SHIPPED), "GENBENCH_CHECKPOINTS", "genbench train nade --benchmark"):
        assert part in message
    assert "\n" not in message


def test_a_full_disk_leaves_the_old_checkpoint_and_no_parts(setting, tmp_path, monkeypatch):
    before = [file.read_bytes() for file in files(tmp_path)]

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(checkpoints.os, "replace", full)
    with pytest.raises(ModelError, match=r"the disk that holds .*tiny is full; name .* GENBENCH_CHECKPOINTS"):
        FVBN(SPEC).save(setting, {})
    assert [file.read_bytes() for file in files(tmp_path)] == before
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == ["fvbn.json", "fvbn.safetensors"]


def test_an_interrupted_save_leaves_no_parts(setting, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        FVBN(SPEC).save(setting, {})
    assert not list(tmp_path.rglob("*.part"))


def test_the_version_knows_weights_and_configuration_but_no_presets(setting):
    model = FVBN.build(setting)
    assert model.version != checkpoints.version(FVBN)
    assert checkpoints.version(FVBN, b"1") != checkpoints.version(FVBN, b"2")
    assert checkpoints.version(FVBN, b"1", {"decay": 1}) != checkpoints.version(FVBN, b"1", {"decay": 2})
    sources = checkpoints._sources(checkpoints.SHIPPED.parent / "autoregressive" / "fvbn.py", set())
    assert {path.name for path in sources} == {"fvbn.py", "nn.py", "training.py", "checkpoints.py"}


def test_compact_checkpoints_load_as_the_rounded_model(setting, tmp_path, capsys):
    weights, record = files(tmp_path)
    before = FVBN.build(setting)
    compact.main([str(weights)])
    assert "now" in capsys.readouterr().out
    after = FVBN.build(setting)
    assert after.version != before.version
    assert json.loads(record.read_text())["stored"] == "float16"
    for name, tensor in after.state_dict().items():
        assert torch.equal(tensor, before.state_dict()[name].half().float())
        assert tensor.dtype == torch.float32
    weights.write_bytes(b"other")
    with pytest.raises(ValueError, match="not the file"):
        compact.compact(weights)


def test_weights_beyond_half_precision_are_left_whole(setting, tmp_path):
    weights, _ = files(tmp_path)
    model = FVBN.build(setting)
    with torch.no_grad():
        next(model.parameters()).fill_(1e6)
    model.save(setting, {})
    compact.compact(weights)
    assert torch.equal(next(FVBN.build(setting).parameters()), next(model.parameters()))
