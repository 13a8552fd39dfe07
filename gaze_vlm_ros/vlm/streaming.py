"""Read the overlapping windows of a video without computing their common part again.

The vision tower runs once on each frame, however many windows show it. Keys and values of the prompt are reused up to
the first frame that differs. A comparison with a full pass on the first window decides whether this works for a model.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gaze_vlm_ros.vlm.joining import join_like
from gaze_vlm_ros.vlm.observation import Encoded, encode
from gaze_vlm_ros.vlm.prompt import NotReusable, Prompt, prefix_of, read_prompt, replaced, rounding_nats, vision_owner

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Frame:
    inputs: dict[str, Tensor]  # of a question about only this frame
    features: Any  # result of get_image_features for it


@dataclass(frozen=True)
class _Window:
    frames: Sequence[NDArray[np.uint8]]
    prompt: Prompt  # of `question`
    inputs: dict[str, Tensor] | None  # None = the window was read in full
    features: Any


@dataclass
class _Other:
    whole: Encoded  # inputs of a window of this size with another question
    shared: int  # tokens at its beginning that the first question has too
    streams: bool = True  # what is shared need not be read again


class _Got(Exception):
    """Raised to end a forward pass once the vision tower has run."""


@dataclass
class Stream:
    """A question, and further ones, about successive windows of the same video. Call it from one thread.

    layers: decoder layers whose attention is read; None = no attention.
    """

    model: Any
    processor: Any
    question: str
    layers: tuple[int, ...] | None = None
    stages: dict[str, float] = field(default_factory=dict)  # s spent on the last window: preprocess, vision, language
    _kept: dict[int, _Frame] = field(default_factory=dict)  # frames within the last window's span, by name
    _whole: Encoded | None = None  # inputs of a window of this size, for texts and shapes
    _whole_features: Any = None
    _shape: tuple[int, ...] = ()  # frames, height, width
    _frame_starts: tuple[int, ...] = ()  # position in the prompt of each frame's first visual token
    _last: tuple[tuple[int, ...], Prompt] | None = None  # names and prompt of the last window
    _window: _Window | None = None  # the last window, for `ask`
    _others: dict[str, _Other] = field(default_factory=dict)  # what `ask` knows of other questions, by text
    _streams: bool = False  # found out with the first window of this size
    _reuses: bool = True  # whether keys and values can be cut and reused

    @torch.inference_mode()
    def read(self, frames: Sequence[NDArray[np.uint8]], names: Sequence[int]) -> Prompt:
        """Read the prompt of a window of (H, W, 3) frames, oldest first, each identified by its name.

        names: ascending, such as stamps; the same name means the same frame. Raises CannotTap.
        """
        began = time.perf_counter()
        self.stages = {}
        if self._kept and names[-1] < max(self._kept):  # names are stamps, and a clock was set back
            self._kept, self._last = {}, None
        shape = (len(frames), *frames[-1].shape[:2])
        if shape != self._shape or any(frame.shape != frames[-1].shape for frame in frames):
            prompt = self._begin(frames, tuple(names), shape)
            if not self._streams:
                self._window = _Window(frames, prompt, None, None)
            return prompt
        if not self._streams:
            encoded = encode(self.processor, frames, self.question)
            prompt = self._language(lambda: read_prompt(self.model, encoded, self.layers), began)
            self._window = _Window(frames, prompt, None, None)
            return prompt
        prompt = self._read_streamed(frames, tuple(names), began)
        self._last = tuple(names), prompt
        return prompt

    @torch.inference_mode()
    def ask(self, question: str, layers: tuple[int, ...] | None = None) -> Prompt:
        """Read the prompt of another question about the window that `read` read last.

        The frames are not read again: the tower's features and the keys and values of what both prompts begin with are
        those of the first question, unless a comparison on the first window shows that the model cannot be read so.
        layers: as for the stream. Raises CannotTap, and ValueError before the first window.
        """
        if self._window is None:
            raise ValueError("no window was read yet")
        window = self._window
        other = self._others.get(question)
        if other is None or window.inputs is None or not other.streams:
            encoded = encode(self.processor, window.frames, question)
            prompt = read_prompt(self.model, encoded, layers)
            if window.inputs is not None and other is None:
                self._others[question] = self._compared(encoded, prompt, window, layers)
        else:
            prompt = self._ask_streamed(other, window, layers)
        return prompt

    def shared(self, question: str) -> tuple[Prompt, list[int]] | None:
        """Return what both prompts begin with for the last window, and the tokens with which the other one goes on.

        Answers to the other question are ranked quickest as these tokens and the answer's own, in one pass after what
        is shared: the question's own likelihood is the same for all of them. The prompt's log_probabilities are not
        those of its next token. None where the model's memory cannot be cut, and before `ask` has tried it.
        """
        window, other = self._window, self._others.get(question)
        if window is None or window.inputs is None or other is None or not other.streams:
            return None
        prompt = window.prompt
        try:
            prefix = prefix_of(prompt, other.shared)
        except NotReusable:
            return None
        # All tokens from there on are text, one position each.
        positions = None if prompt.positions is None else prompt.positions - (prompt.length - other.shared)
        begun = replace(
            prompt, cache=prefix.cache, length=other.shared, positions=positions, attention=None, reach=None
        )
        return begun, other.whole.inputs["input_ids"][0, other.shared :].tolist()

    def _compared(self, encoded: Encoded, whole: Prompt, window: _Window, layers: tuple[int, ...] | None) -> _Other:
        """Return what is known of another question, after one window that was read in full."""
        assert self._whole is not None
        pairs = zip(self._whole.inputs["input_ids"][0].tolist(), encoded.inputs["input_ids"][0].tolist(), strict=False)
        shared = next((place for place, (a, b) in enumerate(pairs) if a != b), encoded.length - 1)
        other = _Other(encoded, min(shared, encoded.length - 1))
        try:
            streamed = self._ask_streamed(other, window, layers)
            off = float((streamed.log_probabilities - whole.log_probabilities).abs().max())
            problem = "" if off <= rounding_nats(self.model) else f"answers would be off by {off:.2g} nats"
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            problem = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        if problem:
            _log.warning("%s reads each question in full, which takes longer (%s)", type(self.model).__name__, problem)
        other.streams = not problem
        return other

    def _ask_streamed(self, other: _Other, window: _Window, layers: tuple[int, ...] | None) -> Prompt:
        assert window.inputs is not None
        text = other.whole.inputs["input_ids"].shape
        inputs = {
            name: tensor if tensor.shape[:2] == text else window.inputs[name]
            for name, tensor in other.whole.inputs.items()
        }
        try:
            prefix = prefix_of(window.prompt, other.shared)
        except NotReusable:
            prefix = None  # the vision tower's features still are
        return read_prompt(self.model, Encoded(inputs, other.whole.visual), layers, window.features, prefix)

    def _begin(self, frames: Sequence[NDArray[np.uint8]], names: tuple[int, ...], shape: tuple[int, ...]) -> Prompt:
        """Read the first window of its size in full, then streamed, and compare both."""
        self._kept, self._last, self._shape, self._others = {}, None, shape, {}
        began = time.perf_counter()
        encoded = encode(self.processor, frames, self.question)
        whole = self._language(lambda: read_prompt(self.model, encoded, self.layers), began)
        self._streams = False
        try:
            self._whole, self._whole_features = encoded, _features(self.model, encoded)
            of_a_frame = len(encoded.visual) // shape[0]
            self._frame_starts = tuple(encoded.visual[::of_a_frame].tolist())
            streamed = self._read_streamed(frames, names, began)
            off = float((streamed.log_probabilities - whole.log_probabilities).abs().max())
            problem = "" if off <= rounding_nats(self.model) else f"answers would be off by {off:.2g} nats"
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, NotReusable) as error:
            problem = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        if problem:
            _log.warning("%s reads each window in full, which takes longer (%s)", type(self.model).__name__, problem)
            self._kept = {}
        self._streams = not problem
        return whole

    def _read_streamed(self, frames: Sequence[NDArray[np.uint8]], names: tuple[int, ...], began: float) -> Prompt:
        assert self._whole is not None
        new = {
            name: encode(self.processor, [frame], self.question)
            for name, frame in zip(names, frames, strict=True)
            if name not in self._kept
        }
        encoded_by = time.perf_counter()
        for name, encoded in new.items():
            self._kept[name] = _Frame(encoded.inputs, _features(self.model, encoded))
        # Successive windows show different frames of the same span by turns, so all frames of the span are kept.
        self._kept = {name: frame for name, frame in self._kept.items() if name >= names[0]}
        parts = [self._kept[name] for name in names]
        text = self._whole.inputs["input_ids"].shape
        inputs = {
            name: tensor if tensor.shape[:2] == text else join_like(tensor, [part.inputs[name] for part in parts])
            for name, tensor in self._whole.inputs.items()
        }
        features = join_like(self._whole_features, [part.features for part in parts])
        _wait_for(self.model)
        seen = time.perf_counter()
        self.stages = {"preprocess": encoded_by - began, "vision": seen - encoded_by}
        prefix = self._prefix(names)
        whole = Encoded(inputs, self._whole.visual)
        prompt = self._language(lambda: read_prompt(self.model, whole, self.layers, features, prefix), seen)
        self._window = _Window(frames, prompt, inputs, features)
        return prompt

    def _prefix(self, names: tuple[int, ...]) -> Any:
        """Return the last window's prompt up to the first frame that this window does not have in the same place."""
        if not self._reuses or self._last is None:
            return None
        before, prompt = self._last
        common = next((n for n, (a, b) in enumerate(zip(before, names, strict=True)) if a != b), len(before) - 1)
        try:
            return prefix_of(prompt, self._frame_starts[common]) if self._frame_starts[common] else None
        except NotReusable:
            self._reuses = False
            return None

    def _language(self, read: Callable[[], Prompt], began: float) -> Prompt:
        prompt = read()
        _wait_for(self.model)
        self.stages["language"] = time.perf_counter() - began
        return prompt


def _features(model: Any, encoded: Encoded) -> Any:
    """Return the vision tower's result as the model's own forward requests it; the language model is not run."""
    device = next(model.parameters()).device

    def run(original: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        raise _Got(original(*arguments, **options))

    owner = vision_owner(model)
    if owner is None:
        raise TypeError("it has no get_image_features")
    try:
        with replaced(owner, "get_image_features", run):
            model(**{name: tensor.to(device) for name, tensor in encoded.inputs.items()}, use_cache=False)
    except _Got as got:
        return got.args[0]
    raise TypeError("its forward does not call get_image_features")


def _wait_for(model: Any) -> None:
    """Wait until a GPU has finished: it works asynchronously, and times are measured."""
    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
