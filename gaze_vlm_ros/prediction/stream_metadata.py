"""What a checkpoint of the stream knows beside its labels: words, thresholds, its filter, and its second question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gaze_vlm_ros.labels.answer_words import AnswerWords, now_answers
from gaze_vlm_ros.prediction.belief import BeliefModel
from gaze_vlm_ros.prediction.operating_points import OperatingPoint


@dataclass(frozen=True)
class StreamMetadata:
    """The part `stream` of gaze_vlm.json. Answers are an action and a part of the horizon, or that nothing begins."""

    when_words: tuple[str, ...]  # one for each equal part of the horizon, soonest first
    nothing_words: str
    # The filter of answers over time; None = single answers had the better likelihood on the calibration sessions
    belief: BeliefModel | None = None
    operating_points: tuple[OperatingPoint, ...] = ()  # of the calibration sessions, by target precision
    # Mean of -log P(what came) of the calibration moments, nats: of single answers, and of answers over time
    calibration_losses: Mapping[str, float] = field(default_factory=dict)

    @property
    def words(self) -> AnswerWords:
        """Makes the texts of answers, and reads them."""
        return AnswerWords(self.when_words, self.nothing_words)


@dataclass(frozen=True)
class NowMetadata:
    """The part `now` of gaze_vlm.json: the question what goes on now. Answers are the labels and, last, nothing."""

    question: str
    nothing_words: str
    temperature: float = 1.0  # as CheckpointMetadata.temperature, for this question
    calibrated_on: int = 0  # validation windows that the temperature was fitted to

    def texts(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Return all answers, (A + 1). Raises UnclearWords."""
        return now_answers(labels, self.nothing_words)


def stream_from_json(values: dict[str, Any] | None) -> StreamMetadata | None:
    """Return the metadata that dataclasses.asdict turned into JSON values; None for None."""
    if values is None:
        return None
    belief = values.get("belief")
    return StreamMetadata(
        when_words=tuple(values["when_words"]),
        nothing_words=values["nothing_words"],
        belief=BeliefModel(**{name: _tuples(value) for name, value in belief.items()}) if belief else None,
        operating_points=tuple(OperatingPoint(**point) for point in values.get("operating_points", ())),
        calibration_losses=values.get("calibration_losses", {}),
    )


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
