"""Directories and files on a real disk."""

from pathlib import Path

import pytest

from authsvc.stack import files


@pytest.mark.parametrize("before", [[], ["directory"], ["directory", "directory/inside"]])
def test_a_directory_is_made_anew_whatever_was_in_it(tmp_path: Path, before: list[str]):
    for name in before:
        (tmp_path / name).mkdir()
    directory = tmp_path / "directory"
    files.empty_directory(directory, 0o700)
    assert (list(directory.iterdir()), directory.stat().st_mode & 0o777) == ([], 0o700)


def test_a_link_to_somewhere_else_is_not_followed(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        files.empty_directory(tmp_path / "link", 0o700)
