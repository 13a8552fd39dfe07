"""A reader or a restart finds a complete file or folder, whatever ended the writer."""

import os
import stat
from pathlib import Path

import pytest
from power_cuts import PowerCuts

from gaze_vlm_ros.storage.atomic import new_folder, remove_unfinished, replacing, write_bytes, write_text
from gaze_vlm_ros.storage.lock import FolderTaken, only_one


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_utf_8_and_nothing_else_stays(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", "café\n")
    write_text(tmp_path / "a.json", "tea\n")
    assert (tmp_path / "a.json").read_bytes() == b"tea\n"
    write_text(tmp_path / "a.json", "café\n")
    assert (tmp_path / "a.json").read_bytes() == "café\n".encode()
    assert names(tmp_path) == ["a.json"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_bytes(path, b"old")

    def interrupted() -> None:
        with replacing(path) as unfinished:
            unfinished.write_bytes(b"ne")
            assert path.read_bytes() == b"old"
            assert names(tmp_path) == ["a", unfinished.name]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_power_cut_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_bytes(path, b"old")
    with PowerCuts(tmp_path) as cuts:
        write_bytes(path, b"new")
    for found in cuts.possible():
        assert found.get("a") in (b"old", b"new"), found
    assert {found["a"] for found in cuts.at_the_end()} == {b"new"}


def test_a_new_file_is_there_when_its_writer_says_so(tmp_path: Path) -> None:
    with PowerCuts(tmp_path) as cuts:
        write_bytes(tmp_path / "a", b"new")
    assert all(found.get("a", b"new") == b"new" for found in cuts.possible())
    assert [found["a"] for found in cuts.at_the_end()] == [b"new"] * len(cuts.at_the_end())


def test_writers_of_one_file_use_names_of_their_own(tmp_path: Path) -> None:
    """Also two threads, and two containers in which both have process id 1."""
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        assert one != other
        one.write_bytes(b"one")
        other.write_bytes(b"other")
    assert (tmp_path / "a").read_bytes() == b"one"
    assert names(tmp_path) == ["a"]


def test_what_a_killed_writer_left_can_be_removed(tmp_path: Path) -> None:
    for name in ("a.12ab34cd.part", "b.12ab34cd.part", "a"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path / "a")
    assert names(tmp_path) == ["a", "b.12ab34cd.part"]


def test_permissions_are_those_of_the_umask_and_then_stay(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "new")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
        (tmp_path / "a").chmod(0o600)
        write_text(tmp_path / "a", "newer")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_one_program_at_a_time_has_a_folder(tmp_path: Path) -> None:
    taken = pytest.raises(FolderTaken, match=r"a fit in .*out is being done by another program")
    with only_one(tmp_path / "out", "a fit"), taken, only_one(tmp_path / "out", "a fit"):
        pass
    assert not (tmp_path / "out").exists()
    with only_one(tmp_path / "out", "a fit"):
        (tmp_path / "out" / "kept").touch()
    with only_one(tmp_path / "out", "a fit"):
        pass
    assert names(tmp_path / "out") == ["kept"]


def test_a_file_that_was_never_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        pass
    assert names(tmp_path) == []


def test_a_folder_is_removed_with_its_files_on_an_error(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "kept").touch()

    def interrupted() -> None:
        with new_folder(tmp_path / "c"):
            (tmp_path / "c" / "lost").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a" / "b") == ["kept"]


def test_a_folder_that_exists_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kept").touch()
    with pytest.raises(FileExistsError), new_folder(tmp_path / "a"):
        pass
    assert names(tmp_path / "a") == ["kept"]
