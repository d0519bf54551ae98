"""Folders: walked through links without circles or twins, upwards never, and read in one order."""

from __future__ import annotations

from pathlib import Path

import pytest

from genbench.data import folders
from genbench.errors import DataError

PNG = frozenset({".png"})


def put(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def below(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folders.files_below(folder, PNG)]


def test_links_are_followed_and_upper_case_counts(tmp_path):
    put(tmp_path / "set" / "b" / "2.PNG", tmp_path / "set" / "1.png", tmp_path / "else" / "3.png")
    put(tmp_path / "set" / "notes.txt")
    (tmp_path / "set" / "c").symlink_to(tmp_path / "else")
    (tmp_path / "set" / "4.png").symlink_to(tmp_path / "else" / "3.png")
    assert below(tmp_path / "set") == ["1.png", "4.png", "b/2.PNG", "c/3.png"]


def test_a_link_upwards_is_not_walked(tmp_path):
    put(tmp_path / "home" / "secret.png", tmp_path / "home" / "set" / "a" / "1.png")
    for number, target in enumerate((tmp_path / "home", tmp_path / "home" / "set", tmp_path, Path("/"), Path(".."))):
        (tmp_path / "home" / "set" / "a" / f"up{number}").symlink_to(target)
    (tmp_path / "home" / "set" / "up").symlink_to("..")
    assert below(tmp_path / "home" / "set") == ["a/1.png"]
    (tmp_path / "link").symlink_to(tmp_path / "home" / "set")
    assert below(tmp_path / "link") == ["a/1.png"]


def test_a_link_upwards_outside_is_not_walked_either(tmp_path):
    put(tmp_path / "far" / "other.png", tmp_path / "far" / "x" / "1.png")
    (tmp_path / "far" / "x" / "up").symlink_to(tmp_path / "far")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x").symlink_to(tmp_path / "far" / "x")
    assert below(tmp_path / "set") == ["x/1.png"]


def test_no_folder_is_listed_twice(tmp_path):
    put(tmp_path / "set" / "z" / "1.png", tmp_path / "far" / "deep" / "2.png", tmp_path / "far" / "3.png")
    (tmp_path / "set" / "a").symlink_to(tmp_path / "set" / "z")  # reached before z itself
    (tmp_path / "set" / "b").symlink_to(tmp_path / "far" / "deep")
    (tmp_path / "set" / "c").symlink_to(tmp_path / "far")  # which holds what b leads to
    (tmp_path / "set" / "d").symlink_to(tmp_path / "far")
    assert below(tmp_path / "set") == ["b/2.png", "c/3.png", "z/1.png"]


def test_loops_of_links_end(tmp_path):
    put(tmp_path / "set" / "1.png", tmp_path / "x" / "2.png", tmp_path / "y" / "3.png")
    (tmp_path / "set" / "x").symlink_to(tmp_path / "x")
    (tmp_path / "x" / "y").symlink_to(tmp_path / "y")
    (tmp_path / "y" / "x").symlink_to(tmp_path / "x")
    (tmp_path / "set" / "self").symlink_to("self")
    assert below(tmp_path / "set") == ["1.png", "x/2.png", "x/y/3.png"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the folder .*absent"):
        folders.files_below(tmp_path / "absent", PNG)


def test_classes_are_the_subfolders(tmp_path):
    paths = [tmp_path / "b" / "1.png", tmp_path / "a" / "deep" / "1.png", tmp_path / "b" / "2.png"]
    labels, classes = folders.classes_of(paths, tmp_path)
    assert (labels.tolist(), classes) == ([1, 0, 1], ("a", "b"))
    assert folders.classes_of([*paths, tmp_path / "3.png"], tmp_path) == (None, ())
    assert folders.classes_of(paths[::2], tmp_path) == (None, ())


def test_halves_are_disjoint_and_fixed():
    first, second = folders.halves(9)
    assert (len(first), len(second)) == (4, 5)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(9))
    assert first.tolist() == folders.halves(9)[0].tolist()
