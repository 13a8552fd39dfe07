"""All settings of one fit: a flat YAML file, overridden by --set key=value, saved beside the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gaze_vlm_ros.storage.settings_file import load_settings_file, save_settings_file, settings_from_values
from gaze_vlm_ros.windows.settings import BadSettings, WindowSettings, require_above_zero, require_not_negative

SETTINGS_FILE = "settings.yaml"  # written beside the weights, and in each run of an ablation


@dataclass(frozen=True)
class Settings(WindowSettings):
    """Every choice of a fit. Times in seconds; shares are 0 to 1."""

    # The model
    model: str = "tiny:smolvlm"  # hub name, local folder, or tiny:<architecture>
    model_options: dict[str, Any] = field(default_factory=dict)  # passed on to vlm.loading.load_vlm
    device: str = "auto"  # auto = cuda where there is one
    dtype: str = "float32"  # of activations, frozen weights and the checkpoint; bfloat16 on a GPU that has it
    train: str = "full"  # full, or lora: adapters on the language model, merged into plain weights at export
    lora_rank: int = 16
    lora_alpha: float = 32.0
    lora_dropout: float = 0.05
    lora_targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    gradient_checkpointing: bool = False  # recompute activations in the backward pass: less memory, a third more time

    # What is asked (task, horizon, frames and where windows are cut: WindowSettings)
    question: str = "What will the person do next?"

    # Which sessions are for what: names, persons, tasks or scenes as glob patterns, or a share of all, drawn by seed
    split_by: str = "session"  # what is never divided between training and the rest: session, person, task or scene
    validation: float | tuple[str, ...] = 0.15  # chooses the checkpoint and its calibration
    test: float | tuple[str, ...] = ()  # left out of this fit altogether; for evaluate.py

    # Gaze targets (which samples count for a frame: WindowSettings)
    gaze: str = "real"  # or a control: none (language loss alone), shuffled (another window's), uniform, centred
    gaze_as: str = "attention"  # what gaze does in training: lead attention, or, to compare: block, text, drawn
    gaze_samples: str = "all"  # of those that count: all, or, to compare, the newest of them alone
    gaze_sigma: float = 0.03  # of the Gaussian around a sample, as a share of the frame's width: error and fovea
    gaze_error: float = 0.0  # added to a window's gaze, drawn for each: standard deviation as a share of the width
    gaze_flow: bool = True  # carry earlier samples to the frame by optical flow, and drop those that flow loses

    # The regularizer
    kl_weight: float = 1.0  # λ; useful values span about one decade, so sweep it for a new model
    kl_schedule: str = "falling"  # falling: linearly to 0 at kl_until; constant
    kl_until: float = 0.5  # share of all steps after which a falling λ is 0
    kl_warmup: float = 0.0  # share of all steps in which λ rises to its schedule; 0 = at once, there from the first
    kl_layers: tuple[int, ...] = ()  # decoder layers whose attention is led; none given = the middle third

    kl_direction: str = "forward"  # KL(gaze ‖ attention): attention must be wherever gaze was; reverse: the other way
    # mean: the average of all heads must look there; each: every head must; numbers: the average of these heads of
    # each led layer, counted from 0
    kl_heads: str | tuple[int, ...] = "mean"
    kl_rows: str = "answer"  # whose attention is led: all rows that predict the answer, or the first of them
    kl_per_frame: bool = False  # one KL for each frame, averaged, instead of one over all frames of the window

    # The optimizer
    windows: int = 0  # train on so many of the windows, drawn by seed; 0 = all
    steps: int = 600
    batch_size: int = 16  # windows per forward pass, of each process
    accumulate: int = 1  # forward passes per step; the result is that of one batch as large as all of them
    balance: str = "none"  # none: every window equally often; classes: every answer, so rare ones come again sooner
    learning_rate: float = 1e-3
    minimum_rate: float = 0.05  # where the cosine ends, as a share of learning_rate
    warmup: float = 0.05  # share of all steps in which the rate rises
    weight_decay: float = 0.01  # on matrices only
    gradient_clip: float = 1.0  # norm
    seed: int = 0
    check_every: int = 50  # steps between checks on the validation sessions
    keep: str = "best"  # best validation loss, or last
    loader_workers: int = 0  # processes that read windows ahead of the model, each; 2 to 4 beside a GPU

    def __post_init__(self) -> None:
        super().__post_init__()
        choices = {
            "train": ("full", "lora"),
            "split_by": ("session", "person", "task", "scene"),
            "gaze": ("real", "none", "shuffled", "uniform", "centred"),
            "gaze_as": ("attention", "block", "text", "drawn"),
            "gaze_samples": ("all", "newest"),
            "kl_direction": ("forward", "reverse"),
            "kl_rows": ("answer", "first"),
            "kl_schedule": ("falling", "constant"),
            "keep": ("best", "last"),
            "balance": ("none", "classes"),
            "dtype": ("float32", "bfloat16"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise BadSettings(f"setting {name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}")
        if isinstance(self.kl_heads, str) and self.kl_heads not in ("mean", "each"):
            raise BadSettings(f"setting kl_heads is {self.kl_heads!r}, expected mean, each, or a list of heads")
        if not isinstance(self.kl_heads, str) and (not self.kl_heads or min(self.kl_heads) < 0):
            raise BadSettings(f"setting kl_heads is {list(self.kl_heads)}, expected one head or more, counted from 0")
        above_zero = "gaze_sigma steps batch_size accumulate learning_rate gradient_clip check_every lora_rank kl_until"
        require_above_zero(self, above_zero.split())
        at_least_zero = "kl_weight kl_warmup weight_decay warmup minimum_rate gaze_error windows loader_workers"
        require_not_negative(self, at_least_zero.split())
        if self.gaze_as in ("text", "drawn") and self.gaze != "real":
            raise BadSettings(f"setting gaze is {self.gaze!r}, expected 'real' where gaze_as is {self.gaze_as!r}")
        for name in ("validation", "test"):
            share = getattr(self, name)
            if isinstance(share, float) and not 0 <= share < 1:
                raise BadSettings(f"setting {name} is {share}, expected a share from 0 to below 1, or a list of names")

    def kl_weight_at(self, step: int) -> float:
        """λ at `step` (0 is the first)."""
        if self.gaze == "none" or self.gaze_as in ("text", "drawn"):
            return 0.0
        weight = self.kl_weight * min(1.0, (step + 1) / max(1.0, self.kl_warmup * self.steps))
        if self.kl_schedule == "constant":
            return weight
        return weight * max(0.0, 1.0 - step / (self.kl_until * self.steps))


def load_settings(path: Path | None, overrides: Sequence[str] = ()) -> Settings:
    """Return settings from a YAML file (None = defaults) with `key=value` overrides, values in YAML.

    Raises BadSettings for an unreadable file, an unknown key, a value of the wrong type or out of its range.
    """
    paths = [] if path is None else [path]
    return load_settings_file(Settings, paths, overrides, error=BadSettings, example="config/fit_demo.yaml")


def settings_from(values: Mapping[str, Any], source: str) -> Settings:
    """Return settings from plain values, each checked against its field's type. Raises BadSettings, naming `source`."""
    return settings_from_values(Settings, values, source, error=BadSettings)


def save_settings(settings: Settings, path: Path) -> None:
    """Write all settings, defaults included, as YAML that load_settings reads back to an equal object."""
    save_settings_file(settings, path)
