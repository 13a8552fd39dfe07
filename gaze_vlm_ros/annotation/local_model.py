"""A vision-language model of transformers, loaded in this process, that answers questions about clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gaze_vlm_ros.annotation.describe_settings import DescribeSettings
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.observation import decode_answer, encode, require_plain_text


class LocalModel:
    """A model by folder, hub name or "tiny:..." (see vlm.loading). It decodes greedily: `temperature` is for servers.

    device: "auto" = CUDA if there is one.
    Raises what load_vlm raises, and UnusableText for a question with a token of the model's template.
    """

    def __init__(self, name: str, settings: DescribeSettings, device: str = "auto") -> None:
        self._device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self._dtype = torch.float32 if self._device == "cpu" else torch.bfloat16
        self._settings = settings
        texts = [settings.question, *settings.labels]  # what the tokenizer of a tiny model is trained on
        self._model, self._processor = load_vlm(name, device=self._device, dtype=self._dtype, texts=texts)
        require_plain_text(self._processor, "question", settings.question)

    @torch.inference_mode()
    def ask_all(self, clips: Sequence[Sequence[NDArray[np.uint8]]]) -> list[dict[str, Any]]:
        """Return {"reply": text} for each clip, with a "problem" if the reply was cut off.

        clips: for each, its frames (H, W, 3) RGB, oldest first.
        """
        encoded = [encode(self._processor, frames, self._settings.question).inputs for frames in clips]
        answers: list[dict[str, Any]] = [{} for _ in clips]
        # Batch prompts of equal length only: without padding, a batch gives the same replies as single questions.
        lengths = [inputs["input_ids"].shape[1] for inputs in encoded]
        for length in sorted(set(lengths)):
            rows = [row for row, found in enumerate(lengths) if found == length]
            for row, answer in zip(rows, self._generate([encoded[row] for row in rows]), strict=True):
                answers[row] = answer
        return answers

    def _generate(self, batch: Sequence[dict[str, torch.Tensor]]) -> list[dict[str, Any]]:
        inputs = {name: torch.cat([one[name] for one in batch]).to(self._device) for name in batch[0]}
        inputs = {
            name: tensor.to(self._dtype) if tensor.is_floating_point() else tensor for name, tensor in inputs.items()
        }
        tokens = self._model.generate(**inputs, max_new_tokens=self._settings.max_tokens, do_sample=False)
        said = tokens[:, inputs["input_ids"].shape[1] :].tolist()
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        answers = []
        for row in said:
            text = decode_answer(self._processor, row)
            whole = bool(ends & set(row))
            answers.append({"reply": text} | ({} if whole else {"problem": "replies cut off at max_tokens"}))
        return answers
