"""Architectures that once were taken for something else, and some through all checks of `make models`.

One with tokens in its prompt, one with cross-attention, one with a resampler, and a narrator.
"""

from __future__ import annotations

import runpy
from pathlib import Path

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


@pytest.mark.parametrize("name", ["tiny:smolvlm", "tiny:mllama", "idefics2", "vit-gpt2"])
def test_a_row_of_make_models(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    tool = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "check_models.py"))
    assert tool["main"]([name]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    cells = dict(zip(tool["COLUMNS"], [cell.strip() for cell in line.strip("|").split("|")], strict=True))
    inside, away = map(float, cells["bright square"].split(","))
    assert inside > 10 * away
    # Rounding of float32.
    assert float(cells["attention"]) < 1e-6
    assert float(cells["logits"]) < 1e-6
    assert float(cells["gradient"]) < 1e-5
    assert float(cells["ranking"]) < 1e-5
    assert float(cells["loaded"]) == float(cells["plain transformers"].split(",")[0]) == 0
    assert cells["fit"].startswith("saved, ")
    losses = [float(part.split()[-3 + 2 * after]) for part in cells["three steps"].split(",") for after in (0, 1)]
    assert losses[0] > losses[1]
    assert losses[2] > losses[3]
