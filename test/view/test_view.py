"""What `gaze-vlm view` shows, read back from the files that it writes."""

from __future__ import annotations

import builtins
import dataclasses
import json
import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rerun as rr
from rerun.chunk import RrdReader
from small_bags import FRAME_NS, GAZE_NS, HEIGHT, START_NS, TAKE_S, WIDTH, header, write_small_bag

from gaze_vlm_ros import cli
from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.session.session import LabelTrack, load_session
from gaze_vlm_ros.video.images import encode_jpeg
from gaze_vlm_ros.view.command import BadEvery, NoDisplay, NoViewer, RerunMissing, ViewExists, ViewNotWritable, run_view
from gaze_vlm_ros.view.pictures import TRAIL_RGB, UNUSABLE_RGB, USABLE_RGB, draw
from gaze_vlm_ros.view.scene import gaze_on_picture, label_at, prediction_tracks

COMMAND = Path(sys.executable).with_name("gaze-vlm")
CAMERA_TOPIC = "/camera/image_raw/compressed"
PREDICTION = "gaze_vlm_msgs/msg/ActionPrediction"
DELAY_NS = 40_000_000
BAG_NS = START_NS + 10**12  # write_small_bag's start for seed 1
# Predictions: stamp ms, status, candidates with probabilities, focus px.
PREDICTIONS: list[tuple[int, int, dict[str, float], tuple[float, float]]] = [
    (-1, 3, {}, (math.nan, math.nan)),  # no frame yet: stamp zero
    (500, 0, {"take the red disc": 0.7, "take the blue disc": 0.2}, (30.0, 20.0)),
    (700, 0, {"take the red disc": 0.6, "take the blue disc": 0.3}, (31.0, 20.0)),
    (900, 0, {"take the blue disc": 0.8}, (math.nan, math.nan)),
    (1100, 1, {"take the blue disc": 0.4, "take the red disc": 0.35}, (math.nan, math.nan)),
    (1300, 2, {}, (math.nan, math.nan)),
]


def prediction(row: tuple[int, int, dict[str, float], tuple[float, float]]) -> Any:
    at_ms, status, candidates, focus = row
    stamp_ns = BAG_NS + at_ms * 1_000_000 if at_ms >= 0 else 0
    duration = message_class("builtin_interfaces/msg/Duration")(0, 0)
    listed = [
        message_class("gaze_vlm_msgs/msg/ActionCandidate")(
            text, "", "", "", text, share, *[duration] * 3, np.empty(0, np.float32)
        )
        for text, share in candidates.items()
    ]
    stamp = header(stamp_ns).stamp
    uuid = message_class("unique_identifier_msgs/msg/UUID")(np.zeros(16, np.uint8))
    text = "the camera is silent" if status == 2 else ""
    other = 1 - sum(candidates.values())
    return message_class(PREDICTION)(
        header(stamp_ns),
        stamp,
        stamp,
        duration,
        duration,
        uuid,
        0,
        status,
        text,
        1,
        "",
        listed,
        math.nan,
        other,
        *focus,
        "m",
        "l",
        math.nan,
        math.nan,
        [],
    )


def write_bag_with_predictions(folder: Path) -> Path:
    """The small session of 6 s, arriving late, with predictions, a damaged frame and gaze of every kind."""
    write_small_bag(folder.with_name("plain"), seed=1, takes=2)
    writer = BagWriter(folder, {"session": "watched"})
    faults = {5: {"x": math.nan}, 10: {"confidence": 0.2}, 20: {"worn": 1}}
    with open_bag(folder.with_name("plain")) as bag:
        for name, info in bag.topics.items():
            writer.add_topic(name, info.type_name)
        writer.add_topic("/next_action", PREDICTION)
        seen = dict.fromkeys(bag.topics, 0)
        for topic, message, arrival_ns in bag.messages():
            if topic == "/gaze":
                message = dataclasses.replace(message, **faults.get(seen[topic], {}))
            if topic == CAMERA_TOPIC and seen[topic] == 7:
                message = dataclasses.replace(message, data=np.frombuffer(b"\xff\xd8 no picture", np.uint8))
            seen[topic] += 1
            writer.write_message(topic, message, arrival_ns + DELAY_NS)
    for row in PREDICTIONS:
        writer.write_message("/next_action", prediction(row), BAG_NS + max(row[0], 0) * 1_000_000 + 5 * DELAY_NS)
    writer.close()
    return folder


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag_with_predictions(tmp_path_factory.mktemp("bags") / "watched")


# Rerun.


@pytest.fixture(scope="module")
def logged(bag: Path) -> dict[str, dict[str, Any]]:
    """What Rerun's own reader finds, by entity and column: times in ns since the session's start, values as lists."""
    file = bag.with_name("view.rrd")
    assert run_view(bag, file, None) == 0
    reader = RrdReader(str(file))
    assert [entry.application_id for entry in reader.recordings()] == ["gaze-vlm view"]
    assert len(reader.blueprints()) == 1
    rows: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    static: dict[str, dict[str, Any]] = {}
    for chunk in reader.stream().to_chunks():
        batch = chunk.to_record_batch()
        names = [name for name in batch.schema.names if ":" in name]
        columns = {name.partition(":")[2]: batch.column(name).to_pylist() for name in names}
        if chunk.is_static:
            static.setdefault(chunk.entity_path, {}).update({name: values[-1] for name, values in columns.items()})
            continue
        acquired = batch.column("acquisition").cast("int64").to_pylist()
        elapsed = batch.column("elapsed").cast("int64").to_pylist()
        for row, (stamp_ns, elapsed_ns) in enumerate(zip(acquired, elapsed, strict=True)):
            assert stamp_ns - elapsed_ns == BAG_NS
            row_values = {name: values[row] for name, values in columns.items()}
            rows.setdefault(chunk.entity_path, []).append((elapsed_ns, row_values))
    found: dict[str, dict[str, Any]] = {}
    for path, entries in rows.items():
        entries.sort(key=lambda entry: entry[0])
        found[path] = {"elapsed": [at for at, _ in entries], **static.get(path, {})}
        for name in entries[0][1]:
            found[path][name] = [values[name] for _, values in entries]
    return found


def test_every_frame_that_is_whole_is_there_as_it_was_recorded(bag: Path, logged: dict[str, Any]) -> None:
    camera = logged["/camera"]
    assert camera["elapsed"] == [number * FRAME_NS for number in range(60) if number != 7]
    frames = load_session(bag).frames
    assert bytes(camera["blob"][3][0]) == bytes(frames.message(3).data)
    assert camera["media_type"][3] == ["image/jpeg"]


def test_gaze_rings(bag: Path, logged: dict[str, Any]) -> None:
    gaze, session = logged["/camera/gaze"], load_session(bag)
    assert session.gaze
    assert gaze["elapsed"] == [number * GAZE_NS for number in range(300)]
    for number in (0, 10, 299):
        np.testing.assert_allclose(gaze["centers"][number], [session.gaze.xy[number]], rtol=1e-6)
    assert gaze["centers"][5] == []  # no estimate: the ring is taken away, and does not stay
    green, red = (int.from_bytes((*colour, 255), "big") for colour in (USABLE_RGB, UNUSABLE_RGB))
    assert [gaze["colors"][number] for number in (0, 10, 20, 21)] == [[green], [red], [red], [green]]


def test_the_trail_is_usable_gaze_of_the_last_half_second(bag: Path, logged: dict[str, Any]) -> None:
    trail, session = logged["/camera/trail"], load_session(bag)
    assert session.gaze
    at = trail["elapsed"].index(1_000_000_000)
    used = list(range(26, 51))  # (0.5 s, 1 s]
    np.testing.assert_allclose(trail["strips"][at][0], session.gaze.xy[used], rtol=1e-6)
    at = trail["elapsed"].index(200_000_000)
    used = [number for number in range(11) if number not in (5, 10)]
    np.testing.assert_allclose(trail["strips"][at][0], session.gaze.xy[used], rtol=1e-6)


def test_labels(bag: Path, logged: dict[str, Any]) -> None:
    labels = load_session(bag).labels
    assert labels
    assert logged["/label"]["elapsed"] == [round(TAKE_S * 1e9), round(2 * TAKE_S * 1e9)]
    assert logged["/label"]["state"] == [[text] for text in labels.texts]


def test_arrival_minus_acquisition(logged: dict[str, Any]) -> None:
    for topic in (CAMERA_TOPIC, "/gaze"):
        delays_ms = logged[f"/delay{topic}"]["scalars"]
        assert {value for (value,) in delays_ms} == {DELAY_NS / 1e6}
        assert logged[f"/delay{topic}"]["names"] == [topic]
    assert len(logged["/delay/gaze"]["scalars"]) == 300


def test_predictions(logged: dict[str, Any]) -> None:
    place = "/prediction/next_action"
    red = logged[f"{place}/probability/take\\ the\\ red\\ disc"]
    assert red["elapsed"] == [at_ms * 1_000_000 for at_ms, *_ in PREDICTIONS if at_ms >= 0]
    np.testing.assert_allclose(np.ravel(red["scalars"]), [0.7, 0.6, np.nan, 0.35, np.nan], rtol=1e-6)
    assert red["names"] == ["take the red disc"]
    other = logged[f"{place}/probability/everything\\ else"]
    np.testing.assert_allclose(np.ravel(other["scalars"]), [0.1, 0.1, 0.2, 0.25, np.nan], rtol=1e-5)
    # Told when the answer changes, and not each time that its probability does.
    changes_ns = [at_ms * 1_000_000 for at_ms in (500, 900, 1100, 1300)]
    assert logged[f"{place}/text"]["elapsed"] == logged[f"{place}/best"]["elapsed"] == changes_ns
    assert logged[f"{place}/best"]["state"] == [["take the red disc"], ["take the blue disc"], [""], [""]]
    assert logged[f"{place}/text"]["text"] == [
        ["take the red disc (0.70)"],
        ["take the blue disc (0.80)"],
        ["abstains: best take the blue disc (0.40)"],
        ["stale input: the camera is silent"],
    ]
    focus = logged["/camera/focus"]["positions"]
    assert [len(points) for points in focus] == [1, 1, 0, 0, 0]
    assert focus[1] == [[31.0, 20.0]]


def test_what_is_left_out_is_said(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_view(bag, tmp_path / "view.rrd", None) == 0
    printed = capsys.readouterr().out
    assert (
        f"{tmp_path / 'view.rrd'} (open it with `rerun {tmp_path / 'view.rrd'}`): 60 frames, 300 gaze samples"
        in printed
    )
    assert "5 predictions of /next_action (1 more without a frame are left out)" in printed
    assert "1 damaged frames are left out" in printed


def test_raw_frames_are_stored_as_jpeg(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "raw", {})
    writer.add_topic("/camera/image_raw", "sensor_msgs/msg/Image")
    pixels = np.full((24, 32, 3), (200, 30, 60), np.uint8)
    for number in range(3):
        stamp_ns = START_NS + number * FRAME_NS
        message = message_class("sensor_msgs/msg/Image")(header(stamp_ns), 24, 32, "rgb8", 0, 96, pixels.ravel())
        writer.write_message("/camera/image_raw", message, stamp_ns)
    writer.close()
    assert run_view(tmp_path / "raw", tmp_path / "raw.rrd", None) == 0
    blobs = []
    for chunk in RrdReader(str(tmp_path / "raw.rrd")).stream().to_chunks():
        if chunk.entity_path == "/camera":
            batch = chunk.to_record_batch()
            blobs += batch.column("EncodedImage:blob").to_pylist()
            assert batch.column("EncodedImage:media_type").to_pylist() == [["image/jpeg"]] * len(batch)
    assert len(blobs) == 3
    shown = cv2.imdecode(np.frombuffer(bytes(blobs[0][0]), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(shown[12, 16, ::-1], (200, 30, 60), atol=4)


# Pictures.


def test_pictures_each_second_or_each_nth_frame(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["view", str(bag), "--save", str(tmp_path / "second")]) == 0
    names = sorted(path.name for path in (tmp_path / "second").iterdir())
    assert names[:2] == ["frame_000000_at_0000.000_s.png", "frame_000010_at_0001.000_s.png"]
    assert len(names) == 6
    assert "6 pictures, one for every 10 frames" in capsys.readouterr().out
    assert cli.main(["view", str(bag), "--save", str(tmp_path / "some"), "--every", "7"]) == 0
    numbers = [int(path.name.split("_")[1]) for path in sorted((tmp_path / "some").iterdir())]
    assert numbers == [number for number in range(0, 60, 7) if number != 7]
    assert "8 pictures, one for every 7 frames; 1 damaged frames are left out" in capsys.readouterr().out
    sizes = {cv2.imread(str(path)).shape for path in (tmp_path / "some").iterdir()}
    assert len(sizes) == 1  # so that they make a video


def pixels_of(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(n, 2) x, y of the pixels that have about this colour."""
    near = np.abs(picture.astype(int) - colour).max(axis=2) < 40
    return np.argwhere(near)[:, ::-1]


def track(xy: np.ndarray, size: tuple[int, int], **changes: Any) -> GazeTrack:
    count = len(xy)
    stamps_ns = np.arange(count) * 5_000_000
    given = {"confidence": np.ones(count), "worn": np.full(count, 2, np.uint8), "eye_state": np.ones(count, np.uint8)}
    return GazeTrack(stamps_ns, np.asarray(xy, float), **(given | changes), image_size=size)


def test_the_ring_is_around_the_gaze_of_the_frame_s_time() -> None:
    plain = np.full((480, 640, 3), 90, np.uint8)
    path = np.column_stack([np.linspace(200, 1000, 201), np.full(201, 400.0)])  # of an image twice as large, for 1 s
    gaze = gaze_on_picture(track(path, (1280, 960)), (640, 480))
    picture = draw(plain, gaze, 500_000_000, "text")
    ring = pixels_of(picture[:480], USABLE_RGB)
    np.testing.assert_allclose((ring.min(axis=0) + ring.max(axis=0)) / 2, (300, 200), atol=1)
    assert np.ptp(ring, axis=0).max() == pytest.approx(34, abs=3)
    trail = pixels_of(picture[:480], TRAIL_RGB)
    assert (trail[:, 0].min(), trail[:, 0].max()) == (pytest.approx(101, abs=3), pytest.approx(300, abs=3))
    assert not len(pixels_of(picture[:480], UNUSABLE_RGB))
    np.testing.assert_array_equal(plain, 90)  # a copy was drawn on
    assert (picture[480:] > 128).any()  # text, below the frame


def test_gaze_that_does_not_count_has_a_red_ring_or_none() -> None:
    plain = np.full((480, 640, 3), 90, np.uint8)
    path = np.tile([320.0, 240.0], (201, 1))
    for changes in ({"worn": np.ones(201, np.uint8)}, {"eye_state": np.full(201, 3, np.uint8)}):
        gaze = gaze_on_picture(track(path, (640, 480), **changes), (640, 480))
        picture = draw(plain, gaze, 500_000_000, "")
        assert len(pixels_of(picture[:480], UNUSABLE_RGB)) > 50
        assert not len(pixels_of(picture[:480], TRAIL_RGB))
    assert gaze.fault_texts(3) == ["blink or saccade"]
    none = gaze_on_picture(track(path * np.nan, (640, 480)), (640, 480))
    for shown, at_ns in ((none, 500_000_000), (gaze, 3_000_000_000), (None, 0)):
        picture = draw(plain, shown, at_ns, "")
        np.testing.assert_array_equal(picture[:480], plain)


def test_long_texts_fit_and_any_language_is_drawn() -> None:
    plain = np.full((120, 160, 3), 90, np.uint8)
    long = draw(plain, None, 0, "put the small red mug back on the upper shelf beside the green bottle " * 3)
    assert not (long[120:, -3:] > 60).any()
    for text in ("grüne Tasse nehmen", "взять кружку", "取红色杯子"):
        assert (draw(plain, None, 0, text)[120:] > 128).any()


def test_labels_hold_from_their_start() -> None:
    labels = LabelTrack(np.array([10, 20, 30]), ["pour", "", "stir"], [""] * 3, [""] * 3)
    assert [label_at(labels, at_ns) for at_ns in (9, 10, 19, 20, 30, 99)] == ["", "pour", "pour", "", "stir", "stir"]
    assert label_at(None, 5) == ""


def test_frames_that_change_their_size_keep_gaze_in_place(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "sizes", {})
    for name, kind in ((CAMERA_TOPIC, "sensor_msgs/msg/CompressedImage"), ("/gaze", "gaze_vlm_msgs/msg/GazeStamped")):
        writer.add_topic(name, kind)
    for number, scale in enumerate((1, 2)):
        stamp_ns = START_NS + number * FRAME_NS
        data = np.frombuffer(encode_jpeg(np.full((240 * scale, 320 * scale, 3), 90, np.uint8)), np.uint8)
        writer.write_message(
            CAMERA_TOPIC, message_class("sensor_msgs/msg/CompressedImage")(header(stamp_ns), "jpeg", data), stamp_ns
        )
        sample = (header(stamp_ns), 80.0, 120.0, 320, 240, 0.9, 2, 1, header(0).stamp)
        writer.write_message("/gaze", message_class("gaze_vlm_msgs/msg/GazeStamped")(*sample), stamp_ns)
    writer.close()
    assert run_view(tmp_path / "sizes", tmp_path / "pictures", 1) == 0
    for path, scale in zip(sorted((tmp_path / "pictures").iterdir()), (1, 2), strict=True):
        ring = pixels_of(cv2.imread(str(path))[: 240 * scale, :, ::-1], USABLE_RGB)
        np.testing.assert_allclose(ring.mean(axis=0), (80 * scale, 120 * scale), atol=1.5 * scale)


def test_a_bag_without_gaze_labels_or_predictions(tmp_path: Path) -> None:
    bare = write_small_bag(tmp_path / "bare", seed=1, takes=1, gaze=False, labels=False)
    assert run_view(bare, tmp_path / "bare.rrd", None) == run_view(bare, tmp_path / "pictures", None) == 0
    entities = {chunk.entity_path for chunk in RrdReader(str(tmp_path / "bare.rrd")).stream().to_chunks()}
    assert entities - {"/__properties"} == {"/camera", f"/delay{CAMERA_TOPIC}"}
    with open_bag(bare) as opened:
        assert prediction_tracks(opened) == []
    picture = cv2.imread(str(next((tmp_path / "pictures").iterdir())))
    assert picture.shape[1] == WIDTH
    assert picture.shape[0] > HEIGHT


# What can be wrong.


def test_nothing_is_overwritten(bag: Path, tmp_path: Path) -> None:
    file, folder = tmp_path / "taken.rrd", tmp_path / "taken"
    file.write_text("mine")
    folder.mkdir()
    for place in (file, folder):
        with pytest.raises(ViewExists, match="exists already, and nothing is overwritten; give another name"):
            run_view(bag, place, None)
    assert file.read_text() == "mine"
    assert list(folder.iterdir()) == []
    (tmp_path / "dangling.rrd").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ViewExists):
        run_view(bag, tmp_path / "dangling.rrd", None)


def test_without_a_display(bag: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(NoDisplay):
        run_view(bag, None, None)
    assert cli.main(["view", str(bag)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gaze-vlm: error: there is no display here")
    assert "--save FILE.rrd" in line


def test_without_rerun(bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_rerun(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == "rerun":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real_import(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_rerun)
    with pytest.raises(RerunMissing, match="pip install rerun-sdk"):
        run_view(bag, tmp_path / "view.rrd", None)
    assert not (tmp_path / "view.rrd").exists()
    assert run_view(bag, tmp_path / "pictures", None) == 0  # which need none


def test_on_screen(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no screen to test on: a stand-in for the viewer says how it was started, listens, and ends."""
    monkeypatch.setenv("DISPLAY", ":0")
    viewer = tmp_path / "bin" / "rerun"
    viewer.parent.mkdir()
    viewer.write_text(
        f"#!{sys.executable}\nimport json, socket, sys\n"
        f"open({str(tmp_path / 'started')!r}, 'w').write(json.dumps(sys.argv[1:]))\n"
        "at = (sys.argv[sys.argv.index('--bind') + 1], int(sys.argv[sys.argv.index('--port') + 1]))\n"
        "socket.create_server(at).accept()\n"
    )
    viewer.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(viewer.parent / "python"))
    connected: list[str] = []
    monkeypatch.setattr(rr.RecordingStream, "connect_grpc", lambda _, url, default_blueprint: connected.append(url))
    assert run_view(bag, None, None) == 0
    started = json.loads((tmp_path / "started").read_text())
    assert started[:2] == ["--bind", "127.0.0.1"]
    assert connected == [f"rerun+http://127.0.0.1:{started[3]}/proxy"]
    assert capsys.readouterr().out.startswith("on screen: 60 frames, 300 gaze samples")

    viewer.write_text("#!/bin/sh\necho no window >&2\nexit 1\n")
    with pytest.raises(NoViewer, match="viewer failed: no window; use --save FILE"):
        run_view(bag, None, None)
    viewer.unlink()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NoViewer, match="is not on PATH"):
        run_view(bag, None, None)


@pytest.mark.parametrize("every", [0, -3])
def test_every_must_be_a_number_of_frames(bag: Path, tmp_path: Path, every: int) -> None:
    with pytest.raises(BadEvery, match=f"--every {every}: expected 1 or more"):
        run_view(bag, tmp_path / "pictures", every)
    with pytest.raises(BadEvery):
        run_view(bag, tmp_path / "view.rrd", 5)
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(bag: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "nowhere" / "view.rrd", tmp_path / "file" / "pictures"):
        with pytest.raises(ViewNotWritable, match="give another --save"):
            run_view(bag, place, None)


def test_bags_that_cannot_be_read_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("Dear robot, " * 20)
    for place in ("view.rrd", "pictures"):
        with pytest.raises(GazeVlmError):
            run_view(tmp_path / "text", tmp_path / place, None)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize("place", ["view.rrd", "pictures"])
def test_a_full_disk_is_one_line_and_leaves_nothing(bag: Path, tmp_path: Path, place: str) -> None:
    """Rerun's own file writer sometimes hangs forever instead."""
    done = subprocess.run(
        [COMMAND, "view", bag, "--save", tmp_path / place],
        capture_output=True, text=True, timeout=200, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"gaze-vlm: error: cannot write {tmp_path / place}")
    assert list(tmp_path.iterdir()) == []
