"""Cards and servers' replies that anybody may have written: one typed error, or what can be used and published."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.answers_over_time import AnswersOverTime, chosen_point
from gaze_vlm_ros.prediction.backends.openai_server import NoServerAnswer, ServerBackend
from gaze_vlm_ros.prediction.checkpoint import METADATA_NAME, NotACheckpoint, read_checkpoint_metadata
from gaze_vlm_ros.vlm.bounded_requests import BoundedRequests, Reply

INPUTS, SOAK_INPUTS = 300, round(20_000 * float(os.environ.get("SOAK_SCALE", "1")))
COUNTS = [INPUTS, pytest.param(SOAK_INPUTS, marks=pytest.mark.soak)]
RELEASED = Path(__file__).resolve().parents[1] / "released" / "checkpoint"
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1, 10**400, 2**63, -(2**70), 1e308, math.nan, math.inf, -math.inf, "", "x", "\ud800", "\x1b[2J",
    "a" * 10**5, [], {}, [[]], {"": None}, [math.nan], [[0, 0, 0]], ["\udfff"], [1] * 1000,
)  # fmt: skip


def changed(value: Any, rng: random.Random) -> Any:
    """Return the JSON value with one place in it replaced, removed or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        rest = {k: v for k, v in value.items() if k != key}
        return rest if rng.random() < 0.1 else rest | {key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        middle = rng.choice([[], [value[place]] * 2, [changed(value[place], rng)], [changed(value[place], rng)]])
        return [*value[:place], *middle, *value[place + 1 :]]
    return rng.choice(ODD)


@pytest.mark.parametrize("count", COUNTS)
def test_odd_cards_are_one_line_or_can_be_used(count: int, small_stream_checkpoint: Path, tmp_path: Path) -> None:
    rng = random.Random(1)
    refused = longest = 0
    for number in range(count):
        source = RELEASED if number % 2 else small_stream_checkpoint
        card = json.loads((source / METADATA_NAME).read_text())
        for _ in range(rng.choice((1, 1, 3))):
            card = changed(card, rng)
        (tmp_path / METADATA_NAME).write_text(json.dumps(card))
        try:
            metadata = read_checkpoint_metadata(tmp_path)
        except GazeVlmError as error:
            refused += 1
            longest = max(longest, len(str(error)))
            continue
        assert 0 < metadata.horizon_s < math.inf
        assert metadata.frames > 0
        json.dumps(metadata.labels, ensure_ascii=False).encode()
        if metadata.stream is not None and metadata.labels:
            with contextlib.suppress(GazeVlmError):
                point = chosen_point(metadata.stream, 0.0, 0.0)
                over_time = AnswersOverTime(metadata.stream, metadata.horizon_s, point)
                shape = (len(metadata.labels), metadata.stream.words.parts)
                smoothed = over_time.update(10**18, np.full(shape, 0.5 / (shape[0] * shape[1])), 0.5)
                assert np.isfinite(smoothed.probabilities).all()
    assert refused > count / 2
    assert longest < 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": -2}, "frames is -2, expected a number from 1 to 1000"),
        ({"horizon_s": math.nan}, "horizon_s is nan, expected more than 0"),
        ({"observation_s": 1e9}, "observation_s is 1000000000.0, expected more than 0 and at most 3600 s"),
        ({"labels": ["a", "a"]}, "labels has one label twice"),
        ({"labels": ["\ud800"]}, "labels is "),
        ({"verbs": ["one"]}, "verbs has 1 entries, expected one for each of 2 labels"),
        ({"temperature": 0}, "temperature is 0"),
        ({"stream": 7}, "stream is 7, expected an object"),
        ({"now": {"question": 7}}, "now.question is 7, expected a text"),
    ],
)
def test_a_value_that_cannot_be_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    card = json.loads((RELEASED / METADATA_NAME).read_text()) | change
    (tmp_path / METADATA_NAME).write_text(json.dumps(card))
    with pytest.raises(NotACheckpoint) as caught:
        read_checkpoint_metadata(tmp_path)
    assert message in str(caught.value)


def test_json_of_any_depth_is_one_line(tmp_path: Path) -> None:
    (tmp_path / METADATA_NAME).write_text("[" * 10**5)
    with pytest.raises(NotACheckpoint, match="not readable JSON"):
        read_checkpoint_metadata(tmp_path)


def completion() -> dict[str, Any]:
    steps = [
        {"token": token, "logprob": -0.1, "top_logprobs": [{"token": "x", "logprob": -9.0}]}
        for token in ("take", " the", " blue", " disc")
    ]
    message = {"role": "assistant", "content": "take the blue disc"}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": steps}}
    return {"model": "m", "usage": {"total_tokens": 7}, "choices": [choice]}


@pytest.mark.parametrize("answers", ["closed", "open"])
@pytest.mark.parametrize("count", COUNTS)
def test_odd_replies_are_no_answer_or_one_that_can_be_published(
    count: int, answers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(2)
    backend = ServerBackend(RELEASED, "http://127.0.0.1:1/v1", answers=answers)
    replies: list[bytes] = [json.dumps(completion()).encode()]
    monkeypatch.setattr(BoundedRequests, "post", lambda _, url, body: Reply(200, {}, replies[-1]))
    seen: Any = SimpleNamespace(frames=[np.zeros((64, 96, 3), np.uint8)] * 2, stamp_ns=0)
    assert backend.predict(seen).probabilities[0] > 0.5
    refused = longest = 0
    for _ in range(count):
        said = completion()
        for _ in range(rng.choice((1, 1, 3))):
            said = changed(said, rng)
        data = json.dumps(said).encode()
        replies[:] = [data if rng.random() < 0.9 else data[: rng.randrange(len(data) + 1)] + rng.randbytes(3)]
        try:
            answer = backend.predict(seen)
        except NoServerAnswer as error:
            refused += 1
            longest = max(longest, len(str(error).encode()))
            continue
        assert np.isfinite(answer.probabilities).all()
        assert 0 <= answer.probabilities.sum() <= 1 + 1e-9
        for text in answer.texts:
            text.encode()
    assert refused > count / 5
    assert longest < 1000
