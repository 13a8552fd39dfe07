"""What a model believes at all moments of some sessions, beside what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from tqdm import tqdm

from gaze_vlm_ros.labels.answer_words import NOTHING, AnswerWords
from gaze_vlm_ros.labels.label_set import LabelSet
from gaze_vlm_ros.prediction.believed_stream import BelievedStream
from gaze_vlm_ros.prediction.operating_points import OperatingPoint
from gaze_vlm_ros.prediction.stream_starts import given_answers
from gaze_vlm_ros.vlm.batch_ranking import BatchRanker
from training.data.dataset import Dataset
from training.data.recordings import Recording

Floats = NDArray[np.float64]


def rank_stream(model: Any, data: Dataset, rows: NDArray[np.int64], device: str, batch_size: int) -> Floats:
    """Return (len(rows), answers) log-likelihoods of the complete answers, nats, `batch_size` windows at a time."""
    model.eval()
    ranker = BatchRanker(model, data.answer_tokens)
    ranked = []
    with tqdm(total=len(rows), desc="moments", unit="moment", mininterval=0.5, leave=False) as bar:
        for start in range(0, len(rows), batch_size):
            chosen = rows[start : start + batch_size]
            singles = _Singles(data, chosen, device)
            ranked.append(ranker.rank(data.questions(chosen, device), singles))
            bar.update(len(chosen))
    return np.concatenate(ranked)


class _Singles(Sequence[Any]):
    """The windows of a batch, each encoded when it is needed."""

    def __init__(self, data: Dataset, rows: NDArray[np.int64], device: str) -> None:
        self._data, self._rows, self._device = data, rows, device

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        return self._data.encoded(int(self._rows[place]), self._device)


def believed_stream(
    data: Dataset, rows: NDArray[np.int64], log_likelihoods: Floats, temperature: float
) -> BelievedStream:
    """Return the beliefs of single answers at the windows `rows`, which are those of whole sessions in their order."""
    stream = data.stream
    assert stream is not None
    table, nothing = stream.words.table(softmax(log_likelihoods / temperature, axis=1))
    session = np.array([data.windows[row].session for row in rows], np.int64)
    at_ns = np.array([data.windows[row].at_ns for row in rows], np.int64)
    origins_ns = np.array([recording.labels.starts_ns[0] for recording in data.sessions], np.int64)
    begun = [
        (number, (start_ns - origins_ns[number]) / 1e9, action)
        for number, recording in enumerate(data.sessions)
        for start_ns, action in begun_actions(recording, data.labels)
    ]
    truth = stream.only(rows)
    return BelievedStream(
        session=session,
        stamps_s=(at_ns - origins_ns[session]) / 1e9,
        table=table,
        nothing=nothing,
        action=truth.actions,
        to_start_s=truth.to_start_s,
        known_s=truth.known_s,
        horizon_s=stream.horizon_s,
        begun_session=np.array([number for number, _, _ in begun], np.int64),
        begun_s=np.array([start_s for _, start_s, _ in begun]),
        begun_action=np.array([action for _, _, action in begun], np.int64),
        persons=tuple(recording.person or recording.name for recording in data.sessions),
    )


def begun_actions(recording: Recording, labels: LabelSet) -> list[tuple[int, int]]:
    """Return (stamp, ns; row in the label set) of each action that begins; NOTHING as a row = not in the set."""
    track = recording.labels
    return [
        (int(start_ns), labels.row(text) if labels.row(text) >= 0 else NOTHING)
        for start_ns, text in zip(track.starts_ns, track.texts, strict=True)
        if text
    ]


def timelines(
    stream: BelievedStream, point: OperatingPoint, labels: Sequence[str], sessions: Sequence[str]
) -> list[dict[str, Any]]:
    """Return, for each session, what the person did, what was believed, and what was said at an operating point.

    Times in seconds from the session's first label. labels, sessions: their names.
    """
    given = given_answers(stream, np.array([point.begin]), np.array([point.keep]))[:, 0]
    begins = stream.begins
    best = begins.argmax(axis=1)
    found = []
    for number, name in enumerate(sessions):
        rows = np.flatnonzero(stream.session == number)
        begun = np.flatnonzero(stream.begun_session == number)
        found.append(
            {
                "session": name,
                "begun": [
                    [round(float(stream.begun_s[row]), 3), _name(labels, stream.begun_action[row])] for row in begun
                ],
                "at_s": stream.stamps_s[rows].round(3).tolist(),
                "best": [labels[action] for action in best[rows]],
                "probability": begins[rows, best[rows]].round(4).tolist(),
                "nothing": stream.nothing[rows].round(4).tolist(),
                "said": [_name(labels, action) for action in given[rows]],
            }
        )
    return found


def _name(labels: Sequence[str], action: int) -> str:
    return labels[action] if action != NOTHING else ""


def of_actions(log_likelihoods: Floats, words: AnswerWords, temperature: float) -> Floats:
    """Return (N, A) log-likelihoods of the actions, whenever they begin, from those of (N, K A + 1) answers.

    At the same temperature they give the probabilities of the actions, given that one begins.
    """
    parts = log_likelihoods[:, :-1].reshape(len(log_likelihoods), words.parts, -1)
    return np.asarray(temperature * logsumexp(parts / temperature, axis=1))
