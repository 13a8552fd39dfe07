"""Bags as a LeRobot data set: read back the way that LeRobot's own reader does."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from small_bags import FRAME_NS, HEIGHT, START_NS, WIDTH, header, write_small_bag

from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.exporters.episode import gaze_at, write_episode
from gaze_vlm_ros.exporters.grid import lay_grid
from gaze_vlm_ros.exporters.lerobot import CAMERA, GAZE, LANGUAGE, CannotExport, export_lerobot
from gaze_vlm_ros.exporters.output_folder import ExportExists
from gaze_vlm_ros.exporters.statistics import column_statistics, combined, picture_statistics
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.session.session import NoLabels, load_session
from gaze_vlm_ros.video.images import encode_jpeg

TOLERANCE_S = 1e-4  # LeRobot's, between a row's timestamp and the picture's


def bag_of(folder: Path, stamps_ns: list[int], damaged: tuple[int, ...] = (), size: tuple[int, int] = (96, 64)) -> Path:
    """Frames at these times, each of a grey that is its number; one label at the second frame."""
    writer = BagWriter(folder, {"session": folder.name})
    writer.add_topic("/camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage")
    writer.add_topic("/label", "gaze_vlm_msgs/msg/ActionLabel")
    for number, stamp_ns in enumerate(stamps_ns):
        jpeg = encode_jpeg(np.full((size[1], size[0], 3), 40 + 20 * number, np.uint8))
        data = np.frombuffer(b"no picture" if number in damaged else jpeg, np.uint8)
        image = message_class("sensor_msgs/msg/CompressedImage")(header(stamp_ns), "jpeg", data)
        writer.write_message("/camera/image_raw/compressed", image, stamp_ns)
    label = message_class("gaze_vlm_msgs/msg/ActionLabel")(header(stamps_ns[1]), "wipe", "wipe", "")
    writer.write_message("/label", label, stamps_ns[1])
    writer.close()
    return folder


def greys(video: Path) -> list[int]:
    """The number of the frame that each picture of the video is of."""
    with av.open(str(video)) as container:
        return [round((f.to_ndarray(format="rgb24").mean() - 40) / 20) for f in container.decode(video=0)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lerobot")
    bags = [write_small_bag(folder / f"s{seed}", seed, takes=3) for seed in range(2)]
    export_lerobot(bags, folder / "out")
    return folder / "out"


def test_every_row_finds_its_picture(exported: Path) -> None:
    info = json.loads((exported / "meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["total_episodes"]) == ("v3.0", 10, 2)
    data = pq.read_table(exported / info["data_path"].format(chunk_index=0, file_index=0))
    episodes = pq.read_table(exported / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [episode["length"] for episode in episodes] == [90, 90]
    assert data["index"].to_pylist() == list(range(info["total_frames"]))
    for episode in episodes:
        rows = data.slice(episode["dataset_from_index"], episode["length"])
        assert set(rows["episode_index"].to_pylist()) == {episode["episode_index"]}
        place = {name: episode[f"videos/{CAMERA}/{name}"] for name in ("chunk_index", "file_index")}
        with av.open(str(exported / info["video_path"].format(video_key=CAMERA, **place))) as container:
            frames = list(container.decode(video=0))
        shown_s = [float(frame.pts * frame.time_base) for frame in frames]
        wanted_s = rows["timestamp"].to_numpy() + episode[f"videos/{CAMERA}/from_timestamp"]
        np.testing.assert_allclose(shown_s, wanted_s, atol=TOLERANCE_S, rtol=0)
        assert [frames[0].height, frames[0].width, 3] == info["features"][CAMERA]["shape"]


def test_tasks_gaze_and_stamps_are_those_of_the_bag(exported: Path) -> None:
    data = pq.read_table(exported / "data/chunk-000/file-000.parquet")
    tasks = pq.read_table(exported / "meta/tasks.parquet").to_pandas()  # LeRobot: tasks.iloc[index].name
    session = load_session(exported.parent / "s1")
    assert session.labels is not None
    assert session.gaze is not None
    for row in (90, 125, 179):
        stamp_ns = data["stamp_ns"][row].as_py()
        assert stamp_ns == START_NS + 10**12 + (row - 90) * FRAME_NS
        going_on = [
            text
            for start, text in zip(session.labels.starts_ns, session.labels.texts, strict=True)
            if start <= stamp_ns
        ]
        assert tasks.iloc[data["task_index"][row].as_py()].name == (going_on[-1] if going_on else "")
        sample = int(np.flatnonzero(session.gaze.stamps_ns <= stamp_ns)[-1])
        np.testing.assert_allclose(data[GAZE][row].as_py(), [*session.gaze.xy[sample], 1], rtol=1e-6)


def test_statistics_name_every_feature(exported: Path) -> None:
    info, stats = (json.loads((exported / "meta" / name).read_text()) for name in ("info.json", "stats.json"))
    assert set(stats) == set(info["features"]) - {LANGUAGE}
    gaze = np.array(pq.read_table(exported / "data/chunk-000/file-000.parquet")[GAZE].to_pylist())
    np.testing.assert_allclose(stats[GAZE]["mean"], gaze.mean(0), rtol=1e-6)
    np.testing.assert_allclose(stats[GAZE]["std"], gaze.std(0), rtol=1e-4)
    assert np.shape(stats[CAMERA]["mean"]) == (3, 1, 1)


@pytest.mark.parametrize("fps", [7, 10, 30, 1000])
def test_grid_shows_nothing_before_it_was_taken(fps: int) -> None:
    stamps_ns = START_NS + np.cumsum(np.random.default_rng(fps).integers(1, 10**8, 60))
    grid = lay_grid(stamps_ns, fps)
    np.testing.assert_allclose(np.diff(grid.times_ns), 1e9 / fps, atol=1)
    assert (stamps_ns[grid.frame] <= grid.times_ns).all()
    following = np.append(stamps_ns[1:], np.iinfo(np.int64).max)[grid.frame]
    assert (following > grid.times_ns).all()
    assert abs(int(grid.times_ns[-1]) - int(stamps_ns[-1])) <= 1e9 / fps


def test_jitter_below_half_a_period_costs_no_frame() -> None:
    ideal_ns = START_NS + np.arange(300, dtype=np.int64) * 10**9 // 30
    jitter_ns = np.random.default_rng(0).integers(-8_000_000, 8_000_000, 300)
    np.testing.assert_array_equal(lay_grid(ideal_ns + jitter_ns - jitter_ns[0], 30).frame, np.arange(300))


def test_gaps_and_damaged_frames_are_filled_from_before_and_counted(tmp_path: Path) -> None:
    # At 10 Hz; frame 0 is damaged, 2 too, and none comes for 0.3 s after frame 3.
    times_ms = [0, 100, 200, 300, 600, 700]
    bag = bag_of(tmp_path / "bag", [START_NS + t * 1_000_000 for t in times_ms], damaged=(0, 2))
    episode = write_episode(load_session(bag), 10, tmp_path / "v.mp4")
    assert greys(tmp_path / "v.mp4") == [1, 1, 3, 3, 3, 4, 5]
    np.testing.assert_array_equal((episode.stamps_ns - START_NS) // 1_000_000, [100, 100, 300, 300, 300, 600, 700])
    assert (episode.repeated, episode.left_out, episode.damaged) == (3, 2, 2)
    assert episode.longest_age_s == pytest.approx(0.25)
    assert episode.labels == ["wipe"] * 7


def test_odd_frames_lose_a_column_and_a_row(tmp_path: Path) -> None:
    bag = bag_of(tmp_path / "bag", [START_NS, START_NS + FRAME_NS], size=(97, 65))
    assert write_episode(load_session(bag), 10, tmp_path / "v.mp4").size == (96, 64)


def test_unusable_and_old_gaze_is_no_gaze() -> None:
    ms = 1_000_000
    gaze = GazeTrack(
        START_NS + np.array([0, 10, 20]) * ms,
        np.array([[10.0, 20.0], [np.nan, np.nan], [500.0, 5.0]]),  # the last is off the image
        np.full(3, np.nan), np.zeros(3, np.uint8), np.zeros(3, np.uint8), (2 * WIDTH, 2 * HEIGHT),
    )  # fmt: skip
    found = gaze_at(gaze, START_NS + np.array([-1, 0, 25, 50, 51]) * ms, (WIDTH, HEIGHT))
    np.testing.assert_array_equal(found, [[0, 0, 0], [5, 10, 1], [5, 10, 1], [5, 10, 1], [0, 0, 0]])


def test_statistics_are_those_of_the_values() -> None:
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (4, 3, 30, 30))
    histogram = np.stack([np.bincount(pictures[:, c].ravel(), minlength=256) for c in range(3)])
    found = picture_statistics(histogram, 4)
    scaled = pictures.transpose(1, 0, 2, 3).reshape(3, -1) / 255
    for name, expected in {
        "min": scaled.min(1),
        "mean": scaled.mean(1),
        "std": scaled.std(1),
        "max": scaled.max(1),
    }.items():
        np.testing.assert_allclose(found[name].ravel(), expected)
    np.testing.assert_allclose(found["q90"].ravel(), np.quantile(scaled, 0.9, axis=1), atol=1 / 255)

    values = generator.normal(size=(50, 2))
    together = combined([{"x": column_statistics(part)} for part in (values[:10], values[10:])])["x"]
    np.testing.assert_allclose(together["mean"], values.mean(0))
    np.testing.assert_allclose(together["std"], values.std(0))
    assert together["count"].tolist() == [50]


def test_what_cannot_be_exported_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    good = write_small_bag(tmp_path / "good", 0, takes=1)
    with pytest.raises(NoLabels):
        export_lerobot([good, write_small_bag(tmp_path / "bare", 1, takes=1, labels=False)], tmp_path / "out")
    other = bag_of(tmp_path / "other", [START_NS, START_NS + FRAME_NS], size=(32, 32))
    with pytest.raises(CannotExport, match=r"good has 96x64, .*other has 32x32"):
        export_lerobot([good, other], tmp_path / "out")
    with pytest.raises(CannotExport, match="--fps 0: expected 1 to 1000"):
        export_lerobot([good], tmp_path / "out", fps=0)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ExportExists):
        export_lerobot([good], good)


def test_a_bag_without_gaze_says_so_in_every_row(tmp_path: Path) -> None:
    summary = export_lerobot([write_small_bag(tmp_path / "bag", 0, takes=1, gaze=False)], tmp_path / "out")
    assert "gaze on 0% of the frames" in summary
    gaze = pq.read_table(tmp_path / "out/data/chunk-000/file-000.parquet")[GAZE].to_pylist()
    assert gaze == [[0, 0, 0]] * 30


@pytest.mark.parametrize("file_bytes", [100, 6000], ids=["data", "video"])
def test_a_full_disk_costs_one_line_and_leaves_nothing(tmp_path: Path, file_bytes: int) -> None:
    bag = write_small_bag(tmp_path / "bag", 0, takes=3)
    done = subprocess.run(
        [Path(sys.executable).with_name("gaze-vlm"), "export", "lerobot", bag, "--out", tmp_path / "out"],
        capture_output=True, text=True, timeout=200, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes)),
    )  # fmt: skip
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line and "it/s" not in line]  # beside the progress bar
    assert len(errors) == 1, done.stderr
    assert "cannot write" in errors[0]
    assert "File too large" in errors[0]
    assert not (tmp_path / "out").exists()
