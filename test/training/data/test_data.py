"""Windows made ready for a model: what cannot be used is left out and counted."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_bags import COLOURS, HEIGHT, WIDTH, write_small_bag

from gaze_vlm_ros.labels.label_set import collect_labels
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.video.images import encode_jpeg
from gaze_vlm_ros.vlm.attention_tap import middle_layers, require_tap
from gaze_vlm_ros.vlm.tiny import build_tiny
from gaze_vlm_ros.windows.cutting import NoWindows
from training.data.dataset import Dataset
from training.data.preparation import prepare
from training.data.recordings import load_recording
from training.model.forward import answer_losses
from training.settings import Settings

SETTINGS = Settings(frames=2, observation_s=1.0, leads_s=(0.4, 1.0), gaze_window_s=0.1)


@pytest.fixture(scope="module")
def tiny():
    return build_tiny("tiny:smolvlm", [SETTINGS.question, *COLOURS], image_size=32, hidden=32)


def prepared(bag: Path, tiny, cache: Path | None = None, settings: Settings = SETTINGS) -> Dataset:
    labels = collect_labels((text, "take", "") for text in COLOURS)
    return prepare([load_recording(bag, settings)], labels, settings, *tiny, cache)


def test_windows_with_damaged_or_odd_frames_are_left_out_and_counted(
    tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepared(write_small_bag(tmp_path / "whole", 0, takes=6), tiny)
    import small_bags

    pictures = 0

    def sometimes_damaged(picture: np.ndarray) -> bytes:
        nonlocal pictures
        pictures += 1
        if pictures == 2:  # of the second take
            return b"no picture"
        return encode_jpeg(np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8) if pictures == 4 else picture)

    monkeypatch.setattr(small_bags, "encode_jpeg", sometimes_damaged)
    bag = write_small_bag(tmp_path / "odd", 0, takes=6)
    for _ in range(2):  # converted, then read from the cache
        data = prepared(bag, tiny, tmp_path / "cache")
        # The damaged picture is in both windows before the second take, the odd one in both before the fourth.
        assert data.dropped["with a damaged frame"] == 2
        assert data.dropped["with a frame of another size"] == 2
        left = [w for i, w in enumerate(whole.windows) if i not in (2, 3, 6, 7)]
        assert [(w.at_ns, w.answer) for w in data.windows] == [(w.at_ns, w.answer) for w in left]
        assert len(data.gaze) == len(data.prepared) == len(left)
        np.testing.assert_allclose(
            data.gaze[np.arange(8)], whole.gaze[[i for i in range(12) if i not in (2, 3, 6, 7)]], atol=1e-6
        )


@pytest.mark.parametrize("name", ["tiny:paligemma2", "tiny:mllama"])
def test_a_batch_shows_no_answer_to_what_predicts_it_and_pictures_to_all(name: str, tmp_path: Path) -> None:
    """PaliGemma's question sees itself both ways, Mllama's text sees pictures by a mask of its own."""
    model, processor = build_tiny(name, [SETTINGS.question, *COLOURS], image_size=32, hidden=32)
    data = prepared(write_small_bag(tmp_path / "bag", 0, takes=2), (model, processor))
    batch = data.batch(np.arange(2))
    answers = slice(-batch.answer_tokens.shape[1], None)
    seeing = "token_type_ids" if name == "tiny:paligemma2" else "cross_attention_mask"
    assert (batch.inputs[seeing][:, answers] == 1).all()
    other = batch.inputs | {"input_ids": batch.inputs["input_ids"].clone()}
    other["input_ids"][:, answers] = other["input_ids"][:, answers].roll(1, dims=1)
    with torch.inference_mode():
        logits, changed = model(**batch.inputs).logits, model(**other).logits
    first = -batch.answer_tokens.shape[1] - 1
    assert torch.equal(logits[:, first], changed[:, first])
    assert not torch.equal(logits[:, first + 1], changed[:, first + 1])
    require_tap(model, processor, middle_layers(model))
    _, kl = answer_losses(model, batch, SETTINGS, with_attention=True)
    kl.backward()
    assert kl > 0.1
    led = [weight.grad for weight_name, weight in model.named_parameters() if weight_name.endswith("k_proj.weight")]
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in led)


def test_a_damaged_first_frame_costs_its_windows_alone(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import small_bags

    pictures = iter([False, True, True, True])
    monkeypatch.setattr(small_bags, "encode_jpeg", lambda picture: encode_jpeg(picture) if next(pictures) else b"no")
    bag = write_small_bag(tmp_path / "bag", 0, takes=4)
    assert load_session(bag).frames.size == (WIDTH, HEIGHT)
    data = prepared(bag, tiny)
    assert (len(data.windows), data.dropped["with a damaged frame"]) == (6, 2)


def test_nothing_but_damaged_frames_is_one_line(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import small_bags

    monkeypatch.setattr(small_bags, "encode_jpeg", lambda _: b"no")
    with pytest.raises(NoWindows, match=r"1 bags give no window: 6 with a damaged frame"):
        prepared(write_small_bag(tmp_path / "bag", 0, takes=3), tiny)
