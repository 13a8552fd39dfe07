"""Windows made ready for one model: its input tensors, the answers' tokens and the gaze targets."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from gaze_vlm_ros.images import DamagedImage
from gaze_vlm_ros.labels import LabelSet
from gaze_vlm_ros.session import Session, require_gaze
from gaze_vlm_ros.vlm.observation import Encoded, answer_tokens, encode
from gaze_vlm_ros.vlm.visual_tokens import visual_tokens
from training.bags import session_digest
from training.gaze_targets import FrameGaze, frame_gaze, window_target
from training.packing import PackedInputs
from training.settings import Settings
from training.windows import NoWindows, Window, cut_windows

# Tensors with one entry per token of the text; all others belong to the images.
TEXT_TENSORS = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")
IGNORED = -100  # where answer_tokens hold no token


@dataclass(frozen=True)
class Batch:
    """B windows, each with its answer appended to the prompt, padded on the right: one forward pass."""

    inputs: dict[str, torch.Tensor]  # as the model takes them
    answer_tokens: torch.Tensor  # (B, A) int64, the end token included; IGNORED behind it
    visual: torch.Tensor  # (V,) positions of the visual tokens in input_ids
    frame_of_token: torch.Tensor  # (V,) int64
    gaze: torch.Tensor  # (B, V) float32, rows sum to 1; a row of zeros = no usable gaze

    @property
    def size(self) -> int:
        return len(self.answer_tokens)


@dataclass(frozen=True)
class Dataset:
    """All windows of some sessions, for one model, one question and one label set."""

    sessions: Sequence[Session]
    windows: Sequence[Window]
    dropped: Counter[str]  # moments that made no window, by reason
    labels: LabelSet
    answer_index: NDArray[np.int64]  # (N,) into labels.texts
    answer_tokens: Sequence[Sequence[int]]  # of each label, the end token included
    prompt: dict[str, torch.Tensor]  # TEXT_TENSORS of the question, (1, P): the same for every window
    visual: torch.Tensor  # (V,) positions of the visual tokens in the prompt
    images: PackedInputs  # the other tensors of each window
    frame_of_token: NDArray[np.int64]  # (V,) which of the window's frames a visual token looks at
    boxes: NDArray[np.float64]  # (V, 4) and where, px of the frame
    gaze_points: Sequence[Sequence[FrameGaze]]  # of each window, of each frame
    gaze: NDArray[np.float32]  # (N, V)

    def batch(
        self,
        rows: NDArray[np.int64],
        device: str,
        gaze: NDArray[np.float32] | None = None,
    ) -> Batch:
        """The windows `rows` with their true answers. gaze: (N, V) targets of all windows, in place of their own."""
        texts = [self.answer_tokens[answer] for answer in self.answer_index[rows]]
        longest = max(map(len, texts))
        tokens = torch.tensor([[*text, *[IGNORED] * (longest - len(text))] for text in texts])
        present = tokens != IGNORED
        inputs = self.questions(rows, "cpu")
        for name in self.prompt:
            # Padding is masked by attention_mask; which token stands there does not matter.
            tail = {"input_ids": tokens.clamp(min=0), "attention_mask": present}.get(name, torch.zeros_like(tokens))
            inputs[name] = torch.cat([inputs[name], tail.to(inputs[name].dtype)], dim=1)
        targets = torch.from_numpy((self.gaze if gaze is None else gaze)[rows])
        return Batch(
            {name: tensor.to(device) for name, tensor in inputs.items()},
            tokens.to(device),
            self.visual.to(device),
            torch.from_numpy(self.frame_of_token).to(device),
            targets.to(device),
        )

    def questions(self, rows: NDArray[np.int64], device: str) -> dict[str, torch.Tensor]:
        """What the model is asked about the windows `rows`: images and prompt, no answer."""
        inputs = self.images.take(rows) | {name: text.expand(len(rows), -1) for name, text in self.prompt.items()}
        return {name: tensor.to(device) for name, tensor in inputs.items()}

    def encoded(self, row: int, device: str) -> Encoded:
        """What the model is asked about one window: the same as observation.encode of its frames."""
        return Encoded(self.questions(np.array([row]), device), self.visual.to(device))

    def rows_of(self, sessions: Sequence[int]) -> NDArray[np.int64]:
        """Rows of the windows of these sessions."""
        return np.flatnonzero(np.isin([window.session for window in self.windows], sessions))

    def session_table(self, part_of: Sequence[str]) -> list[dict[str, Any]]:
        """One row of figures per session, for reports. part_of: what each session is used for."""
        table = []
        for index, (session, part) in enumerate(zip(self.sessions, part_of, strict=True)):
            rows = self.rows_of([index])
            usable = float((self.gaze[rows].sum(axis=1) > 0).mean()) if len(rows) else None
            table.append(
                {
                    "name": session.name,
                    "person": session.person,
                    "task": session.task,
                    "scene": session.scene,
                    "part": part,
                    "digest": session_digest(session),
                    "frames": len(session.frames),
                    "windows": len(rows),
                    "gaze_share": usable,
                }
            )
        return table


def prepare(
    sessions: Sequence[Session],
    labels: LabelSet,
    settings: Settings,
    model: torch.nn.Module,
    processor: Any,
    cache: Path | None = None,
    gaze_needed: bool = True,
) -> Dataset:
    """Cut the sessions into windows and encode each as the predictor would.

    cache: folder in which decoded and encoded windows are kept for the next fit on the same bags.
    gaze_needed: raise NoGaze for a session without gaze, rather than give its windows no target.
    Raises NoWindows when nothing is left.
    """
    if gaze_needed:
        for session in sessions:
            require_gaze(session)
    windows, dropped = [], Counter[str]()
    for index, session in enumerate(sessions):
        cut, counts = cut_windows(index, session, settings)
        windows += [window for window in cut if window.answer in labels.texts]
        dropped += counts.dropped
        dropped["with an answer that is not in the label set"] += sum(w.answer not in labels.texts for w in cut)
    dropped = +dropped
    if not windows:
        reasons = _reasons(dropped) or "no action in any bag"
        raise NoWindows(f"{len(sessions)} bags give no window: {reasons}; see stride_s, leads_s, horizon_s")

    images, gaze_points, problems = _encode(sessions, windows, settings, processor, cache)
    dropped += Counter(problem for problem in problems if problem)
    windows = [window for window, problem in zip(windows, problems, strict=True) if not problem]
    if not windows:
        raise NoWindows(f"{len(sessions)} bags give no window: {_reasons(dropped)}")
    size = sessions[0].frames.size
    frame_of_token, boxes = visual_tokens(model, processor, size, settings.frames)
    sigma_px = settings.gaze_sigma * size[0]
    gaze = np.stack([window_target(points, frame_of_token, boxes, sigma_px) for points in gaze_points])
    blank = [np.zeros((size[1], size[0], 3), dtype=np.uint8)] * settings.frames
    prompt = encode(processor, blank, settings.question)
    return Dataset(
        sessions=sessions,
        windows=windows,
        dropped=dropped,
        labels=labels,
        answer_index=np.array([labels.texts.index(window.answer) for window in windows]),
        answer_tokens=[answer_tokens(processor, text) for text in labels.texts],
        prompt={name: tensor for name, tensor in prompt.inputs.items() if name in TEXT_TENSORS},
        visual=prompt.visual,
        images=images,
        frame_of_token=frame_of_token,
        boxes=boxes,
        gaze_points=gaze_points,
        gaze=gaze.astype(np.float32),
    )


def _reasons(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items())


def _encode(
    sessions: Sequence[Session], windows: Sequence[Window], settings: Settings, processor: Any, cache: Path | None
) -> tuple[PackedInputs, list[list[FrameGaze]], list[str]]:
    """Image tensors of every usable window, the gaze on each of its frames, and for each window what is wrong, or "".

    From `cache` where it has them.
    """
    kept = cache / f"{_key(sessions, windows, settings, processor)}.pt" if cache else None
    if kept and kept.is_file():
        state = torch.load(kept, weights_only=True)
        points = [[(p.numpy(), w.numpy()) for p, w in window] for window in state["gaze"]]
        return PackedInputs.from_state(state["images"]), points, state["problems"]
    images = PackedInputs()
    gaze: list[list[FrameGaze]] = []
    problems: list[str] = []
    for window in tqdm(windows, desc="windows", unit="window", mininterval=0.5):
        session = sessions[window.session]
        try:
            frames = [session.frames.rgb(index) for index in window.frames]
            on_frames = [frame_gaze(session, index, settings) for index in window.frames]
        except DamagedImage:
            problems.append("with a damaged frame")
            continue
        if any(frame.shape[1::-1] != session.frames.size for frame in frames):
            problems.append("with a frame of another size")  # the camera was started anew with other settings
            continue
        problems.append("")
        inputs = encode(processor, frames, settings.question).inputs
        images.append({name: tensor for name, tensor in inputs.items() if name not in TEXT_TENSORS})
        gaze.append(on_frames)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(f".{id(images)}.part")
        tensors = [[(torch.from_numpy(p), torch.from_numpy(w)) for p, w in window] for window in gaze]
        torch.save({"images": images.state(), "gaze": tensors, "problems": problems}, unfinished)
        unfinished.replace(kept)
    return images, gaze, problems


def _key(sessions: Sequence[Session], windows: Sequence[Window], settings: Settings, processor: Any) -> str:
    """Names everything that the encoded windows depend on."""
    parts = [
        [session_digest(session) for session in sessions],
        [(window.session, window.frames) for window in windows],
        processor.image_processor.to_json_string(),
        [settings.gaze_window_s, settings.gaze_min_confidence, settings.gaze_flow],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def data_hash(sessions: Sequence[Session]) -> str:
    """Names the recordings that a fit used: 16 hex digits over the sorted digests of its sessions."""
    return hashlib.sha256(" ".join(sorted(map(session_digest, sessions))).encode()).hexdigest()[:16]
