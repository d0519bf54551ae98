"""CONTRIBUTING.md names every file that a new part touches: one part of each kind is followed through the checkout."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from genbench.plugins import registry

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
# A part of each kind that is there, and what stands in the guide for its names.
PARTS = {
    "model": ("models", "wavenet", {"model": "wavenet", "family": "sequence"}),
    "metric": ("metrics", "vendi", {"metric": "vendi"}),
    "extractor": ("features", "spectrum", {"extractor": "spectrum"}),
    "data set": ("datasets", "tones", {"dataset": "tones"}),
    "benchmark": ("benchmarks", "tones", {"board": "tones"}),
}
# A data set and its benchmark have one name: the files that speak of the other one.
OTHERS = {
    "data set": ("zoo/", "leaderboards/", "genbench/plugins/bundled_benchmarks.py"),
    "benchmark": ("genbench/data/", "genbench/plugins/bundled.py", "leaderboards/training.csv"),
}


def named(kind: str) -> list[str]:
    """The paths of the section about a kind, as patterns."""
    section = re.search(rf"^## Add an? {kind}\n(.*?)(?=^## )", GUIDE, re.DOTALL | re.MULTILINE)
    assert section, f"the guide does not say how to add a {kind}"
    paths = [word for word in re.findall(r"`([^`\s]+)`", section[1]) if "/" in word or word.endswith((".md", ".toml"))]
    for placeholder, name in PARTS[kind][2].items():
        paths = [path.replace(f"<{placeholder}>", name) for path in paths]
    return [re.sub(r"<\w+>", "*", path) for path in paths]


def tracked() -> list[str]:
    shown = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if shown.returncode:
        pytest.skip("this is no checkout: which files belong to it is not known")
    return [path for path in shown.stdout.splitlines() if (ROOT / path).is_file()]


@pytest.mark.parametrize("kind", PARTS)
def test_what_the_guide_names_is_there(kind):
    group, name, _ = PARTS[kind]
    assert registry.find(group, name)
    for path in named(kind):
        assert list(ROOT.glob(path)), path


@pytest.mark.parametrize("kind", PARTS)
def test_the_guide_names_every_file_that_a_part_touches(kind):
    _, name, _ = PARTS[kind]
    word = re.compile(rf"""["'`./,]{name}(?![\w-])""")
    folders = ("genbench/", "zoo/", "leaderboards/", "README.md")
    texts = (".py", ".md", ".csv", ".json", ".jsonl", ".toml")
    touched = [path for path in tracked() if path.startswith(folders) and path.endswith(texts)]
    touched = [path for path in touched if word.search((ROOT / path).read_text()) or f"/{name}." in path]
    touched = [path for path in touched if not path.startswith(OTHERS.get(kind, ()))]
    assert len(touched) > 2, "the search sees the part"
    patterns = named(kind)
    for path in touched:
        assert any(
            fnmatch(path, pattern.rstrip("/") + ("/*" if pattern.endswith("/") else "")) for pattern in patterns
        ), f"CONTRIBUTING.md does not say that a new {kind} touches {path}"
