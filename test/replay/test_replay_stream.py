"""A checkpoint of the stream played through the node, against the same classes called one after another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="the node needs rclpy")

from gaze_vlm_ros.cli import main
from gaze_vlm_ros.prediction.answers_over_time import AnswersOverTime, chosen_point
from gaze_vlm_ros.prediction.backends.factory import open_backend
from gaze_vlm_ros.prediction.frame_buffer import FrameBuffer
from gaze_vlm_ros.prediction.published import read_published
from gaze_vlm_ros.prediction.stream_scores import score_stream
from gaze_vlm_ros.replay.stream import published_stream
from gaze_vlm_ros.session.session import load_session


def test_the_node_publishes_what_backend_and_filter_give(
    small_stream_checkpoint: Path, small_bags: Path, tmp_path: Path
) -> None:
    bag, out = small_bags / "s3", tmp_path / "replay"
    arguments = [str(bag), "--checkpoint", str(small_stream_checkpoint), "--out", str(out), "--record"]
    assert main(["replay", *arguments]) == 0
    published, session = read_published(out / "messages"), load_session(bag)

    backend = open_backend(small_stream_checkpoint)
    metadata = backend.metadata
    assert metadata.stream is not None
    over_time = AnswersOverTime(metadata.stream, metadata.horizon_s, chosen_point(metadata.stream, 0.0, 0.0))
    frames = FrameBuffer(metadata.observation_s, metadata.frames, 0.33 * metadata.observation_s / metadata.frames)
    said = {moment.stamp_ns: belief for moment, belief in zip(published.moments, published.beliefs, strict=True)}
    compared = 0
    for index, stamp_ns in enumerate(session.frames.stamps_ns.tolist()):
        frames.add(stamp_ns, session.frames.message(index))
        belief = said.get(stamp_ns)
        if belief is not None:
            observation = frames.observation()
            assert observation is not None
            answer = backend.predict(observation)
            assert answer.table is not None
            assert answer.nothing_probability is not None
            found = over_time.update(stamp_ns, answer.table, answer.nothing_probability).belief
            assert found is not None
            np.testing.assert_allclose(belief.table, found.table, atol=1e-5)
            assert belief.nothing == pytest.approx(found.nothing, abs=1e-5)
            compared += 1
    assert compared > 100

    stream = published_stream(published, session)
    assert stream is not None
    scores = json.loads((out / "scores.json").read_text())["stream"]
    assert scores == json.loads(json.dumps(score_stream(stream)))
    assert scores["moments"] > 100
    assert scores["negative_log_likelihood"] < 1.56  # how often each answer is right
