"""The state of a fit after a kill, a loss of power, and damage."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from power_cuts import PowerCuts

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.lock import FolderTaken, only_one
from training.data.prepared_arrays import PreparedArrays, PreparedArraysWriter, is_whole, store_complete
from training.run.fitting import FitRequest, fit
from training.run.run_folder import METRICS, STATE, CannotResume
from training.run.saved_state import Best, read_state, save_state
from training.settings import Settings

ONE_PROCESS: Any = SimpleNamespace(num_processes=1, is_main_process=True)


def save(out: Path, step: int) -> None:
    weight = torch.nn.Parameter(torch.full((4, 4), float(step)))
    save_state(out, step, {"w": weight}, Best(), torch.optim.AdamW([weight]), "hash", ONE_PROCESS)


def step_in(out: Path) -> int:
    return int(read_state(out, [], "hash", ONE_PROCESS)["step"])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / METRICS).touch()
    save(tmp_path, 10)
    return tmp_path


def test_a_power_cut_while_saving_leaves_the_old_state_or_the_new_one(out: Path, tmp_path_factory: Any) -> None:
    left = tmp_path_factory.mktemp("left")
    (left / METRICS).touch()
    with PowerCuts(out) as cuts:
        save(out, 20)
    for found in cuts.possible():
        (left / STATE).write_bytes(found[STATE])
        assert step_in(left) in (10, 20)
    for found in cuts.at_the_end():
        (left / STATE).write_bytes(found[STATE])
        assert step_in(left) == 20


def test_what_a_kill_while_saving_left_goes_with_the_next_state(out: Path) -> None:
    (out / f"{STATE}.12ab34cd.part").write_bytes(b"half")
    save(out, 20)
    assert sorted(path.name for path in out.iterdir()) == sorted([METRICS, STATE])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_torn_state_is_one_line(out: Path, share: float) -> None:
    whole = (out / STATE).read_bytes()
    (out / STATE).write_bytes(whole[: round(share * len(whole))])
    with pytest.raises(CannotResume, match=r"state\.pt is damaged .*; remove .* and start again") as caught:
        step_in(out)
    assert len(str(caught.value).splitlines()) == 1


def test_another_file_in_its_place_is_one_line(out: Path) -> None:
    torch.save({"step": 3}, out / STATE)
    with pytest.raises(CannotResume, match="lacks best, data_hash, optimizer"):
        step_in(out)


def write_shard(path: Path, value: float) -> None:
    with store_complete(path) as unfinished, PreparedArraysWriter(unfinished) as writer:
        writer.append({"pixels": torch.full((8, 8), value)})


def test_a_power_cut_leaves_no_part_of_a_shard(tmp_path: Path) -> None:
    path = tmp_path / "images" / "shard.arrow"
    path.parent.mkdir()
    with PowerCuts(tmp_path) as cuts:
        write_shard(path, 1.0)
    whole = path.read_bytes()
    assert all(found.get("images/shard.arrow", whole) == whole for found in cuts.possible())
    assert [found["images/shard.arrow"] for found in cuts.at_the_end()] == [whole] * 2


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_torn_shard_is_said_and_made_again(tmp_path: Path, share: float, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "shard.arrow"
    write_shard(path, 1.0)
    whole = path.read_bytes()
    path.write_bytes(whole[: round(share * len(whole))])
    assert not is_whole(path)
    assert f"{path} is damaged (" in capsys.readouterr().err
    assert not path.exists()
    write_shard(path, 2.0)
    assert is_whole(path)
    assert PreparedArrays(path)[0]["pixels"][0, 0] == 2.0
    for name in ("targets.npy", "problems.json"):
        (tmp_path / name).write_bytes(b"[1,")
        assert not is_whole(tmp_path / name)


def test_two_fits_do_not_share_a_folder(tmp_path: Path) -> None:
    request = FitRequest(bags=[tmp_path / "none"], out=tmp_path / "out")
    with only_one(request.out, "a fit"), pytest.raises(FolderTaken, match=r"a fit in .*out is being done by another"):
        fit(Settings(), request)
    with pytest.raises(GazeVlmError) as caught:  # free again: it goes on to the bags
        fit(Settings(), request)
    assert not isinstance(caught.value, FolderTaken)
    assert not request.out.exists()
