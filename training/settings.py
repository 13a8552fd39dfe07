"""The settings of a fit: read from a flat YAML file, overridden by --set key=value, saved beside the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gaze_vlm_ros.labels.answer_words import AnswerWords
from gaze_vlm_ros.storage.settings_file import load_settings_file, save_settings_file, settings_from_values
from gaze_vlm_ros.vlm.tiny_sizes import UnknownTinyModel, sizes_from
from gaze_vlm_ros.windows.settings import (
    BadSettings,
    WindowSettings,
    require_above_zero,
    require_not_negative,
    require_share,
)

GAZES = (
    "real",
    "none",
    "shuffled",
    "uniform",
    "centred",
    "predicted",
    "boxes",
    "hand",
    "random_box",
)  # values of setting gaze
_HEAD = re.compile(r"L(\d+)H(\d+)")  # name of a head in kl_heads
SETTINGS_FILE = "settings.yaml"  # written beside the weights, and in each run of an ablation


@dataclass(frozen=True)
class Settings(WindowSettings):
    """Every setting of a fit, with its default. Times are in seconds; shares are from 0 to 1."""

    # The model
    model: str = "tiny:smolvlm"  # hub name, local folder, or tiny:<architecture>
    model_options: dict[str, Any] = field(default_factory=dict)  # keyword arguments of vlm.loading.load_vlm
    # Settings of the model's image processor to change, which decide how many visual tokens a frame has, such as
    # {do_image_splitting: false}; the checkpoint keeps them
    picture_options: dict[str, Any] = field(default_factory=dict)
    device: str = "auto"  # auto (cuda if there is one), cpu, cuda or cuda:N
    dtype: str = "float32"  # activations, frozen weights and checkpoint: float32 or bfloat16
    train: str = "full"  # full, or lora: adapters on the language model, merged into the weights at export
    lora_rank: int = 16
    lora_alpha: float = 32.0
    lora_dropout: float = 0.05
    lora_targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    gradient_checkpointing: bool = False  # recompute activations in the backward pass: less memory, 1/3 more time

    # The question. WindowSettings holds task, horizon, frames and where windows are cut
    question: str = "What will the person do next?"
    # Words of the answers where windows are of the stream (moments_every_s): one for each equal part of the horizon,
    # soonest first, as in "soon take the red mug", and those for "nothing begins". Each must begin with another token
    when_words: tuple[str, ...] = ("immediately", "shortly", "soon", "later")
    nothing_words: str = "nothing yet"
    # With now among tasks: its question, and the answer that no action goes on
    now_question: str = "What is the person doing now?"
    now_nothing_words: str = "nothing"

    # The split: a list of names (glob patterns) of sessions, persons, tasks or scenes, or a share of all, by seed
    split_by: str = "session"  # never divide one of these between parts: session, person, task or scene
    validation: float | tuple[str, ...] = 0.15  # chooses the checkpoint
    # Chooses temperature, filter and thresholds; 0 = the validation sessions, on which they come out too confident,
    # because those chose the weights
    calibration: float | tuple[str, ...] = 0.0
    test: float | tuple[str, ...] = ()  # not used by the fit at all; for evaluate.py
    # File that divides single actions (training/data/action_split.py), to compare with figures by a published split:
    # the fit sees actions of its part train, evaluate.py scores those of its part test; "" = sessions are divided
    split_file: str = ""

    # Gaze targets. WindowSettings says which samples count for a frame
    # real, or a control in its place: none (language loss only), shuffled (another window's), uniform, centred;
    # predicted (from pictures, by a small network of the training sessions, or in gaze_file);
    # from boxes in the bag (training_bag.md): boxes (of the object of the answer), hand, random_box (of any object)
    gaze: str = "real"
    gaze_file: str = ""  # of gaze: predicted, a CSV (session, stamp_ns, x, y, weight; px of the frame); "" = by network
    # attention: supervise it; or, to compare: block (on visual tokens, or on patches before a resampler), head (predict
    # gaze from visual tokens), distilled (learn the answers of a teacher that saw gaze), text (in words), drawn
    gaze_as: str = "attention"
    teacher: str = ""  # of gaze_as: distilled, the folder of a checkpoint, e.g. one with gaze_as: drawn; λ weighs it
    # Take gaze of so much later than each frame, -10 to 1. Above 0: what the person looked at next, which no robot has;
    # it is carried back to the frame. Below 0, a control: gaze of another moment of the session, where it was then
    gaze_shift_s: float = 0.0
    # all samples that count; or, to compare, newest, or fixations: where the tracker does not say when the eye moves,
    # only samples within a fixation by a dispersion threshold (gaze/fixations.py)
    gaze_samples: str = "all"
    gaze_sigma: float = 0.03  # of the Gaussian around a sample, share of the frame's width: tracker error and fovea
    gaze_error: float = 0.0  # standard deviation of an error added to each window's gaze, share of the width
    gaze_flow: bool = True  # carry earlier samples to the frame by optical flow, and drop those that it loses

    # The regularizer
    kl_weight: float = 1.0  # λ; useful values span about one decade, so sweep it for a new model
    # Above 0: λ is set once, in place of kl_weight, so that the norm of its gradient is this many times that of the
    # language loss's on the first batches, as the preflight measures them (gradient norms, as in Chen et al. 2018)
    kl_ratio: float = 0.0
    kl_schedule: str = "falling"  # falling (linearly to 0 at kl_until) or constant
    kl_until: float = 0.5  # share of all steps after which a falling λ is 0
    kl_warmup: float = 0.0  # share of all steps in which λ rises to its schedule; 0 = no warm-up
    kl_layers: tuple[int, ...] = ()  # decoder layers whose attention is supervised; none = the middle third
    kl_direction: str = "forward"  # forward: KL(gaze ‖ attention), attention must cover gaze; reverse: the opposite
    # Heads to supervise: mean (the mean of all heads), each (every head by itself), or the mean of some: a list of
    # heads, counted from 0, of each layer, or of names such as L14H3; or located, those kl_located heads of all layers
    # (or kl_layers) that attend most to where gaze is, as measured before the first step (Kang et al. 2025,
    # arXiv 2503.06287: few heads of a pretrained model ground what it says)
    kl_heads: str | tuple[int | str, ...] = "mean"
    kl_located: int = 4
    # Above 0: visual tokens to which attention is this many times an even share or more, whatever the picture shows,
    # are attention sinks (Kang et al. 2025, arXiv 2503.03321), and the KL leaves them out, as measured before the first
    # step
    kl_sinks: float = 0.0
    kl_rows: str = "answer"  # rows to supervise: answer (all rows that predict the answer) or first (only its first)
    kl_windows: str = "all"  # windows to supervise: all, or action (those within whose horizon an action begins)
    kl_per_frame: bool = False  # average one KL per frame, instead of one KL over all frames of the window

    # The objective: mean (all windows alike), or, against shortcuts, group_dro (groups that are answered badly weigh
    # more) or jtt (two fits: windows that the first gets wrong weigh more in the second)
    objective: str = "mean"
    groups: str = "scene"  # of group_dro: session, person, task, scene, answer, or a CSV file (session, from_ns, group)
    group_rate: float = 0.01  # of group_dro: a group's weight grows by exp(rate x its loss) with each step
    jtt_share: float = 0.3  # of jtt: steps of the first fit, as a share of steps, which are those of the second
    jtt_weight: float = 5.0  # of jtt: how many times as much a window counts that the first fit gets wrong

    # The optimizer
    windows: int = 0  # train on this many of the windows, drawn by seed; 0 = all
    # Share of the windows to train on at which nothing begins that is used, drawn by seed. The loss takes account of it
    # (logit adjustment), so that probabilities are those of the whole stream
    nothing_share: float = 1.0
    steps: int = 600
    batch_size: int = 16  # windows per forward pass and process
    accumulate: int = 1  # forward passes per step; equal to one pass with all their windows
    balance: str = "none"  # none: use each window equally often; classes: use each answer equally often
    learning_rate: float = 1e-3
    minimum_rate: float = 0.05  # end of the cosine schedule, share of learning_rate
    warmup: float = 0.05  # share of all steps in which the learning rate rises
    weight_decay: float = 0.01  # only on matrices
    gradient_clip: float = 1.0  # largest gradient norm
    seed: int = 0
    check_every: int = 50  # steps between checks on the validation sessions
    keep: str = "best"  # weights to export: best (validation loss) or last
    loader_workers: int = 0  # processes that read batches ahead, per process; use 2 to 4 with a GPU

    def __post_init__(self) -> None:
        super().__post_init__()
        choices = {
            "train": ("full", "lora"),
            "split_by": ("session", "person", "task", "scene"),
            "gaze": GAZES,
            "gaze_as": ("attention", "block", "head", "distilled", "text", "drawn"),
            "objective": ("mean", "group_dro", "jtt"),
            "gaze_samples": ("all", "newest", "fixations"),
            "kl_direction": ("forward", "reverse"),
            "kl_rows": ("answer", "first"),
            "kl_windows": ("all", "action"),
            "kl_schedule": ("falling", "constant"),
            "keep": ("best", "last"),
            "balance": ("none", "classes"),
            "dtype": ("float32", "bfloat16"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise BadSettings(f"setting {name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}")
        self._check_heads()
        above_zero = "gaze_sigma steps batch_size accumulate learning_rate gradient_clip check_every lora_rank kl_until"
        require_above_zero(self, [*above_zero.split(), "group_rate", "jtt_share", "jtt_weight", "kl_located"])
        require_not_negative(
            self,
            [
                "kl_weight",
                "kl_ratio",
                "kl_sinks",
                "weight_decay",
                "gaze_error",
                "windows",
                "loader_workers",
                "seed",
                "lora_alpha",
            ],
        )
        require_share(self, ["kl_until", "kl_warmup", "warmup", "minimum_rate", "lora_dropout"])
        if self.model.startswith("tiny:"):
            try:
                sizes_from(self.model_options)
            except UnknownTinyModel as error:
                raise BadSettings(f"setting model_options of {self.model}: {error}") from None
        if not 0 < self.nothing_share <= 1:
            raise BadSettings(f"setting nothing_share is {self.nothing_share}, expected a share above 0 to 1")
        if self.is_stream and self.balance != "none":
            raise BadSettings(
                f"setting balance is {self.balance!r}, expected none with moments_every_s, which keeps the "
                "shares of the stream; nothing_share may thin the windows at which nothing begins"
            )
        if self.gaze_file and self.gaze != "predicted":
            raise BadSettings(f"setting gaze is {self.gaze!r}, expected 'predicted' where gaze_file is given")
        if not -10 <= self.gaze_shift_s <= 1:
            raise BadSettings(f"setting gaze_shift_s is {self.gaze_shift_s}, expected -10 to 1")
        if self.kl_ratio and (self.gaze == "none" or self.gaze_as in ("text", "drawn") or not self.kl_weight):
            raise BadSettings(
                f"setting kl_ratio is {self.kl_ratio}, and there is no regularizer whose gradient could be measured "
                f"(gaze: {self.gaze}, gaze_as: {self.gaze_as}, kl_weight: {self.kl_weight:g}); leave it out"
            )
        if bool(self.teacher) != (self.gaze_as == "distilled"):
            raise BadSettings(f"setting teacher is {self.teacher!r}, and gaze_as is {self.gaze_as!r}; set both or none")
        if self.gaze_as in ("text", "drawn", "distilled") and self.gaze != "real":
            raise BadSettings(f"setting gaze is {self.gaze!r}, expected 'real' where gaze_as is {self.gaze_as!r}")
        if self.split_file and self.is_stream:
            raise BadSettings(
                f"setting split_file is {self.split_file!r}, expected none with moments_every_s: it divides actions, "
                "and a moment of the stream may have none"
            )
        if self.asks_now and (self.gaze == "boxes" or self.gaze_as == "distilled"):
            raise BadSettings(
                f"setting tasks is {list(self.tasks)}, and gaze: boxes and gaze_as: distilled know only what is next; "
                "set tasks to [next]"
            )
        if self.asks_now and not self.asks_next and (self.nothing_share < 1 or self.leads_s):
            raise BadSettings(
                "settings nothing_share and leads_s choose windows by what is next; with tasks: [now] set "
                "nothing_share to 1 and leads_s to []"
            )
        for name in ("validation", "calibration", "test"):
            share = getattr(self, name)
            if isinstance(share, float) and not 0 <= share < 1:
                raise BadSettings(f"setting {name} is {share}, expected a share from 0 to below 1, or a list of names")

    def _check_heads(self) -> None:
        """Raise BadSettings for heads that cannot be, and for what needs the decoder's attention and has none."""
        heads = self.kl_heads
        if isinstance(heads, str):
            if heads not in ("mean", "each", "located"):
                raise BadSettings(f"setting kl_heads is {heads!r}, expected mean, each, located, or a list of heads")
        else:
            counted = [head for head in heads if isinstance(head, int)]
            if not heads or min(counted, default=0) < 0 or len(counted) not in (0, len(heads)):
                raise BadSettings(
                    f"setting kl_heads is {list(heads)}, expected one head or more, all counted from 0 or all named "
                    "as in L14H3"
                )
            if unclear := [head for head in heads if isinstance(head, str) and not _HEAD.fullmatch(head)]:
                raise BadSettings(f"setting kl_heads is {list(heads)}, expected names such as L14H3, not {unclear[0]}")
            if self.named_heads and self.kl_layers:
                raise BadSettings(
                    f"setting kl_layers is {list(self.kl_layers)}, expected none where kl_heads names heads of layers"
                )
        for name, asked in (("kl_heads", heads == "located"), ("kl_sinks", self.kl_sinks > 0)):
            if asked and self.gaze_as != "attention":
                raise BadSettings(
                    f"setting {name} is {getattr(self, name)!r}, which measures the decoder's attention, and "
                    f"gaze_as is {self.gaze_as!r}; use gaze_as: attention"
                )

    @property
    def named_heads(self) -> dict[int, tuple[int, ...]]:
        """Heads that kl_heads names, by layer; none where it names no layers."""
        found: dict[int, tuple[int, ...]] = {}
        for name in () if isinstance(self.kl_heads, str) else self.kl_heads:
            if isinstance(name, str) and (parts := _HEAD.fullmatch(name)):
                layer, head = map(int, parts.groups())
                found[layer] = (*found.get(layer, ()), head)
        return found

    @property
    def answer_words(self) -> AnswerWords | None:
        """Words of what begins next in the stream; None where that is not asked. Raises UnclearWords."""
        return AnswerWords(self.when_words, self.nothing_words) if self.is_stream and self.asks_next else None

    def kl_weight_at(self, step: int) -> float:
        """Return λ at `step`, counted from 0."""
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
