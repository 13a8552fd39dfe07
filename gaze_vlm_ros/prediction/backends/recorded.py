"""Backend "replay": recorded answers in place of a model, to wire up a planner before there is a GPU.

Only the stamps of frames matter; torch is not needed.
"""

from __future__ import annotations

import bisect
import itertools
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.stamps import duration_s, nanoseconds
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.label_set import label_set_id
from gaze_vlm_ros.prediction.checkpoint import SCORE_KINDS, TASKS, CheckpointMetadata
from gaze_vlm_ros.prediction.published import is_only_current
from gaze_vlm_ros.prediction.types import WITH_CANDIDATES, Answer, NoAnswer, NowAnswer, Observation

PREDICTION, MODEL_INFO = "gaze_vlm_msgs/msg/ActionPrediction", "gaze_vlm_msgs/msg/ModelInfo"
# Keys of the first line of a file, each with its default.
DEFAULTS: dict[str, Any] = {
    "model_id": "replay",
    "labels": [],  # empty = the texts of all candidates, sorted
    "task": "future",
    "frames": 1,  # a test of a planner should not wait for several frames
    "observation_s": 1.0,
    "horizon_s": 2.0,  # as in the training recipes
    "score_kind": "uncalibrated",
}


class NoAnswers(GazeVlmError):
    """The path holds no recorded answers, or some that cannot be read."""


@dataclass(frozen=True)
class RecordedAnswer:
    """One recorded answer."""

    t_s: float  # from the first frame of the recording to the last frame of this answer
    candidates: tuple[dict[str, Any], ...]  # text, probability; if known verb, object_class, time_to_start_s
    inference_s: float = 0.0
    focus: tuple[float, float] | None = None  # px
    nothing_probability: float | None = None  # that nothing begins within the horizon; None = not estimated
    now: tuple[dict[str, Any], ...] | None = None  # what goes on now: text, probability; None = not estimated
    now_nothing_probability: float = 0.0  # that no action goes on


def read_answers(path: Path | str) -> tuple[dict[str, Any], list[RecordedAnswer]]:
    """Read the recording's own description (the keys of DEFAULTS) and its answers in the order of their times.

    path: a bag with a topic of ActionPrediction, or a file of JSON lines (docs/predictor.md).
    Raises NoAnswers, and what open_bag raises.
    """
    path = Path(path)
    is_bag = path.is_dir() or path.suffix == ".mcap"
    head, answers = _from_bag(path) if is_bag else _from_lines(path)
    if not answers:
        raise NoAnswers(f"{path} holds no answers: none of its predictions has candidates")
    return DEFAULTS | head, sorted(answers, key=lambda answer: answer.t_s)


def write_answers(path: Path, head: dict[str, Any], answers: list[RecordedAnswer]) -> None:
    """Write a text file that read_answers reads. Raises NoAnswers where `path` exists or cannot be written."""
    lines: list[dict[str, Any]] = [head]
    for answer in answers:
        line = {"t_s": answer.t_s, "candidates": list(answer.candidates), "inference_s": answer.inference_s}
        line |= {"focus": list(answer.focus)} if answer.focus else {}
        if answer.nothing_probability is not None:
            line["nothing_probability"] = round(answer.nothing_probability, 6)
        if answer.now is not None:
            nothing = round(answer.now_nothing_probability, 6)
            line["now"] = {"candidates": list(answer.now), "nothing_probability": nothing}
        lines.append(line)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    except FileExistsError:
        raise NoAnswers(f"{path} exists already and is not overwritten; give another name") from None
    except OSError as error:
        raise NoAnswers(f"{path} cannot be written: {error.strerror}") from None


class RecordedBackend:
    """Answers a frame with the answer recorded at the same time after the first frame, or the last one before that."""

    def __init__(self, path: Path | str, loop: bool = True, delay: bool = True) -> None:
        """Read all answers from a bag or file. Raises NoAnswers.

        loop: start again when the last answer is older than the horizon; otherwise there is no answer from then on.
        delay: take as long for each answer as the model did.
        """
        head, self._answers = read_answers(path)
        self._times_s = [answer.t_s for answer in self._answers]
        self._loop, self._delay = loop, delay
        self._origin_ns: int | None = None  # the first frame
        self._newest_ns = 0
        every = [candidate for answer in self._answers for candidate in (*answer.candidates, *(answer.now or ()))]
        labels = tuple(head["labels"] or sorted({candidate["text"] for candidate in every}))
        if unknown := sorted({candidate["text"] for candidate in every} - set(labels)):
            raise NoAnswers(f"{path}: candidates that are not among its labels: {', '.join(unknown[:3])}")
        found = [{c["text"]: c[key] for c in every if c.get(key)} for key in ("verb", "object_class")]
        verbs, objects = (tuple(known.get(label, "") for label in labels) for known in found)
        self._metadata = CheckpointMetadata(
            question="",
            labels=labels,
            verbs=verbs,
            object_classes=objects,
            label_set_id=label_set_id(labels),
            task=head["task"],
            frames=head["frames"],
            observation_s=head["observation_s"],
            horizon_s=head["horizon_s"],
            frame_size=(0, 0),
            base_model="recorded answers",
            model_id=head["model_id"],
            revision="",
            data_hash="",
            gaze_use="none",
            score_kind=head["score_kind"],
            temperature=1.0,
            trained_on=(),
        )

    @property
    def metadata(self) -> CheckpointMetadata:
        """Metadata taken from the recording."""
        return self._metadata

    def warm_up(self) -> None:
        """Do nothing: the first query takes no longer than others."""

    def predict(self, observation: Observation) -> Answer:
        """Return the recorded answer. Raises NoAnswer before the first one and, without loop, after the last one."""
        began = time.perf_counter()
        if self._origin_ns is None or observation.stamp_ns < self._newest_ns:  # a bag that was started again
            self._origin_ns = observation.start_ns
        self._newest_ns = observation.stamp_ns
        at_s = (observation.stamp_ns - self._origin_ns) / 1e9
        end_s = self._times_s[-1] + self._metadata.horizon_s
        if at_s >= end_s and not self._loop:
            raise NoAnswer(f"the recorded answers ended {at_s - end_s:.1f} s ago")
        row = bisect.bisect_right(self._times_s, at_s % end_s) - 1
        if row < 0:
            raise NoAnswer(f"the first recorded answer is {self._times_s[0] - at_s % end_s:.1f} s ahead")
        recorded = self._answers[row]
        probabilities, starts_s = np.zeros(len(self._metadata.labels)), np.full(len(self._metadata.labels), math.nan)
        for candidate in recorded.candidates:
            label = self._metadata.labels.index(candidate["text"])
            probabilities[label] = candidate["probability"]
            starts_s[label] = candidate.get("time_to_start_s", math.nan)
        now = None
        if recorded.now is not None:
            shares = np.zeros(len(self._metadata.labels))
            for candidate in recorded.now:
                shares[self._metadata.labels.index(candidate["text"])] = candidate["probability"]
            nothing = recorded.now_nothing_probability
            now = NowAnswer(self._metadata.labels, shares, nothing, max(0.0, 1.0 - float(shares.sum()) - nothing))
        if self._delay:
            time.sleep(max(0.0, recorded.inference_s - (time.perf_counter() - began)))
        return Answer(
            self._metadata.labels,
            probabilities,
            self._metadata.score_kind,
            other_probability=max(0.0, 1.0 - float(probabilities.sum()) - (recorded.nothing_probability or 0.0)),
            nothing_probability=recorded.nothing_probability,
            time_to_start_s=starts_s,
            focus=recorded.focus or (math.nan, math.nan),
            now=now,
            stages={"replay": time.perf_counter() - began},
        )

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


def _from_bag(path: Path) -> tuple[dict[str, Any], list[RecordedAnswer]]:
    with open_bag(path) as bag:
        streams = bag.streams_of(PREDICTION)
        if len(streams) != 1:
            found = " and ".join(stream.topic for stream in streams) or "none"
            raise NoAnswers(f"{path} has topics of {PREDICTION}: {found}; expected one, such as /next_action")
        answers: dict[int, Any] = {}  # by stamp: a heartbeat repeats the same answer
        for message in streams[0].messages():
            if message.status in WITH_CANDIDATES and message.candidates:
                answers.setdefault(nanoseconds(message.header.stamp), message)
        if not answers:
            return {}, []
        first = next(iter(answers.values()))
        head = {
            "model_id": first.model_id,
            "horizon_s": duration_s(first.horizon),
            "score_kind": SCORE_KINDS[first.score_kind],
            "task": "current" if any(map(is_only_current, answers.values())) else "future",
        }
        for models in bag.streams_of(MODEL_INFO):
            info = models.message(0)
            head |= {
                "labels": list(info.labels),
                "frames": int(info.frames),
                "observation_s": duration_s(info.observation),
            }
    origin_ns = min(nanoseconds(message.observation_start) for message in answers.values())
    return head, [
        RecordedAnswer(
            (stamp_ns - origin_ns) / 1e9,
            tuple(map(_candidate, message.candidates)),
            duration_s(message.inference_time),
            (float(message.focus_x), float(message.focus_y)) if math.isfinite(message.focus_x) else None,
            _nothing(message),
            *_now(message),
        )
        for stamp_ns, message in answers.items()
    ]


def _nothing(message: Any) -> float | None:
    """Return nothing_probability, which messages of earlier releases lack."""
    found = float(getattr(message, "nothing_probability", math.nan))
    return round(found, 6) if math.isfinite(found) else None


def _now(message: Any) -> tuple[tuple[dict[str, Any], ...] | None, float]:
    """Return candidates of what goes on now, and P(nothing), which only messages with a second question have."""
    candidates = tuple(map(_candidate, getattr(message, "current_candidates", ())))
    return (candidates, round(float(message.current_nothing_probability), 6)) if candidates else (None, 0.0)


def _candidate(message: Any) -> dict[str, Any]:
    found = {"text": message.text, "probability": round(float(message.probability), 6)}
    found |= {key: value for key in ("verb", "object_class") if (value := getattr(message, key))}
    starts_s = duration_s(message.time_to_start)
    return found | ({"time_to_start_s": starts_s} if starts_s >= 0 else {})


def _from_lines(path: Path) -> tuple[dict[str, Any], list[RecordedAnswer]]:
    head: dict[str, Any] = {}
    answers = []
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        try:
            values = json.loads(line)
        except ValueError as error:
            raise NoAnswers(f"{where} is not JSON ({error})") from None
        if not isinstance(values, dict):
            raise NoAnswers(f"{where} is no JSON object, expected {{...}}")
        if "t_s" in values:
            answers.append(_answer(values, where))
        elif number == 1:
            head = _head(values, where)
        else:
            raise NoAnswers(f"{where} lacks t_s, the seconds from the first frame")
    return head, answers


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise NoAnswers(f"no recorded answers in {path}: {why}; give a bag, or a file of JSON lines") from None
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _head(values: dict[str, Any], where: str) -> dict[str, Any]:
    if unknown := sorted(values.keys() - DEFAULTS.keys()):
        raise NoAnswers(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(DEFAULTS)}")
    for key, allowed in {"task": TASKS, "score_kind": SCORE_KINDS}.items():
        if values.get(key, allowed[0]) not in allowed:
            raise NoAnswers(f"{where}: {key} is {values[key]!r}, expected one of {', '.join(allowed)}")
    for key in ("frames", "observation_s", "horizon_s"):
        kind = int if key == "frames" else (int, float)
        value = values.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, kind) or not value > 0:
            raise NoAnswers(f"{where}: {key} is {value!r}, expected a number above 0")
    labels = values.get("labels", [])
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        raise NoAnswers(f"{where}: labels is {labels!r}, expected a list of texts")
    if not isinstance(values.get("model_id", ""), str):
        raise NoAnswers(f"{where}: model_id is {values['model_id']!r}, expected a text")
    return values


def _answer(values: dict[str, Any], where: str) -> RecordedAnswer:
    try:
        candidates = tuple(
            {**candidate, "text": str(candidate["text"]), "probability": float(candidate["probability"])}
            for candidate in values["candidates"]
        )
        focus, now = values.get("focus"), values.get("now")
        of_now = now and tuple(
            {**candidate, "text": str(candidate["text"]), "probability": float(candidate["probability"])}
            for candidate in now["candidates"]
        )
        answer = RecordedAnswer(
            float(values["t_s"]),
            candidates,
            float(values.get("inference_s", 0.0)),
            (float(focus[0]), float(focus[1])) if focus else None,
            None if values.get("nothing_probability") is None else float(values["nothing_probability"]),
            of_now,
            float(now.get("nothing_probability", 0.0)) if now else 0.0,
        )
        later_s = [float(candidate.get("time_to_start_s", 0.0)) for candidate in candidates]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise NoAnswers(
            f'{where} is no answer ({type(error).__name__}: {error}); expected {{"t_s": 1.5, "candidates": '
            '[{"text": "take the red mug", "probability": 0.8}]}'
        ) from None
    shares = [candidate["probability"] for candidate in candidates] + [answer.nothing_probability or 0.0]
    now_shares = [candidate["probability"] for candidate in answer.now or ()] + [answer.now_nothing_probability]
    numbers = itertools.chain([answer.t_s, answer.inference_s], shares, now_shares, later_s)
    are_numbers = all(math.isfinite(n) and n >= 0 for n in numbers)
    if not candidates or not are_numbers or max(sum(shares), sum(now_shares)) > 1.0001:
        raise NoAnswers(
            f"{where}: expected candidates, times of 0 s or more, and probabilities with a sum of at most 1"
        )
    return answer
