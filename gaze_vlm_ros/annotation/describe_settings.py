"""Settings of `gaze-vlm label describe`: a flat YAML file, overridden by --set key=value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.package_files import shared_file
from gaze_vlm_ros.storage.settings_file import load_settings_file

DEFAULTS = "config/describe.yaml"
# Settings that do not change a model's answers: they may differ when a run is continued.
NOT_OF_THE_ANSWER = (
    "timeout_s", "attempts", "backoff_s", "parallel", "batch_size", "merge", "nothing", "match", "embedding_model",
    "min_similarity", "answer",
)  # fmt: skip


class BadDescribeSettings(GazeVlmError):
    """The settings of a description cannot be used."""


@dataclass(frozen=True)
class DescribeSettings:
    """Settings of a description. config/describe.yaml explains each and holds the defaults.

    Raises BadDescribeSettings.
    """

    window_s: float
    frames: int
    max_side_px: int
    jpeg_quality: int
    prompt: str
    answer: str
    nothing: tuple[str, ...]
    labels: tuple[str, ...]
    match: str
    embedding_model: str
    min_similarity: float
    merge: bool
    max_tokens: int
    temperature: float
    timeout_s: float
    attempts: int
    backoff_s: float
    parallel: int
    batch_size: int

    def __post_init__(self) -> None:
        for name in ("nothing", "labels"):  # spaces and line breaks within an entry do not count
            object.__setattr__(self, name, tuple(" ".join(entry.split()) for entry in getattr(self, name)))
        for name, allowed in {"answer": ("text", "json"), "match": ("exact", "nearest")}.items():
            if getattr(self, name) not in allowed:
                raise BadDescribeSettings(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}")
        above_zero = "window_s frames max_side_px max_tokens timeout_s attempts parallel batch_size"
        for name in above_zero.split():
            if not getattr(self, name) > 0:
                raise BadDescribeSettings(f"{name} is {getattr(self, name)}, expected more than 0")
        for name in ("backoff_s", "temperature"):
            if not getattr(self, name) >= 0:
                raise BadDescribeSettings(f"{name} is {getattr(self, name)}, expected 0 or more")
        if not 1 <= self.jpeg_quality <= 100:
            raise BadDescribeSettings(f"jpeg_quality is {self.jpeg_quality}, expected 1 to 100")
        if not self.prompt.strip():
            raise BadDescribeSettings("prompt is empty; write the question that the model should answer")
        if "{labels}" in self.prompt and not self.labels:
            raise BadDescribeSettings(
                "the prompt contains {labels}, but labels is empty; list them, or give --labels FILE"
            )

    @property
    def question(self) -> str:
        """The prompt as it is sent: with the labels in place of {labels}."""
        return self.prompt.strip().replace("{labels}", "\n".join(self.labels))


def load_describe_settings(path: Path | None = None, overrides: Sequence[str] = ()) -> DescribeSettings:
    """Return config/describe.yaml with the values of `path` (YAML) and `overrides` (key=value, values in YAML).

    Raises BadDescribeSettings.
    """
    paths = [shared_file(DEFAULTS), *([path] if path is not None else [])]
    return load_settings_file(DescribeSettings, paths, overrides, error=BadDescribeSettings, example=DEFAULTS)
