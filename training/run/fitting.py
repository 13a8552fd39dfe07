"""A fit from bags to a checkpoint: convert, check, train, export."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.labels.label_set import LabelSet, collect_labels
from gaze_vlm_ros.prediction.answers_over_time import chosen_point, point_text
from gaze_vlm_ros.storage.lock import only_one
from gaze_vlm_ros.vlm.attention_tap import enable_tap, require_tap
from gaze_vlm_ros.vlm.image_processors import set_picture_options
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.observation import encode, note_visual_tokens, open_thinking
from gaze_vlm_ros.vlm.prompt import read_prompt
from gaze_vlm_ros.vlm.token_boxes import tokens_have_places
from gaze_vlm_ros.windows.cutting import NoWindows
from training.data.action_split import part_of_split
from training.data.dataset import Dataset
from training.data.gaze_prompt import questions
from training.data.gaze_targets import prior_target, shuffled_rows
from training.data.preparation import needs_gaze, prepare
from training.data.recordings import Mapper, Recording, data_hash, find_bags, load_recordings
from training.data.split import Split, split_sessions
from training.data.workers import bag_mapper
from training.model.distributed import CannotShare, is_sharded, join_processes, leave_processes
from training.model.gaze_block import add_gaze_block
from training.model.gaze_head import add_gaze_head, remove_gaze_head, require_states
from training.model.out_of_memory import report_out_of_memory
from training.model.supervision import supervised_heads, supervised_layers
from training.model.trainable import adapted_names, make_trainable, plain_model, weights_dtype
from training.run.attention_survey import keep_survey, kept_survey, survey_attention, survey_text, surveyed
from training.run.batch_sampler import chosen_rows, thinned_rows
from training.run.data_notes import notes_on_data
from training.run.export import export_checkpoint
from training.run.export_trial import try_export
from training.run.first_fit import first_fit
from training.run.job import Job, Parts
from training.run.loop import train
from training.run.metrics_log import require_tensorboard
from training.run.objective import error_weights, group_weights
from training.run.optimizer import make_optimizer
from training.run.preflight import require_disk, run_preflight, weight_for_ratio
from training.run.run_folder import STATE, check_output, kept_weight, report_full_disk, write_data
from training.run.saved_state import read_state, set_weights
from training.run.teacher import read_teacher, teacher_shares
from training.settings import SETTINGS_FILE, Settings, save_settings

ADAPTER = "adapter"  # folder for only the low-rank adapters, as peft loads them
INTERRUPTED = 130  # exit code after Ctrl-C


@dataclass(frozen=True)
class FitRequest:
    """Input, output and manner of a fit; its settings come on top."""

    bags: Sequence[str | Path]  # bag folders, .mcap files, folders of bags, or globs
    out: Path  # folder to make
    cache: Path | None = None  # folder of prepared windows; None = a temporary one
    workers: int = 1  # processes that convert bags
    ray_address: str | None = None  # Ray cluster that converts bags; None = this machine
    prepare_only: bool = False  # convert the bags into `cache` and stop
    resume: bool = False  # go on with the interrupted fit in `out`
    tensorboard: bool = False  # write the figures for TensorBoard too


@dataclass(frozen=True)
class _Sources:
    """The recordings of a fit, divided."""

    recordings: Sequence[Recording]
    split: Split
    labels: LabelSet  # those that the training sessions have

    @property
    def training(self) -> list[Recording]:
        return [self.recordings[index] for index in self.split.training]

    @property
    def used(self) -> list[Recording]:
        """Training sessions, then validation and calibration sessions."""
        held_out = self.split.validation + self.split.calibration
        return self.training + [self.recordings[index] for index in held_out]


def fit(settings: Settings, request: FitRequest) -> int:
    """Fit a model to bags and write the checkpoint; return 0, or INTERRUPTED after Ctrl-C with the state saved.

    Under torchrun or `accelerate launch`, every process calls this. Raises a GazeVlmError for whatever cannot work, as
    early as it is known.
    """
    if request.prepare_only and request.cache is None:
        raise CannotShare("--prepare-only keeps the prepared windows: give --cache, the folder for them")
    check_output(request.out, settings, request.resume)
    with contextlib.ExitStack() as stack:
        if not (request.prepare_only or int(os.environ.get("RANK", 0))):  # the main process has the folder for all
            stack.enter_context(only_one(request.out, "a fit"))
            check_output(request.out, settings, request.resume)  # again: another fit may have ended in between
        return _checked_fit(settings, request)


def _checked_fit(settings: Settings, request: FitRequest) -> int:
    if request.tensorboard:
        require_tensorboard()
    accelerator, device = join_processes(settings)
    if settings.objective == "jtt" and is_sharded(accelerator):
        raise CannotShare("objective: jtt fits twice, which FSDP does not do here; use torchrun (DDP) or one process")
    if accelerator.num_processes > 1 and request.cache is None:
        raise CannotShare("several processes share the prepared windows: give --cache, a folder that all of them see")
    try:
        with report_out_of_memory(settings, device), report_full_disk(request.out):
            return _fit(settings, request, accelerator, device)
    finally:
        leave_processes(accelerator)


def _fit(settings: Settings, request: FitRequest, accelerator: Accelerator, device: str) -> int:
    with bag_mapper(request.workers, request.ray_address) as mapper:
        sources = _read_sources(settings, request, mapper)
        if settings.gaze_as == "distilled":
            read_teacher(settings, sources.labels.texts)
        model, processor = _load_model(settings, sources.labels, device)
        _require_supervision(model, processor, settings)
        with accelerator.main_process_first():  # the main process converts, the others read
            data = prepare(
                sources.used, sources.labels, settings, model, processor, request.cache, needs_gaze(settings), mapper,
                sources.training, report=print if accelerator.is_main_process else None,
            )  # fmt: skip
            taught = None
            if settings.gaze_as == "distilled" and not request.prepare_only:
                taught = teacher_shares(settings, data, sources.training, device, request.cache, mapper)
    if request.prepare_only:
        print(f"{len(data.windows)} windows are prepared in {request.cache}", flush=True)
        return 0
    job = _make_job(settings, sources, data, accelerator, device, taught)
    notes = notes_on_data(data, job.parts, sources.split, sources.recordings, settings)
    if tag := open_thinking(processor):
        notes.append(
            f"the chat template opens a thinking block ({tag}) before each reply: answers are trained inside it"
        )

    trained = _make_trainable(model, settings, accelerator, data)
    if settings.train == "lora":
        adapted, absent = adapted_names(model, settings)
        if absent:
            notes.append(
                f"adapters are only on {', '.join(adapted)}: no layer of {settings.model}'s language model is called "
                f"{', '.join(absent)}; see lora_targets"
            )
    weights = _trained_weights(model)
    require_disk(request.out, model, weights)
    state = None
    if request.resume and (request.out / STATE).is_file():
        state = read_state(request.out, sources.used, job.data_hash, accelerator)
    say = print if accelerator.is_main_process else _say_nothing
    calibrating = f", {len(job.parts.calibration)} to calibrate on" if sources.split.calibration else ""
    say(
        f"{len(job.parts.training)} windows to train on ({data.has_gaze[job.parts.training].mean():.0%} with gaze), "
        f"{len(job.parts.validation)} to choose by{calibrating}; {len(sources.labels.texts)} answers, "
        f"{data.gaze.shape[1]} visual tokens, {sum(weight.numel() for weight in weights.values()):,} weights",
        flush=True,
    )
    for note in notes:
        say(f"note: {note}", flush=True)

    # A sharded model fits a device only once accelerate has distributed it. Any other model takes the preflight first:
    # DistributedDataParallel must know which weights have no gradient.
    whole_model = model
    optimizer = make_optimizer(weights, settings)
    if is_sharded(accelerator):
        model, optimizer = accelerator.prepare(model, optimizer)
        weights = _trained_weights(model)
    first_step = state["step"] if state else 0
    found = kept_survey(request.out) if state else None
    if found is None:
        surveys = [survey_attention(model, job)]
        broadcast_object_list(surveys)
        found = surveys[0]
    job = surveyed(job, found)
    if text := survey_text(found, data.gaze.shape[1]):
        say(text, flush=True)
    preflight = run_preflight(model, weights, job, first_step)
    say(preflight.text(settings.steps - first_step), flush=True)
    if not is_sharded(accelerator):
        if accelerator.is_main_process:
            try_export(whole_model, processor, job)
        for name in preflight.without_gradient:
            weights.pop(name).requires_grad_(False)
        model, optimizer = accelerator.prepare(model, make_optimizer(weights, settings))
    if accelerator.is_main_process:
        request.out.mkdir(parents=True, exist_ok=True)
        save_settings(settings, request.out / SETTINGS_FILE)
    if found and accelerator.is_main_process:
        keep_survey(request.out, found)
    if state is None and accelerator.is_main_process:
        write_data(request.out, data, sources.split, sources.recordings, notes)
    if settings.kl_ratio:
        # All processes measure the same batches; the main one keeps the result for a fit that is resumed.
        measured = weight_for_ratio(preflight, settings)
        weight = [kept_weight(request.out, measured) if accelerator.is_main_process else 0.0]
        broadcast_object_list(weight)
        say(f"λ is {weight[0]:.3g}: kl_ratio {settings.kl_ratio:g} on the first batches", flush=True)
        job = replace(job, settings=replace(job.settings, kl_weight=weight[0]))
    accelerator.wait_for_everyone()

    if settings.objective == "jtt":
        wrong = first_fit(model, weights, job, request.out)
        if wrong is None:
            say("fit.py: interrupted, state saved; the same command with --resume goes on", file=sys.stderr)
            return INTERRUPTED
        say(f"the first fit gets {len(wrong)} of {len(job.parts.training)} windows to train on wrong", flush=True)
        job = replace(job, objective=error_weights(data, job.parts.training, wrong, settings))
    chosen = train(model, weights, optimizer, job, request.out, state, request.tensorboard)
    if chosen is None:
        say("fit.py: interrupted, state saved; the same command with --resume goes on", file=sys.stderr)
        return INTERRUPTED
    leave_processes(accelerator)  # the main process exports without the others, however long that takes
    if not accelerator.is_main_process:
        return 0
    if is_sharded(accelerator):
        whole_model, processor = _load_model(settings, sources.labels, device)
        trained = _make_trainable(whole_model, settings, accelerator, data)
    set_weights(_trained_weights(whole_model), chosen)
    remove_gaze_head(whole_model)
    _export(request.out, trained, processor, job, sources.used, len(sources.split.training))
    megabytes = (request.out / STATE).stat().st_size / 1e6
    print(f"{STATE} ({megabytes:.0f} MB) lets --resume with more steps lengthen this fit; nothing else reads it")
    print(f"checkpoint: {request.out}", flush=True)
    return 0


def _read_sources(settings: Settings, request: FitRequest, mapper: Mapper) -> _Sources:
    """Read what the bags hold, divide the sessions, and collect the labels of those to train on."""
    recordings = load_recordings(find_bags(request.bags), settings, mapper)
    recordings, leak = part_of_split(recordings, settings.split_file, "train")
    if leak:
        print(f"warning: {leak}", file=sys.stderr, flush=True)
    split = split_sessions(recordings, settings)
    labels = collect_labels(
        row
        for track in (recordings[index].labels for index in split.training)
        for row in zip(track.texts, track.verbs, track.object_classes, strict=True)
    )
    return _Sources(recordings, split, labels)


def _load_model(settings: Settings, labels: LabelSet, device: str) -> tuple[Any, Any]:
    words, now = settings.answer_words, [settings.now_nothing_words] if settings.asks_now else []
    model, processor = load_vlm(
        settings.model,
        device=device,
        dtype=weights_dtype(settings),
        texts=[*questions(settings), *(words.texts(labels.texts) if words else labels.texts), *now],
        seed=settings.seed,
        **settings.model_options,
    )
    if settings.picture_options:
        set_picture_options(processor, settings.picture_options)
        note_visual_tokens(model, processor)
    enable_tap(model)
    return model, processor


def _require_supervision(model: Any, processor: Any, settings: Settings) -> None:
    """Raise unless answers can be ranked and the regularizer can read the model's attention.

    Raises KeepsNothing, CannotTap, NoSuchLayer, NoSuchHead, NoPlaceForHead.
    """
    read_prompt(model, encode(processor, [np.full((224, 224, 3), 128, np.uint8)], "?"))
    if settings.gaze_as == "block" and not tokens_have_places(model, processor):
        return  # only the block's attention, on the vision tower's patches, is read
    require_tap(model, processor, supervised_layers(model, settings))
    supervised_heads(model, settings)
    if settings.gaze_as == "head":
        require_states(model)


def _make_job(
    settings: Settings,
    sources: _Sources,
    data: Dataset,
    accelerator: Accelerator,
    device: str,
    taught: NDArray[np.float32] | None,
) -> Job:
    """Choose the rows of each part, and the gaze that each window gets. Raises NoWindows."""
    sessions, choosing = len(sources.split.training), len(sources.split.training) + len(sources.split.validation)
    of_stream = np.array([window.of_stream for window in data.windows])
    training, validation = data.rows_of(range(sessions)), data.rows_of(range(sessions, choosing))
    calibration = data.rows_of(range(choosing, len(data.sessions))) if sources.split.calibration else validation
    used, adjustment, now_weights = training, None, None
    if data.stream:
        thin = (data.stream.actions == NOTHING) & ~data.stream.censored
        used = thinned_rows(training, thin, settings)
        adjustment = data.stream.adjustment(used, training[of_stream[training]])
        now_weights = np.where(thin, 1 / settings.nothing_share, 1.0)
        now_weights /= now_weights[used[of_stream[used]]].mean()
    parts = Parts(chosen_rows(used, settings), validation[of_stream[validation]], calibration[of_stream[calibration]])
    if not len(parts.training):
        raise NoWindows("the training sessions give no window; see moments_every_s and split in the settings")
    gaze_of = np.arange(len(data.windows))
    if settings.gaze == "shuffled":
        gaze_of[parts.training] = parts.training[shuffled_rows(data.has_gaze[parts.training], settings.seed)]
    prior = None
    if settings.gaze in ("uniform", "centred"):
        prior = prior_target(settings.gaze, data.frame_of_token, data.boxes, data.frame_size)
    objective = group_weights(data, parts.training, settings) if settings.objective == "group_dro" else None
    digest = data_hash(sources.used)
    return Job(
        data, parts, gaze_of, prior, settings, device, accelerator, digest, adjustment, taught, objective, now_weights
    )


def _make_trainable(model: Any, settings: Settings, accelerator: Accelerator, data: Dataset) -> Any:
    """Mark or add the weights to train. The seed draws them alike in every process, but dropout differs."""
    torch.manual_seed(settings.seed)
    trained = make_trainable(model, settings)
    if settings.gaze_as == "block":
        add_gaze_block(model, data.place)
    if settings.gaze_as == "head":
        add_gaze_head(model, data.visual)
    if accelerator.process_index:
        torch.manual_seed(settings.seed + 1_000_003 * accelerator.process_index)
    return trained


def _trained_weights(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _export(out: Path, trained: Any, processor: Any, job: Job, used: Sequence[Recording], training: int) -> None:
    """Write the checkpoint. The first `training` sessions trained the weights, the others chose or calibrated them."""
    settings = job.settings
    if settings.train == "lora":
        trained.save_pretrained(out / ADAPTER)
    plain = plain_model(trained).to(getattr(torch, settings.dtype))
    metadata = export_checkpoint(
        out, plain, processor, job.data, job.parts.calibration, used[:training], used[training:], job.data_hash,
        settings, job.device,
    )  # fmt: skip
    if metadata.stream:
        print(f"at its own thresholds the predictor {point_text(chosen_point(metadata.stream, 0.0, 0.0))}")


def _say_nothing(*_: object, **__: object) -> None:
    """Print nothing: the main process prints for all."""
