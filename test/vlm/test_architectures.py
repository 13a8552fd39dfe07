"""Architectures that once were taken for something else; `make models` tries all of them, with more checks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import TEXTS, located

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.attention_tap import middle_layers, require_tap
from gaze_vlm_ros.vlm.observation import encode
from gaze_vlm_ros.vlm.token_boxes import visual_tokens

FRAMES = [np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8) for seed in range(2)]


@pytest.mark.parametrize(
    ("name", "token"), [("ovis2", "<IMG_ATOM>"), ("gemma4", "<|image|>"), ("qwen2-vl", "<|image_pad|>")]
)
def test_visual_tokens_are_those_that_depend_on_pixels(name: str, token: str) -> None:
    """Also where the processor's marker of a picture is another token."""
    model, processor = located(name)
    encoded = encode(processor, FRAMES, TEXTS[0])
    ids = encoded.inputs["input_ids"][0]
    assert set(ids[encoded.visual].tolist()) == {processor.tokenizer.convert_tokens_to_ids(token)}
    assert len(encoded.visual) > 8
    require_tap(model, processor, middle_layers(model))
    frames, boxes = visual_tokens(model, processor, (64, 48), 2)
    assert torch.bincount(torch.from_numpy(frames)).tolist() == [len(frames) // 2] * 2
    np.testing.assert_allclose(boxes[: len(frames) // 2], boxes[len(frames) // 2 :], atol=0.5)
    assert (boxes[:, 2:].max(axis=0) > (55, 40)).all()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "idefics2",
            "(a resampler, as in Idefics 2, gives every token the whole picture); gaze cannot be put on",
        ),
        ("blip2", "gaze_as: block puts it on the patches before the resampler"),
        ("got-ocr2", "cannot put 1 pictures and a question into one prompt (Nested images are only supported"),
    ],
)
def test_models_that_cannot_be_used_are_refused_by_the_reason(name: str, reason: str) -> None:
    with pytest.raises(GazeVlmError) as caught:
        visual_tokens(*located(name), (64, 48), 2)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
