"""Windows as tar files: what is in them is what a fit with the same settings learns from."""

from __future__ import annotations

import json
import resource
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_bags import HEIGHT, WIDTH

from gaze_vlm_ros.exporters.output_folder import ExportExists, ExportNotWritable
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.windows.cutting import NoWindows
from training.data.gaze_targets import frame_gaze
from training.data.recordings import load_recordings
from training.export_windows import BadShardSize, main
from training.settings import load_settings

CHOSEN = ["frames=2", "observation_s=5.0", "leads_s=[0.4, 1.0]", "gaze_flow=false", "validation=[s2]"]
ARGUMENTS = [argument for value in CHOSEN for argument in ("--set", value)]


def samples(folder: Path, part: str) -> dict[str, dict[str, bytes]]:
    """By key and ending, as webdataset groups a tar's files."""
    found: dict[str, dict[str, bytes]] = {}
    for file in sorted(folder.glob(f"{part}-*.tar")):
        with tarfile.open(file) as tar:
            last = ""
            for member in tar:
                key, _, ending = member.name.partition(".")
                assert key == last or key not in found, "a sample's files lie side by side in one tar"
                content = tar.extractfile(member)
                assert content is not None
                found.setdefault(key, {})[ending] = content.read()
                last = key
    return found


@pytest.fixture(scope="module")
def exported(small_bags: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wds") / "out"
    bags = [str(small_bags / f"s{seed}") for seed in range(3)]
    assert main([*ARGUMENTS, "--shard-mb", "0.05", "--out", str(out), *bags]) == 0
    return out


def test_every_window_of_the_fit_is_there_once(exported: Path, small_bags: Path) -> None:
    settings = load_settings(exported / "settings.yaml")
    recordings = load_recordings([small_bags / f"s{seed}" for seed in range(3)], settings)
    wanted = {(r.name, window.at_ns, window.answer) for r in recordings for window in r.windows}
    abouts = [
        json.loads(files["json"]) for part in ("training", "validation") for files in samples(exported, part).values()
    ]
    found = [(about["session"], about["at_ns"], about["answer"]) for about in abouts]
    assert len(found) == len(wanted)
    assert set(found) == wanted
    assert {about["session"] for about in abouts if about["part"] == "validation"} == {"s2"}


def test_a_sample_holds_pictures_and_gaze_of_its_frames(exported: Path, small_bags: Path) -> None:
    settings = load_settings(exported / "settings.yaml")
    key, files = list(samples(exported, "training").items())[5]
    about = json.loads(files["json"])
    assert set(files) == {"0.jpg", "1.jpg", "json"}
    assert key.startswith(f"0000{about['session'][1]}_")
    session = load_session(small_bags / about["session"])
    assert about["lead_s"] == pytest.approx((about["answer_start_ns"] - about["at_ns"]) / 1e9)
    assert 0 < about["lead_s"] <= settings.horizon_s
    assert about["frame_size"] == [WIDTH, HEIGHT]
    assert about["frames"][-1]["stamp_ns"] == about["at_ns"]
    for number, frame in enumerate(about["frames"]):
        index = int(np.flatnonzero(session.frames.stamps_ns == frame["stamp_ns"])[0])
        picture = cv2.imdecode(np.frombuffer(files[f"{number}.jpg"], np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(picture[:, :, ::-1], session.frames.rgb(index))
        points, weights = frame_gaze(session, index, settings)
        assert len(points)
        np.testing.assert_array_equal(frame["gaze_points"], points)
        np.testing.assert_array_equal(frame["gaze_weights"], weights)


def test_files_stay_near_the_size_asked_for_and_are_the_same_every_time(
    exported: Path, small_bags: Path, tmp_path: Path
) -> None:
    files = sorted(exported.glob("training-*.tar"))
    summary = json.loads((exported / "dataset.json").read_text())
    assert [file.name for file in files] == summary["training"]["files"]
    assert len(files) > 2
    # The first action begins 3 s after the camera: 1.0 s before it, the older half of 5 s holds no frame.
    assert summary["training"]["dropped"] == {"with too few frames before them": 2}
    assert max(file.stat().st_size for file in files) < 2 * 50_000
    main(
        [
            *ARGUMENTS,
            "--shard-mb",
            "0.05",
            "--out",
            str(tmp_path / "again"),
            *(str(small_bags / f"s{n}") for n in range(3)),
        ]
    )
    for file in files:
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_what_cannot_be_exported_leaves_nothing(small_bags: Path, tmp_path: Path) -> None:
    bags = [str(small_bags / "s0"), str(small_bags / "s2")]
    with pytest.raises(ExportExists):
        main([*ARGUMENTS, "--out", str(tmp_path), *bags])
    with pytest.raises(BadShardSize, match="--shard-mb 0: expected more than 0"):
        main([*ARGUMENTS, "--shard-mb", "0", "--out", str(tmp_path / "out"), *bags])
    with pytest.raises(NoWindows, match="with too few frames before them"):
        main([*ARGUMENTS, "--set", "frames=500", "--out", str(tmp_path / "out"), *bags])
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing(small_bags: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))  # no file may grow beyond it
    try:
        with pytest.raises(ExportNotWritable, match=r"^cannot write .*out: File too large; make room, or give another"):
            main([*ARGUMENTS, "--out", str(tmp_path / "out"), *(str(small_bags / f"s{seed}") for seed in (0, 2))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "out").exists()
