"""Backend "model": the checkpoint's own weights, in this process."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.backends.open_answer import open_answer, open_now_answer
from gaze_vlm_ros.prediction.checkpoint import (
    CheckpointMetadata,
    NotACheckpoint,
    read_checkpoint_metadata,
    with_open_answers,
)
from gaze_vlm_ros.prediction.stream_metadata import NowMetadata
from gaze_vlm_ros.prediction.types import Answer, FrameAttention, NoAnswer, NowAnswer, Observation


class NoSuchDevice(GazeVlmError):
    """torch does not have the requested device or number format."""


class NotANumber(NoAnswer):
    """The model's output is not finite."""


class Unfinished(NoAnswer):
    """The generated text has no end."""


MAX_TOKENS = 32  # of an open answer: actions are short, and each token costs a forward pass


class ModelBackend:
    """A loaded checkpoint that ranks its labels or answers in its own words. See types.Backend."""

    def __init__(
        self,
        folder: Path | str,
        device: str = "auto",
        dtype: str = "float32",
        answers: str = "closed",
        quantization: str = "none",
        compiled: bool = False,
    ) -> None:
        """Load the checkpoint, which takes seconds and imports torch and transformers.

        device: auto = cuda where available. dtype: of weights and activations, e.g. float32 or bfloat16.
        answers: closed = the checkpoint's labels; open = generated text, and `metadata` then has no labels.
        quantization, compiled: see vlm.acceleration.
        Raises NotACheckpoint, UnknownModel, NoSuchDevice, CannotAccelerate.
        """
        self._metadata = read_checkpoint_metadata(folder)
        if self._metadata.gaze_block:
            raise NotACheckpoint(
                f"{folder} has a gaze block, which only training/evaluate.py can read; give another checkpoint"
            )
        import torch
        from transformers.utils import logging

        from gaze_vlm_ros.vlm.acceleration import compile_vision, quantize
        from gaze_vlm_ros.vlm.attention_tap import enable_tap, middle_layers
        from gaze_vlm_ros.vlm.loading import load_vlm
        from gaze_vlm_ros.vlm.observation import end_tokens, label_tokens
        from gaze_vlm_ros.vlm.ranking import Ranker
        from gaze_vlm_ros.vlm.streaming import Stream
        from gaze_vlm_ros.vlm.token_boxes import TokenBoxes

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        number_format = getattr(torch, dtype, None)
        if not isinstance(number_format, torch.dtype) or not number_format.is_floating_point:
            raise NoSuchDevice(f"dtype is {dtype!r}, expected float32, bfloat16 or float16")
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise NoSuchDevice(f"device {device!r} is not available ({str(error).splitlines()[0]}); use cpu") from None
        logging.disable_progress_bar()  # a robot's log has no place for it
        self._model, self._processor = load_vlm(Path(folder).expanduser(), device=device, dtype=number_format)
        quantize(self._model, quantization)
        if compiled:
            compile_vision(self._model)
        enable_tap(self._model)
        self._layers = middle_layers(self._model)
        self._stream: Any = Stream(self._model, self._processor, self._metadata.question, self._layers)
        labels = label_tokens(self._processor, self._metadata.answers)
        self._ranker: Any = Ranker(self._model, labels, self._layers)
        self._now_rankers: dict[tuple[int, ...], Any] = {}  # of the second question, by the tokens before its answers
        self._token_boxes: Any = TokenBoxes(self._model, self._processor)
        self._ends: set[int] = set()  # end tokens of open answers; empty = closed answers
        if answers == "open":
            self._ends = end_tokens(self._processor.tokenizer)
            self._metadata = with_open_answers(self._metadata)

    @property
    def metadata(self) -> CheckpointMetadata:
        """Metadata of the checkpoint, without labels where answers are open."""
        return self._metadata

    def warm_up(self) -> None:
        """Answer blank frames once: the first pass takes longer."""
        blank = np.zeros((self._metadata.frame_size[1], self._metadata.frame_size[0], 3), np.uint8)
        with suppress(Unfinished):  # blank frames need not have a good answer
            self.predict(Observation([blank] * self._metadata.frames, tuple(range(-self._metadata.frames, 0))))

    def predict(self, observation: Observation) -> Answer:
        """Rank all labels of the checkpoint as answers to its question about the frames, or generate one answer.

        The probability of an open answer is that of all its tokens, including the end token. Raises NotANumber and
        Unfinished.
        """
        prompt = self._stream.read(observation.frames, observation.names or observation.stamps_ns)
        answer = self._generate(prompt, observation) if self._ends else self._rank(prompt, observation)
        second = self._metadata.second_question
        if second is None:
            return answer
        began = time.perf_counter()
        now = self._answer_now(second)
        return replace(answer, now=now, stages={**answer.stages, "now": time.perf_counter() - began})

    def _answer_now(self, second: NowMetadata) -> NowAnswer:
        """Answer what goes on now, about the frames of the window that was read last."""
        shared = None if self._ends else self._stream.shared(second.question)
        prompt, before = shared or (self._stream.ask(second.question), [])
        if self._ends:
            text, probability, _ = self._generated(prompt, None)
            return open_now_answer(second, text, probability)
        probabilities = _probabilities(self._now_ranker(second, tuple(before)).rank_after(prompt), second.temperature)
        return NowAnswer(self._metadata.labels, probabilities[:-1], float(probabilities[-1]))

    def _now_ranker(self, second: NowMetadata, before: tuple[int, ...]) -> Any:
        """Return what ranks the answers to the second question. before: tokens between what is read and an answer."""
        from gaze_vlm_ros.vlm.observation import label_tokens
        from gaze_vlm_ros.vlm.ranking import Ranker

        if before not in self._now_rankers:
            answers = label_tokens(self._processor, second.texts(self._metadata.labels))
            self._now_rankers[before] = Ranker(self._model, [[*before, *answer] for answer in answers])
        return self._now_rankers[before]

    def _rank(self, prompt: Any, observation: Observation) -> Answer:
        began = time.perf_counter()
        ranking = self._ranker.rank_after(prompt)
        probabilities = _probabilities(ranking, self._metadata.temperature)
        attention = self._attention(ranking.attention_of([int(probabilities.argmax())])[0], observation)
        ranked_s = time.perf_counter() - began
        if stream := self._metadata.stream:
            table, nothing = stream.words.table(probabilities)
            return Answer(
                self._metadata.labels,
                table.sum(axis=1),
                self._metadata.score_kind,
                focus=attention.focus,
                attention=attention,
                table=table,
                nothing_probability=float(nothing),
                stages=self._stream.stages | {"ranking": ranked_s},
            )
        if self._metadata.now:
            return Answer(
                self._metadata.labels,
                probabilities[:-1],
                self._metadata.score_kind,
                focus=attention.focus,
                attention=attention,
                nothing_probability=float(probabilities[-1]),
                stages=self._stream.stages | {"ranking": ranked_s},
            )
        other, starts_s = self._metadata.other_share, self._metadata.time_to_start_s
        return Answer(
            self._metadata.labels,
            probabilities * (1 - (other or 0.0)),
            self._metadata.score_kind,
            other_probability=other,
            time_to_start_s=np.array(starts_s) if starts_s else None,
            focus=attention.focus,
            attention=attention,
            stages=self._stream.stages | {"ranking": ranked_s},
        )

    def _generate(self, prompt: Any, observation: Observation) -> Answer:
        began = time.perf_counter()
        text, probability, attention_of_tokens = self._generated(prompt, self._layers)
        generated_s = time.perf_counter() - began
        attention = self._attention(attention_of_tokens, observation)
        return open_answer(
            self._metadata, text, probability, attention, self._stream.stages | {"generation": generated_s}
        )

    def _generated(self, prompt: Any, layers: tuple[int, ...] | None) -> tuple[str, float, Any]:
        """Return a generated answer, its probability and its attention to the visual tokens; None without layers."""
        from gaze_vlm_ros.vlm.generating import generate_after
        from gaze_vlm_ros.vlm.observation import decode_answer

        generated = generate_after(self._model, prompt, self._ends, MAX_TOKENS, layers)
        if not math.isfinite(generated.log_likelihood):
            raise NotANumber("the model's answer is not finite; with dtype float16, use float32 or bfloat16")
        text = " ".join(decode_answer(self._processor, generated.tokens).split())
        if not generated.ended or not text:
            raise Unfinished(
                f"no complete answer within {MAX_TOKENS} tokens, only {text!r}; was the model trained on this question?"
            )
        return text, math.exp(generated.log_likelihood), generated.attention

    def encode(self, observation: Observation) -> Any:
        """Encode an observation as the model sees it: the same as in training (vlm.observation.encode)."""
        from gaze_vlm_ros.vlm.observation import encode

        return encode(self._processor, observation.frames, self._metadata.question)

    def close(self) -> None:
        """Free the memory of the model, on the CPU and the GPU. May be called twice."""
        from gaze_vlm_ros.vlm.memory import free_model_memory

        self._model = self._processor = self._stream = self._ranker = self._token_boxes = None
        self._now_rankers = {}
        free_model_memory()

    def _attention(self, attention: NDArray[np.float64], observation: Observation) -> FrameAttention:
        frames = observation.frames
        height, width, _ = frames[-1].shape
        frame_of_token, boxes = self._token_boxes.locate((width, height), len(frames))
        of_last = np.flatnonzero(frame_of_token == len(frames) - 1)
        shares = attention[of_last]
        return FrameAttention(boxes[of_last], shares / max(shares.sum(), 1e-300))


def _probabilities(ranking: Any, temperature: float) -> NDArray[np.float64]:
    """Return the probabilities of a ranking's answers. Raises NotANumber."""
    from scipy.special import softmax

    if not np.isfinite(ranking.log_likelihoods).all():
        raise NotANumber("the model's answer is not finite; with dtype float16, use float32 or bfloat16")
    return np.asarray(softmax(ranking.log_likelihoods / temperature))
