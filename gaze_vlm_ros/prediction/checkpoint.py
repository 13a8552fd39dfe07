"""Metadata of a checkpoint: gaze_vlm.json, beside the weights in a plain Hugging Face folder.

transformers ignores the file; the predictor reads from it which question to put, which answers are possible and which
frames to show.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.card_check import BadValue, check_values
from gaze_vlm_ros.prediction.stream_metadata import NowMetadata, StreamMetadata, stream_from_json
from gaze_vlm_ros.storage.atomic import write_text

METADATA_NAME = "gaze_vlm.json"
METADATA_FORMAT = 1
LARGEST_BYTES = 64 << 20  # of the file; a hundred thousand labels have some MB
TASKS = ("future", "current")
SCORE_KINDS = ("calibrated", "uncalibrated", "rank_only")


class NotACheckpoint(GazeVlmError):
    """The folder does not exist, or holds no readable gaze_vlm.json."""


class UnknownTarget(GazeVlmError):
    """The checkpoint has no threshold for the requested precision."""


@dataclass(frozen=True)
class CheckpointMetadata:
    """Contents of gaze_vlm.json. Times in seconds, sizes in pixels."""

    question: str  # the prompt of every window, word for word
    labels: tuple[str, ...]  # closed set of answers, in the order of their scores
    verbs: tuple[str, ...]  # one per label; empty text = not given
    object_classes: tuple[str, ...]  # one per label; empty text = not given
    label_set_id: str  # labels.label_set_id(labels)
    task: str  # "future": the action that starts within horizon_s; "current": the action that goes on
    frames: int  # per observation
    observation_s: float  # span of one observation, see frame_selection.pick_frames
    horizon_s: float  # anticipation horizon
    frame_size: tuple[
        int, int
    ]  # (width, height) of the training frames; larger ones are shrunk to it, smaller ones are untested
    base_model: str  # what was fine-tuned: hub name, folder or "tiny:..."
    model_id: str  # "<folder name>@<first 8 digits of revision>"
    revision: str  # SHA-256 of the weight files
    data_hash: str  # hash of the training sessions
    gaze_use: str  # e.g. "training only, real, KL weight 1"; "none" for the language loss only
    score_kind: str  # one of SCORE_KINDS
    temperature: float  # probabilities = softmax(log-likelihood of each complete answer / temperature)
    trained_on: tuple[
        str, ...
    ]  # digests of all sessions used for training or for choosing the model: never test on them
    # Checkpoints of earlier releases lack the fields below.
    gaze_block: bool = (
        False  # the weights include a gaze block (training.model.gaze_block): only evaluate.py reads them
    )
    objective: str = "mean"  # how windows were weighed: all alike, or in words
    # Share of moments in the validation sessions whose right answer is none of the labels; None = not measured.
    other_share: float | None = None
    # (target precision, least probability, share of answers that reach it) on the validation windows, whose right
    # answer is always one of the labels; a probability above 1 = never.
    abstain_thresholds: tuple[tuple[float, float, float], ...] = ()
    time_to_start_s: tuple[float, ...] = ()  # one per label, expected, from the last frame; empty = unknown
    time_to_start_source: str = "none"  # how time_to_start_s was determined
    time_to_start_error_s: float | None = None  # mean absolute error on validation
    calibrated_on: int = 0  # validation windows that the temperature was fitted to
    stream: StreamMetadata | None = None  # of answers that say what and when; None = answers are labels
    # The question what goes on now, which may be nothing: a second question with task future, the first with current.
    # None = it is not asked, or its answers are labels
    now: NowMetadata | None = None
    format: int = METADATA_FORMAT

    @property
    def answers(self) -> tuple[str, ...]:
        """All answers to `question`, in the order in which they are ranked."""
        if self.stream:
            return self.stream.words.texts(self.labels)
        return self.now.texts(self.labels) if self.now and self.task == "current" else self.labels

    @property
    def second_question(self) -> NowMetadata | None:
        """The question what goes on now, where it is asked beside `question`."""
        return self.now if self.task == "future" else None


def read_checkpoint_metadata(folder: Path | str) -> CheckpointMetadata:
    """Read the metadata of the checkpoint in `folder`. Raises NotACheckpoint with one line that says what is wrong."""
    folder = Path(folder)
    path = folder / METADATA_NAME
    if not folder.is_dir():
        raise NotACheckpoint(f"no such checkpoint folder: {folder}; create one with training/fit.py")
    if not path.is_file():
        raise NotACheckpoint(f"{folder} holds no {METADATA_NAME}; give a folder that training/fit.py wrote")
    try:
        if (size := path.stat().st_size) > LARGEST_BYTES:
            raise NotACheckpoint(f"{path} has {size} bytes, expected at most {LARGEST_BYTES}; export it again")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise NotACheckpoint(f"{path} is not readable JSON ({error}); export the checkpoint again") from None
    if not isinstance(values, dict) or values.get("format") != METADATA_FORMAT:
        found = values.get("format") if isinstance(values, dict) else None
        raise NotACheckpoint(
            f"{path} has format {found!r:.40}, expected {METADATA_FORMAT}; use the release that wrote it"
        )
    required = {field.name for field in fields(CheckpointMetadata) if field.default is MISSING}
    if missing := sorted(required - values.keys()):
        raise NotACheckpoint(f"{path} lacks {', '.join(missing)}; export the checkpoint again")
    try:
        check_values(values)
        stream = stream_from_json(values.get("stream"))
        if stream is not None:
            stream.words.texts(values["labels"])
        now = NowMetadata(**values["now"]) if values.get("now") else None
    except BadValue as error:
        raise NotACheckpoint(f"{path}: {error}; export the checkpoint again") from None
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
        raise NotACheckpoint(f"{path}: stream or now is not readable ({error}); export the checkpoint again") from None
    known = {field.name for field in fields(CheckpointMetadata)} - {"stream", "now"}
    return CheckpointMetadata(
        **{name: _tuples(value) for name, value in values.items() if name in known}, stream=stream, now=now
    )


def _tuples(value: Any) -> Any:
    """Turn the lists of JSON into the tuples of the metadata."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def abstain_threshold(metadata: CheckpointMetadata, target_precision: float) -> float:
    """Least probability at which answers reached `target_precision` on validation; above 1 = never.

    Uses the next higher precision of those that were measured. Raises UnknownTarget.
    """
    thresholds = sorted((target, threshold) for target, threshold, _ in metadata.abstain_thresholds)
    if metadata.stream:
        thresholds = sorted((point.target_precision, point.begin) for point in metadata.stream.operating_points)
    reached = [threshold for target, threshold in thresholds if target >= target_precision]
    if not reached:
        known = ", ".join(f"{target:g}" for target, _ in thresholds) or "none"
        raise UnknownTarget(
            f"target precision {target_precision:g}: checkpoint {metadata.model_id} has thresholds for {known}; "
            "choose one of them, or set threshold directly"
        )
    return reached[0]


def with_open_answers(metadata: CheckpointMetadata) -> CheckpointMetadata:
    """Metadata of the same checkpoint where it answers in its own words instead of ranking its labels.

    Everything that was calibrated or measured per label is dropped, for it does not hold for other texts.
    """
    return replace(
        metadata, labels=(), verbs=(), object_classes=(), label_set_id="", score_kind="rank_only", temperature=1.0,
        other_share=None, abstain_thresholds=(), time_to_start_s=(), time_to_start_source="none",
        time_to_start_error_s=None,
        stream=replace(metadata.stream, belief=None, operating_points=()) if metadata.stream else None,
    )  # fmt: skip


def write_checkpoint_metadata(folder: Path, metadata: CheckpointMetadata) -> None:
    """Write `metadata` into the checkpoint folder in one step: a reader never sees half of it."""
    if metadata.task not in TASKS or metadata.score_kind not in SCORE_KINDS:
        raise ValueError(
            f"task {metadata.task!r} must be one of {TASKS}, score_kind {metadata.score_kind!r} of {SCORE_KINDS}"
        )
    if metadata.stream:
        metadata.stream.words.texts(metadata.labels)  # raises where two answers are alike
    if metadata.now:
        metadata.now.texts(metadata.labels)  # likewise
    if not len(metadata.labels) == len(metadata.verbs) == len(metadata.object_classes):
        raise ValueError("labels, verbs and object_classes must have the same length")
    path = folder / METADATA_NAME
    write_text(path, json.dumps(asdict(metadata), indent=2, ensure_ascii=False) + "\n")


def weights_revision(folder: Path) -> str:
    """SHA-256 over the names and bytes of the safetensors files in `folder`: changes only when they do."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
