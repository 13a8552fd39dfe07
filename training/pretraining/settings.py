"""The settings of a base model: its architecture, what it is asked, and how long it trains."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.settings_file import load_settings_file

_LAYOUT = 3  # version of pictures, questions and training; raise it where the same settings give other weights


class BadPretraining(GazeVlmError):
    """The settings of a base model cannot be used."""


@dataclass(frozen=True)
class Stage:
    """Some steps with observations of one length. Begin with one frame: it is cheap, and binding is learned there."""

    frames: int  # per observation
    steps: int
    batch_size: int  # observations per step
    # Simulated benches to draw, in turn. Begin with the first, whose things stand farther apart
    benches: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class PretrainSettings:
    """Every setting of a base model, with its default. The same settings give the same weights on one machine."""

    model: str = "tiny:smolvlm"  # tiny:<architecture>; its weights are drawn with the seed
    model_options: dict[str, int] = field(default_factory=dict)  # sizes of the tiny model, see vlm.tiny_sizes
    stages: tuple[Stage, ...] = (Stage(1, 3000, 32), Stage(3, 1000, 16))
    frame_step_s: float = 0.4  # between the frames of an observation, as in config/fit_demo.yaml
    questions: int = 4  # per observation, about its last frame
    width: int = 192  # px of a drawn picture; its height is three quarters of it
    locating_weight: float = 3.0  # of the loss of locating things and fingertips on visual tokens
    attention_weight: float = 1.0  # of the loss that draws answers' attention to their thing; falls to 0 at
    attention_until: float = 0.6  # this share of all steps
    learning_rate: float = 2e-3
    minimum_rate: float = 0.05  # end of the cosine schedule, share of learning_rate
    warmup_steps: int = 100
    weight_decay: float = 0.01  # only on matrices
    gradient_clip: float = 1.0  # largest gradient norm
    check_every: int = 250  # steps between checks on held-out pictures
    check_pictures: int = 256  # held-out observations of a check
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.model.startswith("tiny:"):
            raise BadPretraining(
                f"setting model is {self.model!r}, expected tiny:<architecture>; other models come pretrained"
            )
        if not self.stages:
            raise BadPretraining("setting stages is empty, expected one stage or more: frames, steps, batch_size")
        for stage in self.stages:
            if not stage.benches or not set(stage.benches) <= {1, 2}:
                raise BadPretraining(f"setting stages holds {stage}, expected benches 1, 2 or both")
            if min(stage.frames, stage.steps, stage.batch_size) <= 0:
                raise BadPretraining(f"setting stages holds {stage}, expected numbers above 0")
        for name in ("frame_step_s", "questions", "width", "learning_rate", "check_every", "check_pictures"):
            if getattr(self, name) <= 0:
                raise BadPretraining(f"setting {name} is {getattr(self, name)}, expected a number above 0")

    @property
    def steps(self) -> int:
        """Number of steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def key(self) -> str:
        """Name of the folder of these settings in a cache: 16 hex digits that change with every setting."""
        text = json.dumps([_LAYOUT, dataclasses.asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_pretrain_settings(path: Path | None, overrides: Sequence[str] = ()) -> PretrainSettings:
    """Return settings from a YAML file (None = defaults) with `key=value` overrides, values in YAML.

    stages is a list of mappings. Raises BadPretraining.
    """
    paths = [] if path is None else [path]
    return load_settings_file(
        PretrainSettings, paths, overrides, error=BadPretraining, example="config/pretrain_workbench.yaml"
    )
