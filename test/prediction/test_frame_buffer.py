"""Frames to an answer, without ROS: the predictor must see just what the trainer saw, and get just its answer."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.labels.label_set import LabelSet
from gaze_vlm_ros.prediction.backends.factory import UnknownBackend, open_backend
from gaze_vlm_ros.prediction.backends.model import ModelBackend, NoSuchDevice
from gaze_vlm_ros.prediction.checkpoint import NotACheckpoint
from gaze_vlm_ros.prediction.frame_buffer import FrameBuffer
from gaze_vlm_ros.prediction.types import Observation
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.video.frame_selection import pick_frames
from gaze_vlm_ros.video.images import DamagedImage, UnknownEncoding, encode_jpeg, to_rgb
from gaze_vlm_ros.vlm.loading import load_vlm
from training.data.preparation import prepare
from training.data.recordings import load_recording
from training.evaluation import metrics
from training.evaluation.answers import rank_windows
from training.settings import load_settings

MS = 1_000_000


def jpeg(level: int) -> SimpleNamespace:
    return SimpleNamespace(format="jpeg", data=encode_jpeg(np.full((48, 64, 3), level, np.uint8)))


def levels(buffer: FrameBuffer) -> list[int]:
    observation = buffer.observation()
    return [] if observation is None else [int(frame[0, 0, 0]) for frame in observation.frames]


def test_the_observation_is_the_last_frame_of_each_part() -> None:
    buffer = FrameBuffer(observation_s=1.0, frames=2)
    assert buffer.observation() is None
    for number in range(30):
        assert buffer.add(number * 100 * MS, jpeg(8 * number))
        # Two parts of half a second: the fifth frame from the end, and the last.
        assert levels(buffer) == ([8 * (number - 5), 8 * number] if number >= 5 else [])
    observation = buffer.observation()
    assert observation is not None
    assert (observation.start_ns, observation.stamp_ns) == (2400 * MS, 2900 * MS)
    assert buffer.newest_ns == 2900 * MS


def test_only_what_an_observation_can_need_is_kept_and_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from gaze_vlm_ros.prediction import frame_buffer as prediction

    decoded = []
    to_rgb = prediction.to_rgb
    monkeypatch.setattr(prediction, "to_rgb", lambda message: decoded.append(message) or to_rgb(message))
    buffer = FrameBuffer(observation_s=1.0, frames=2)
    for number in range(1000):
        buffer.add(number * 100 * MS, jpeg(0))
        buffer.observation()
        buffer.observation()  # asked again about the same frames
    assert buffer.held == (10, 10 * len(jpeg(0).data) + 2 * 48 * 64 * 3)  # messages, and the pictures of the last two
    assert len(decoded) < 2 * 1000  # the two frames of each, once


def test_with_slack_a_window_has_one_new_frame_whenever_it_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera of 30 Hz, and a model that takes 0.11 s: no window ends a whole part after another."""
    from gaze_vlm_ros.prediction import frame_buffer as prediction

    decoded: list[object] = []
    to_rgb = prediction.to_rgb
    monkeypatch.setattr(prediction, "to_rgb", lambda message: decoded.append(message) or to_rgb(message))
    counts = {}
    for slack_s in (0.0, 0.11):
        buffer = FrameBuffer(observation_s=1.2, frames=4, slack_s=slack_s)
        asked = 0
        for number in range(300):
            if number == 99:  # the first windows have frames that no window had before
                decoded.clear()
                asked = 0
            buffer.add(number * 33 * MS, jpeg(0))
            if number % 3 == 0 and buffer.observation() is not None:
                asked += 1
                assert not slack_s or buffer.held[0] <= 2 * 1.2 / slack_s + 7
        counts[slack_s] = len(decoded) / asked
    assert counts[0.0] > 2
    assert counts[0.11] == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_frame_that_is_left_out_is_replaced_by_one_at_most_the_slack_older(seed: int) -> None:
    """A camera of 60 Hz stalls at times, and observations are built at odd moments."""
    draw, slack_s = np.random.default_rng(seed), 0.2475
    buffer = FrameBuffer(3.0, 4, slack_s)
    stamps_ns: list[int] = []
    asked = 0
    for _ in range(1500):
        gap_ms = draw.integers(10, 25) if draw.random() > 0.01 else draw.integers(100, 800)
        stamps_ns.append((stamps_ns[-1] if stamps_ns else 0) + int(gap_ms) * MS)
        assert buffer.add(stamps_ns[-1], jpeg(0))
        assert buffer.held[0] <= 2 * 3.0 / slack_s + 4 + 3
        if draw.random() > 0.1:
            continue
        picked = pick_frames(np.array(stamps_ns), stamps_ns[-1], 3.0, 4)
        observation = buffer.observation()
        assert (observation is None) == (not len(picked))
        if observation is not None:
            asked += 1
            late_ns = np.array(stamps_ns)[picked] - observation.stamps_ns
            assert 0 <= late_ns.min() <= late_ns.max() <= slack_s * 1e9
            edges_ns = stamps_ns[-1] - np.arange(4, 0, -1) * 750 * MS
            assert (np.array(observation.stamps_ns) > edges_ns).all()  # each in its own part
            assert observation.stamp_ns == stamps_ns[-1]
    assert asked > 50


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("slack_s", [0.0, 0.2475])
def test_large_frames_are_held_as_small_as_the_model_was_trained_on(slack_s: float, asked: bool) -> None:
    """Raw frames of 30 Hz: the buffer held each message of 3 s, 1.5 GB at 4K."""
    picture = np.random.default_rng(0).integers(0, 256, (216, 384, 3), np.uint8)
    buffer = FrameBuffer(3.0, 4, slack_s, trained_size=(128, 72))
    message = SimpleNamespace(
        encoding="rgb8", height=216, width=384, step=3 * 384, is_bigendian=0, data=picture.tobytes()
    )
    for number in range(200):
        buffer.add(number * 33 * MS, message)
        if asked and number % 6 == 0:
            observation = buffer.observation()
            if observation is not None:
                assert {frame.shape for frame in observation.frames} == {(72, 128, 3)}
                assert observation.image_size == (384, 216)
                np.testing.assert_allclose(observation.on_camera((64.0, 18.0)), (192.0, 54.0))
    frames, held_bytes = buffer.held
    most = 2 * 3.0 / slack_s + 4 + 3 if slack_s else 91
    assert frames <= most
    # The newest is as it came until it is shown or kept.
    assert held_bytes <= (most - 1) * 3 * 128 * 72 + len(message.data)


@pytest.mark.parametrize(
    ("camera", "trained", "shown"),
    [((384, 216), (128, 72), (128, 72)), ((384, 216), (64, 72), (128, 72)), ((384, 216), (0, 0), (384, 216)),
     ((64, 48), (128, 72), (64, 48)), ((128, 72), (128, 72), (128, 72))],
)  # fmt: skip
def test_no_side_becomes_smaller_than_in_training(
    camera: tuple[int, int], trained: tuple[int, int], shown: tuple[int, int]
) -> None:
    buffer = FrameBuffer(1.0, 1, trained_size=trained)
    picture = np.full((*camera[::-1], 3), 99, np.uint8)
    buffer.add(0, SimpleNamespace(format="png", data=cv2.imencode(".png", picture)[1].ravel()))
    observation = buffer.observation()
    assert observation is not None
    assert observation.frames[0].shape == (*shown[::-1], 3)
    assert observation.image_size == camera


def test_a_damaged_frame_is_reported_when_it_is_shown() -> None:
    buffer = FrameBuffer(1.0, 2, 0.1, trained_size=(8, 8))
    for number in range(3):
        buffer.add(number * 500 * MS, SimpleNamespace(format="jpeg", data=1000 * b"x"))
    with pytest.raises(DamagedImage, match="1000 bytes"):
        buffer.observation()


def test_a_frame_that_comes_late_is_ignored() -> None:
    buffer = FrameBuffer(observation_s=1.0, frames=2)
    for number in (0, 5, 10):
        assert buffer.add(number * 100 * MS, jpeg(8 * number))
    assert not buffer.add(1000 * MS, jpeg(200))
    assert not buffer.add(600 * MS, jpeg(200))
    assert levels(buffer) == [40, 80]


def test_a_clock_that_goes_back_begins_anew() -> None:
    buffer = FrameBuffer(observation_s=1.0, frames=2)
    for number in range(100, 120):
        buffer.add(number * 100 * MS, jpeg(8))
    assert buffer.add(0, jpeg(16))
    assert buffer.observation() is None
    assert buffer.newest_ns == 0
    buffer.add(500 * MS, jpeg(24))
    assert levels(buffer) == [16, 24]


def test_frames_whose_stamps_come_again_are_other_frames(small_checkpoint: Path) -> None:
    """A clock is set back, and the next window has just the stamps of the last one that was answered."""
    draw = np.random.default_rng(0)

    def picture() -> SimpleNamespace:
        return SimpleNamespace(format="jpeg", data=encode_jpeg(draw.integers(0, 256, (48, 64, 3), np.uint8)))

    backend, fresh = ModelBackend(small_checkpoint, device="cpu"), ModelBackend(small_checkpoint, device="cpu")
    backend.warm_up()
    buffer = FrameBuffer(observation_s=1.0, frames=2)
    for turn in range(3):
        shown = [picture(), picture()]
        for stamp_ms, message in zip((500, 1000), shown, strict=True):
            assert buffer.add(stamp_ms * MS, message)
        observation = buffer.observation()
        assert observation is not None
        expected = fresh.predict(Observation([to_rgb(message) for message in shown], (2 * turn, 2 * turn + 1)))
        np.testing.assert_allclose(backend.predict(observation).probabilities, expected.probabilities, atol=1e-6)
        buffer.add(2000 * MS, picture())


def test_a_gap_gives_no_observation() -> None:
    buffer = FrameBuffer(observation_s=1.0, frames=2)
    for number in range(20):
        buffer.add(number * 100 * MS, jpeg(8))
    buffer.add(2900 * MS, jpeg(8))  # nothing in (1.9 s, 2.4 s]
    assert buffer.observation() is None


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (SimpleNamespace(format="h264", data=b"123"), UnknownEncoding),
        (SimpleNamespace(format="jpeg", data=b"no picture"), DamagedImage),
        (SimpleNamespace(encoding="32FC1", height=1, width=1, step=4, is_bigendian=0, data=b"1234"), UnknownEncoding),
    ],
)
def test_what_is_no_image_is_named(message: SimpleNamespace, error: type[Exception]) -> None:
    buffer = FrameBuffer(observation_s=1.0, frames=1)
    buffer.add(0, message)
    with pytest.raises(error):
        buffer.observation()


def test_the_predictor_sees_and_answers_as_evaluation_does(small_checkpoint: Path, small_bags: Path) -> None:
    """A bag's messages one by one into the buffer, against the trainer's windows of the same bag: bit for bit."""
    backend = ModelBackend(small_checkpoint, device="cpu")
    metadata = backend.metadata
    settings = load_settings(small_checkpoint / "settings.yaml")
    model, processor = load_vlm(small_checkpoint)
    labels = LabelSet(metadata.labels, metadata.verbs, metadata.object_classes)
    data = prepare([load_recording(small_bags / "s3", settings)], labels, settings, model, processor)
    expected = metrics.probabilities(
        rank_windows(model, data, np.arange(len(data.windows)), "cpu"), metadata.temperature
    )
    assert metadata.other_share is not None
    expected *= 1 - metadata.other_share
    windows = {window.at_ns: row for row, window in enumerate(data.windows)}

    buffer = FrameBuffer(metadata.observation_s, metadata.frames)
    compared = 0
    with open_bag(small_bags / "s3") as bag:
        topic = "/camera/image_raw/compressed"
        for index, stamp_ns in enumerate(bag.read(topic).stamps_ns.tolist()):
            buffer.add(stamp_ns, bag.read(topic).message(index))
            row = windows.get(stamp_ns)
            if row is None:
                continue
            observation = buffer.observation()
            assert observation is not None
            seen, trained = backend.encode(observation), data.encoded(row, "cpu")
            assert seen.inputs.keys() == trained.inputs.keys()
            assert all(torch.equal(seen.inputs[name], trained.inputs[name]) for name in seen.inputs)
            assert torch.equal(seen.visual, trained.visual)
            answer = backend.predict(observation)
            np.testing.assert_allclose(answer.probabilities, expected[row], atol=1e-6)
            assert answer.other_probability == metadata.other_share
            assert answer.time_to_start_s is not None
            assert tuple(answer.time_to_start_s) == metadata.time_to_start_s
            compared += 1
    assert compared == len(data.windows) > 20


def test_the_focus_lies_where_the_disc_is(small_checkpoint: Path, small_bags: Path) -> None:
    """The checkpoint was led to the gazed-at disc; its focus must be near it for most windows of an unseen session."""
    backend = ModelBackend(small_checkpoint, device="cpu")
    session = load_session(small_bags / "s3")
    assert session.gaze is not None
    distances = []
    for index in range(10, len(session.frames), 15):
        pair = [index - 5, index]
        stamps_ns = tuple(session.frames.stamps_ns[pair].tolist())
        answer = backend.predict(Observation([session.frames.rgb(i) for i in pair], stamps_ns))
        assert answer.other_probability is not None
        assert answer.probabilities.sum() + answer.other_probability == pytest.approx(1.0)
        assert answer.attention is not None
        assert answer.attention.shares.sum() == pytest.approx(1.0)
        assert answer.attention.focus == answer.focus
        at = np.searchsorted(session.gaze.stamps_ns, session.frames.stamps_ns[index])
        distances.append(np.hypot(*(np.array(answer.focus) - session.gaze.xy[at])))
    # One visual token is 24 px wide here.
    assert np.median(distances) < 24


def test_a_folder_or_device_that_cannot_be_used_is_named(small_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(NotACheckpoint, match="no such checkpoint folder"):
        open_backend(tmp_path / "absent")
    with pytest.raises(NotACheckpoint, match=r"holds no gaze_vlm\.json"):
        open_backend(tmp_path)
    with pytest.raises(NoSuchDevice, match="device 'nonsense'"):
        open_backend(small_checkpoint, device="nonsense")
    with pytest.raises(NoSuchDevice, match="dtype is 'int8'"):
        open_backend(small_checkpoint, device="cpu", dtype="int8")
    with pytest.raises(UnknownBackend, match="backend is 'oracle', expected one of model, replay, openai"):
        open_backend(small_checkpoint, backend="oracle")


def test_an_open_answer_is_the_label_that_ranks_first(small_checkpoint: Path, small_bags: Path) -> None:
    """The fit taught two texts and no others; what it says unasked is the likelier, and as likely."""
    closed, free = open_backend(small_checkpoint, device="cpu"), open_backend(small_checkpoint, answers="open")
    assert (free.metadata.labels, free.metadata.label_set_id, free.metadata.score_kind) == ((), "", "rank_only")
    session = load_session(small_bags / "s3")
    for index in range(10, 300, 60):
        pair = [index - 5, index]
        stamps_ns = tuple(session.frames.stamps_ns[pair].tolist())
        observation = Observation([session.frames.rgb(i) for i in pair], stamps_ns)
        ranked, said = closed.predict(observation), free.predict(observation)
        assert said.texts == (ranked.texts[ranked.probabilities.argmax()],)
        assert said.probabilities.sum() + said.other_probability == pytest.approx(1.0)
        assert 0.3 < said.probabilities[0] < 1
