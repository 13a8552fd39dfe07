"""A reader or a restart finds a complete file or folder, whatever ended the writer."""

import os
from pathlib import Path

import pytest

from gaze_vlm_ros.storage.atomic import new_folder, replacing, write_bytes, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_utf_8_and_nothing_else_stays(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", "café\n")
    write_text(tmp_path / "a.json", "tea\n")
    assert (tmp_path / "a.json").read_bytes() == b"tea\n"
    write_text(tmp_path / "a.json", "café\n")
    assert (tmp_path / "a.json").read_bytes() == "café\n".encode()
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("durable", [False, True])
def test_an_error_leaves_the_old_file(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a"
    write_bytes(path, b"old", durable=durable)

    def interrupted() -> None:
        with replacing(path, durable=durable) as unfinished:
            unfinished.write_bytes(b"ne")
            assert path.read_bytes() == b"old"
            assert names(tmp_path) == ["a", "a.part"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_durable_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "a", []

    def record(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", record)
    write_bytes(path, b"new")
    assert synced == []
    path.unlink()
    write_bytes(path, b"new", durable=True)
    assert synced == [(3, False)]


def test_processes_that_write_one_file_use_names_of_their_own(tmp_path: Path) -> None:
    with replacing(tmp_path / "a", unique=True) as unfinished:
        unfinished.write_bytes(b"new")
        assert names(tmp_path) == [f"a.{os.getpid()}.part"]
    assert names(tmp_path) == ["a"]


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
