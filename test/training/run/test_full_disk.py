"""A disk that fills up: one line, and what is on it stays of use. A limit on the size of files stands for the disk."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_bags import write_small_bag

from training import fit
from training.data.prepared_arrays import CannotStore
from training.run import fitting, loop, run_folder

FULL_AT = 20_000  # bytes of one file: less than weights, states and windows take, more than settings and notes


@contextmanager
def full_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_AT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def command(small_settings: list[str], tmp_path: Path) -> list[str]:
    bags = [write_small_bag(tmp_path / name, seed, takes=6) for name, seed in (("s0", 0), ("s2", 2))]
    values = ["--set", "steps=4", "--set", "check_every=2", "--set", "device=cpu"]
    return [*small_settings, *values, "--cache", str(tmp_path / "cache"), *map(str, bags)]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_converting_goes_on_when_there_is_space_again(command: list[str], tmp_path: Path) -> None:
    arguments = [*command, "--out", str(tmp_path / "out")]
    with (
        full_disk(),
        pytest.raises(CannotStore, match=r"cannot write prepared windows to .*; free space, or") as caught,
    ):
        fit.main(arguments)
    assert "\n" not in str(caught.value)
    assert files(tmp_path / "cache") == []  # nothing half written that would be taken for whole
    assert not (tmp_path / "out").exists()
    assert fit.main(arguments) == 0


@pytest.mark.parametrize("full_from", ["the second state", "the checkpoint"])
def test_a_fit_goes_on_to_the_same_weights_when_there_is_space_again(
    full_from: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fit.main([*command, "--out", str(tmp_path / "whole")]) == 0
    save, export = loop.save_state, fitting._export

    def save_to_full_disk(out: Path, step: int, *rest: Any) -> None:
        if step < 4:
            return save(out, step, *rest)
        with full_disk():
            return save(out, step, *rest)

    def export_to_full_disk(*given: Any) -> None:
        with full_disk():
            export(*given)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        if full_from == "the checkpoint":
            patch.setattr(fitting, "_export", export_to_full_disk)
        else:
            patch.setattr(loop, "save_state", save_to_full_disk)
        with pytest.raises(run_folder.CannotWrite, match="free space, then the same command with --resume") as caught:
            fit.main([*command, "--out", str(out)])
    assert "\n" not in str(caught.value)
    assert (out / run_folder.STATE).is_file()
    assert not list(out.glob("*.part"))
    assert not (out / "gaze_vlm.json").exists()
    assert fit.main([*command, "--resume", "--out", str(out)]) == 0
    for name in ("model.safetensors", "settings.yaml", "data.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_disk_that_is_full_before_the_first_state_says_that_nothing_is_there_to_resume(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = loop.save_state

    def save_to_full_disk(*given: Any) -> None:
        with full_disk():
            save(*given)

    monkeypatch.setattr(loop, "save_state", save_to_full_disk)
    with pytest.raises(run_folder.CannotWrite, match="remove the folder, for no state was saved yet"):
        fit.main([*command, "--out", str(tmp_path / "out")])


def test_figures_of_past_steps_outlive_a_full_disk_at_resuming(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, metrics = tmp_path / "out", tmp_path / "out" / run_folder.METRICS
    monkeypatch.setattr(loop, "note_signals", lambda: lambda: True)
    assert fit.main([*command, "--out", str(out)]) == 130
    before = metrics.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    read_state = fitting.read_state

    def read_from_full_disk(*given: Any) -> Any:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            return read_state(*given)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(fitting, "read_state", read_from_full_disk)
    with pytest.raises(run_folder.CannotWrite, match="--resume goes on"):
        fit.main([*command, "--resume", "--out", str(out)])
    assert metrics.read_bytes() == before
