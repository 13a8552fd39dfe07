"""Convert bags into prepared windows on disk: image tensors, gaze on each frame, and gaze targets.

Each bag has its own files, named by a hash of everything they depend on. So adding a bag converts only that bag,
changing the model reuses the gaze, and changing sigma reuses images and gaze. A file appears only when it is complete.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from gaze_vlm_ros.session.regions import require_regions
from gaze_vlm_ros.session.session import Session
from gaze_vlm_ros.video.images import RGB, DamagedImage
from gaze_vlm_ros.vlm.observation import encode
from training.data.frame_images import window_images
from training.data.gaze_prediction import read_predictions
from training.data.gaze_prompt import with_ring
from training.data.gaze_targets import FrameGaze, frame_gaze, session_of, window_target
from training.data.prepared_arrays import PreparedArrays, PreparedArraysWriter, is_whole, store_complete
from training.data.recordings import Mapper, Recording
from training.data.region_targets import REGION_GAZE, named_region, region_target
from training.settings import Settings

# Model inputs with one entry per text token. All other inputs belong to the images.
TEXT_TENSORS = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids", "cross_attention_mask")
_LAYOUT = 3  # version of the files and of how gaze is carried to a frame; raise it to convert everything again


@dataclass(frozen=True)
class VisualTokens:
    """Frame and box of each visual token of a window (see vlm.visual_tokens)."""

    frame_of_token: NDArray[np.int64]  # (V,)
    boxes: NDArray[np.float64]  # (V, 4) x0, y0, x1, y1, px of the frame
    sigma_px: float  # standard deviation of the Gaussian around a gaze sample


@dataclass(frozen=True)
class Converted:
    """Files of one bag. Their rows are its usable windows, in time order."""

    problems: tuple[str, ...]  # why each window of the recording cannot be used, or ""
    images: Path  # PreparedArrays: the model's image tensors
    gaze: Path  # PreparedArrays: points and weights on each frame, see unpack_gaze
    targets: Path  # .npy, (n, V) float32


def convert_recordings(
    recordings: Sequence[Recording],
    settings: Settings,
    processor: Any,
    tokens: VisualTokens,
    cache: Path,
    mapper: Mapper = map,
    gaze_shown_in: frozenset[str] = frozenset(),
    predictions: Mapping[str, Path] | None = None,
) -> list[Converted]:
    """Return the files of each recording; write those that `cache` lacks, bag by bag.

    mapper: like `map`; converts several bags at a time.
    gaze_shown_in: digests of the recordings whose pictures show gaze if settings.gaze_as is "drawn".
    predictions: file of predicted gaze of each recording, by digest, which replaces gaze; see gaze_prediction.
    Raises CannotStore.
    """
    convert = functools.partial(
        convert_recording, settings=settings, processor=processor, tokens=tokens, cache=cache,
        gaze_shown_in=gaze_shown_in, predictions=predictions,
    )  # fmt: skip
    total = sum(len(recording.windows) for recording in recordings)
    done: list[Converted] = []
    with tqdm(total=total, desc="windows", unit="window", mininterval=0.5) as bar:
        if mapper is map:  # in this process: the bar can advance with every window
            convert = functools.partial(convert, progress=bar.update)
        for converted in mapper(convert, recordings):
            done.append(converted)
            bar.update(sum(len(r.windows) for r in recordings[: len(done)]) - bar.n)
    return done


def convert_recording(
    recording: Recording,
    *,
    settings: Settings,
    processor: Any,
    tokens: VisualTokens,
    cache: Path,
    gaze_shown_in: frozenset[str] = frozenset(),
    predictions: Mapping[str, Path] | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Converted:
    """Return the files of one recording; open its bag only if a file is missing.

    progress: called after each converted window. Raises CannotStore, and NoRegions for a bag without the boxes that
    settings.gaze asks for.
    """
    session = functools.cache(lambda: session_of(recording.path, settings))
    shown = [window.frames for window in recording.windows]
    samples = [] if settings.gaze_samples == "all" else [settings.gaze_samples]
    shift = [f"shift {settings.gaze_shift_s}"] if settings.gaze_shift_s else []
    gaze_settings = [settings.gaze_window_s, settings.gaze_min_confidence, settings.gaze_flow, *samples, *shift]
    drawn = settings.gaze_as == "drawn" and recording.digest in gaze_shown_in
    images_key = _key(
        recording.digest,
        shown,
        processor.image_processor.to_json_string(),
        *(["drawn", gaze_settings] if drawn else []),
    )
    images, problems_file = (cache / "images" / f"{images_key}.{ending}" for ending in ("arrow", "json"))
    if not (is_whole(problems_file) and is_whole(images)):  # the problems are written after the images
        with store_complete(images) as unfinished:
            problems = _write_images(unfinished, session(), shown, settings, processor, drawn, progress)
        with store_complete(problems_file) as unfinished:
            unfinished.write_text(json.dumps(problems), encoding="utf-8")
    problems = json.loads(problems_file.read_text(encoding="utf-8"))

    usable = [frames for frames, problem in zip(shown, problems, strict=True) if not problem]
    predicted = (predictions or {}).get(recording.digest)
    source = [hashlib.sha256(predicted.read_bytes()).hexdigest()] if predicted else []
    gaze_key = _key(recording.digest, usable, gaze_settings, *source)
    gaze = cache / "gaze" / f"{gaze_key}.arrow"
    if not is_whole(gaze):
        with store_complete(gaze) as unfinished:
            _write_gaze(unfinished, session(), usable, settings, predicted)

    if settings.gaze in REGION_GAZE:
        key = _key(recording.digest, usable, settings.gaze, tokens.frame_of_token.tolist(), tokens.boxes.tolist(),
                   *([settings.seed] if settings.gaze == "random_box" else []))  # fmt: skip
        targets = cache / "targets" / f"{key}.npy"
        if not is_whole(targets):
            with store_complete(targets) as unfinished:
                _write_region_targets(unfinished, recording, problems, session(), tokens, settings)
        return Converted(tuple(problems), images, gaze, targets)

    error = (settings.gaze_error * recording.frame_size[0], settings.seed) if settings.gaze_error else ()
    targets_key = _key("seen", gaze_key, tokens.frame_of_token.tolist(), tokens.boxes.tolist(), tokens.sigma_px, *error)
    targets = cache / "targets" / f"{targets_key}.npy"
    if not is_whole(targets):
        with store_complete(targets) as unfinished:
            _write_targets(unfinished, PreparedArrays(gaze), tokens, *error)
    return Converted(tuple(problems), images, gaze, targets)


def _key(*parts: Any) -> str:
    """Return the name of a file that depends on `parts`."""
    return hashlib.sha256(json.dumps([_LAYOUT, *parts]).encode()).hexdigest()[:24]


def _write_images(
    path: Path,
    session: Session,
    shown: Sequence[tuple[int, ...]],
    settings: Settings,
    processor: Any,
    drawn: bool,
    progress: Callable[[], object],
) -> list[str]:
    """Write the image tensors of the usable windows; return why each window cannot be used, or "".

    drawn: draw a ring around the gaze on each frame.
    """

    def pictures_of(frames: Sequence[int]) -> tuple[list[RGB], str]:
        pictures, problem = window_pictures(session, frames)
        if drawn and not problem:
            gaze = [frame_gaze(session, index, settings) for index in frames]
            pictures = [with_ring(picture, *on_it) for picture, on_it in zip(pictures, gaze, strict=True)]
        return pictures, problem

    def tensors_of(pictures: list[RGB]) -> dict[str, torch.Tensor]:
        inputs = encode(processor, pictures, settings.question).inputs
        return {name: tensor for name, tensor in inputs.items() if name not in TEXT_TENSORS}

    problems: list[str] = []
    with PreparedArraysWriter(path) as writer:
        for tensors, problem in window_images(shown, pictures_of, tensors_of):
            problems.append(problem)
            if not problem:
                writer.append(tensors)
            progress()
    return problems


def window_pictures(session: Session, frames: Sequence[int]) -> tuple[list[RGB], str]:
    """Return the frames of one window and "", or no frames and why the window cannot be used."""
    try:
        pictures = [session.frames.rgb(index) for index in frames]
    except DamagedImage:
        return [], "with a damaged frame"
    if any(picture.shape[1::-1] != session.frames.size for picture in pictures):
        return [], "with a frame of another size"  # the camera was restarted with other settings
    return pictures, ""


def _write_gaze(
    path: Path, session: Session, shown: Sequence[tuple[int, ...]], settings: Settings, predicted: Path | None = None
) -> None:
    """Write the gaze on each frame of the windows. predicted: file whose gaze is taken instead."""
    known = read_predictions(predicted, session) if predicted else {}
    none = (np.empty((0, 2)), np.empty(0))

    # Keep the gaze of recent frames: windows share frames, and carrying gaze to one decodes several pictures.
    @functools.lru_cache(maxsize=4096)
    def on_frame(index: int) -> FrameGaze:
        if predicted:
            return known.get(int(session.frames.stamps_ns[index]), none)
        return frame_gaze(session, index, settings)

    with PreparedArraysWriter(path) as writer:
        for frames in shown:
            tensors = {}
            for number, index in enumerate(frames):
                points, weights = on_frame(index)
                tensors[f"points_{number}"], tensors[f"weights_{number}"] = map(torch.from_numpy, (points, weights))
            writer.append(tensors)


def unpack_gaze(tensors: Mapping[str, torch.Tensor]) -> list[FrameGaze]:
    """Return the gaze on each frame of one window: (n, 2) points px and (n,) weights, from a row of Converted.gaze."""
    return [
        (tensors[f"points_{number}"].numpy(), tensors[f"weights_{number}"].numpy())
        for number in range(len(tensors) // 2)
    ]


def _write_targets(
    path: Path, gaze: PreparedArrays, tokens: VisualTokens, error_px: float = 0.0, seed: int = 0
) -> None:
    """Write the (n, V) gaze targets of n windows.

    error_px: standard deviation of an offset added to all gaze of a window, drawn once per window from `seed`.
    """

    def target(row: int) -> NDArray[np.float64]:
        off = np.random.default_rng([seed, row]).normal(0, error_px, 2) if error_px else np.zeros(2)
        on_frames = [(points + off, weights) for points, weights in unpack_gaze(gaze[row])]
        return window_target(on_frames, tokens.frame_of_token, tokens.boxes, tokens.sigma_px)

    _write_rows(path, map(target, range(len(gaze))), (len(gaze), len(tokens.frame_of_token)))


def _write_region_targets(
    path: Path,
    recording: Recording,
    problems: Sequence[str],
    session: Session,
    tokens: VisualTokens,
    settings: Settings,
) -> None:
    """Write the (n, V) targets from boxes in the bag. problems: of each window, "" = usable. Raises NoRegions."""
    regions = require_regions(recording.path)
    labels, size = recording.labels, session.frames.size
    usable = [window for window, problem in zip(recording.windows, problems, strict=True) if not problem]

    def target(row: int) -> NDArray[np.float64]:
        window = usable[row]
        if settings.gaze == "boxes" and not window.answer:
            return np.zeros(len(tokens.frame_of_token))  # nothing begins: there is no object
        answer_object = labels.object_classes[labels.texts.index(window.answer)] if window.answer else ""
        name = named_region(settings.gaze, regions, answer_object, (settings.seed, row))
        shown = [regions.at(int(session.frames.stamps_ns[index]), size) for index in window.frames]
        return region_target(shown, name, tokens.frame_of_token, tokens.boxes)

    _write_rows(path, map(target, range(len(usable))), (len(usable), len(tokens.frame_of_token)))


def _write_rows(path: Path, rows: Iterable[NDArray[np.float64]], shape: tuple[int, int]) -> None:
    """Write an array of `shape` row by row, as float32."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for row in rows:
            file.write(row.astype("<f4").tobytes())
