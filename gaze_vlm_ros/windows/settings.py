"""Settings that define a window: its question, frames, answer and gaze. training/settings.py adds those of a fit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gaze_vlm_ros.bags.role_options import GAZE_COORDINATES, Roles
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.settings_file import read_settings_mapping, settings_from_values


class BadSettings(GazeVlmError):
    """A settings file or an override cannot be used."""


PROTOCOLS = ("own", "epic-kitchens")
TASKS = ("next", "now")

# Settings of a fit that do not change its windows. A fit's YAML file may hold them too: `bag check --config` accepts
# these names and refuses all others. test/windows compares them with training/settings.py.
OTHER_FIT_SETTINGS = frozenset(
    (
        "model", "model_options", "picture_options", "device", "dtype", "train", "lora_rank", "lora_alpha",
        "lora_dropout", "lora_targets", "gradient_checkpointing", "question", "split_by", "validation", "calibration",
        "test", "split_file", "gaze", "gaze_as", "teacher", "gaze_file", "gaze_shift_s", "gaze_samples", "gaze_sigma",
        "gaze_error", "gaze_flow", "kl_weight", "kl_ratio", "kl_schedule", "kl_until", "kl_warmup", "kl_layers",
        "kl_direction", "kl_heads", "kl_located", "kl_sinks", "kl_rows", "kl_per_frame", "objective", "groups",
        "group_rate", "jtt_share", "jtt_weight", "when_words", "nothing_words", "nothing_share", "now_question",
        "now_nothing_words", "kl_windows", "windows", "steps",
        "batch_size", "accumulate", "balance", "learning_rate", "minimum_rate", "warmup", "weight_decay",
        "gradient_clip", "seed", "check_every", "keep", "loader_workers",
    )
)  # fmt: skip


@dataclass(frozen=True)
class WindowSettings:
    """What one window shows, where windows are cut, and which gaze counts. Times in seconds."""

    # What a window shows, and which action is its answer
    task: str = "future"  # future: the action that starts within the horizon; current: the action that goes on
    # Tasks that one model of the stream is trained for, each with a question of its own: next (what begins within the
    # horizon, and when) and now (what goes on, or nothing); none = next
    tasks: tuple[str, ...] = ()
    horizon_s: float = 2.0  # the action starts at most this long after the last frame
    observation_s: float = 3.0  # before the last frame
    frames: int = 4  # per observation, evenly spread

    # Where windows are cut. The stream: moments over the whole labelled span; the answer may be that nothing begins
    moments_every_s: float = 0.0  # distance of the moments, e.g. 0.2 = as often as the predictor is queried; 0 = none
    moments_jitter: float = 0.5  # each moves by up to half this share of that distance, drawn by the first stamp
    # Without the stream, only moments before which an action begins:
    stride_s: float = 0.0  # one window every so many seconds; 0 = none on a stride
    # and one this long before each action starts (task: future); with the stream, more windows to train on. Leads that
    # are observation_s / frames apart, as here, show the same frames, and each frame is converted once
    leads_s: tuple[float, ...] = (0.25, 1.0, 1.75)

    # own: as said above, the answer is the first action after the last frame. epic-kitchens: EPIC-KITCHENS-100's, one
    # window 1 s before each action, which is the answer even where another one starts in between
    protocol: str = "own"

    # Which gaze counts for a frame
    gaze_window_s: float = 0.2  # samples at most this long before the frame
    gaze_min_confidence: float = 0.6  # samples below it do not count; samples without a confidence do

    # Bags of other recorders, or with several cameras; "" = as the bag says, or the only topic that fits
    camera_topic: str = ""
    gaze_topic: str = ""
    gaze_coordinates: str = ""  # what points on the gaze topic mean, e.g. normalized_top_left

    def __post_init__(self) -> None:
        if self.task not in ("future", "current"):
            raise BadSettings(f"setting task is {self.task!r}, expected one of future, current")
        if not set(self.tasks) <= set(TASKS) or len(set(self.tasks)) < len(self.tasks):
            raise BadSettings(f"setting tasks is {list(self.tasks)}, expected one or both of {', '.join(TASKS)}")
        if self.tasks and self.task != "future":
            raise BadSettings(f"setting tasks is {list(self.tasks)}, and task is {self.task!r}; leave out one of them")
        if self.asks_now and not self.is_stream:
            raise BadSettings(
                f"setting tasks is {list(self.tasks)}, which needs windows of the stream: set moments_every_s, e.g. to "
                "0.2; for labels without nothing, leave tasks out and set task: current"
            )
        if self.protocol == "epic-kitchens" and not self.asks_next:
            raise BadSettings("setting protocol is epic-kitchens, which needs next among tasks")
        if self.gaze_coordinates not in ("", *GAZE_COORDINATES):
            raise BadSettings(
                f"setting gaze_coordinates is {self.gaze_coordinates!r}, expected one of {', '.join(GAZE_COORDINATES)}"
            )
        if self.protocol not in PROTOCOLS:
            raise BadSettings(f"setting protocol is {self.protocol!r}, expected one of {', '.join(PROTOCOLS)}")
        if self.protocol == "epic-kitchens" and self.task != "future":
            raise BadSettings("setting protocol is epic-kitchens, which needs task: future")
        require_above_zero(self, ["horizon_s", "observation_s", "frames", "gaze_window_s"])
        require_not_negative(self, ["stride_s"])
        require_share(self, ["gaze_min_confidence"])
        if self.task == "future" and any(not 0 < lead <= self.horizon_s for lead in self.leads_s):
            raise BadSettings(f"setting leads_s is {list(self.leads_s)}, expected above 0 to {self.horizon_s}")
        require_not_negative(self, ["moments_every_s"])
        if not 0 <= self.moments_jitter <= 1:
            raise BadSettings(f"setting moments_jitter is {self.moments_jitter}, expected a share from 0 to 1")
        if self.is_stream:
            if self.task != "future":
                raise BadSettings(f"setting moments_every_s is {self.moments_every_s}, expected 0 for task {self.task}")
            if self.stride_s:
                raise BadSettings("settings stride_s and moments_every_s both cut windows; set stride_s to 0")
            return
        if not self.stride_s and (self.task == "current" or not self.leads_s):
            raise BadSettings("setting stride_s is 0 and nothing else says where to cut windows; set it, e.g. to 0.5")

    @property
    def is_stream(self) -> bool:
        """Whether windows are cut at all moments of a session, so that the answer may be that nothing begins."""
        return self.moments_every_s > 0

    @property
    def asks_next(self) -> bool:
        """Whether the model is asked what begins next."""
        return "next" in self.tasks if self.tasks else self.task == "future"

    @property
    def asks_now(self) -> bool:
        """Whether the model is asked what goes on at each moment of the stream, which may be nothing."""
        return "now" in self.tasks

    @property
    def roles(self) -> Roles:
        """Which topics of a bag are camera and gaze."""
        return Roles(self.camera_topic, self.gaze_topic, self.gaze_coordinates)

    @property
    def part_s(self) -> float:
        """Length of each part of an observation, s. Each must hold a frame (video.frame_selection.pick_frames)."""
        return self.observation_s / self.frames


def require_above_zero(settings: WindowSettings, names: Iterable[str]) -> None:
    """Raise BadSettings unless each of these numbers is finite and above 0."""
    for name in names:
        if not 0 < getattr(settings, name) < math.inf:
            raise BadSettings(f"setting {name} is {getattr(settings, name)}, expected a number above 0")


def require_not_negative(settings: WindowSettings, names: Iterable[str]) -> None:
    """Raise BadSettings unless each of these numbers is finite, and 0 or more."""
    for name in names:
        if not 0 <= getattr(settings, name) < math.inf:
            raise BadSettings(f"setting {name} is {getattr(settings, name)}, expected 0 or more")


def require_share(settings: WindowSettings, names: Iterable[str]) -> None:
    """Raise BadSettings unless each of these numbers is from 0 to 1."""
    for name in names:
        if not 0 <= getattr(settings, name) <= 1:
            raise BadSettings(f"setting {name} is {getattr(settings, name)}, expected a share from 0 to 1")


def load_window_settings(path: Path | None) -> WindowSettings:
    """Return the window settings in a fit's YAML file; the defaults for None.

    The file may hold any setting of a fit. Values of the others are not checked here: the fit checks them.
    Raises BadSettings for an unreadable file, a name that no fit has, and a value of the wrong type or out of range.
    """
    if path is None:
        return WindowSettings()
    values = read_settings_mapping(path, error=BadSettings, example="config/fit_demo.yaml")
    own = {field.name for field in dataclasses.fields(WindowSettings)}
    if unknown := sorted(str(name) for name in values.keys() - own - OTHER_FIT_SETTINGS):
        known = ", ".join(sorted(own | OTHER_FIT_SETTINGS))
        raise BadSettings(f"{path}: unknown setting {', '.join(unknown)}; known are {known}")
    return settings_from_values(
        WindowSettings, {name: value for name, value in values.items() if name in own}, str(path), error=BadSettings
    )
