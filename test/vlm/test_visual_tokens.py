"""Boxes of visual tokens against an experiment that shares nothing with how they are found: a bright patch is shown,
and the tokens whose features change are looked up. Then against the grids that follow from each architecture."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from gaze_vlm_ros.vlm import token_boxes as module
from gaze_vlm_ros.vlm.attention_tap import AttentionTap, enable_tap
from gaze_vlm_ros.vlm.cross_attention import crossing_layers, states_among
from gaze_vlm_ros.vlm.observation import encode
from gaze_vlm_ros.vlm.tiny import build_tiny
from gaze_vlm_ros.vlm.token_boxes import CannotLocate, TokenBoxes, visual_tokens

QUESTION = "What will the person do next?"
SIZES = [((640, 480), 3), ((1280, 720), 2), ((97, 211), 2)]
ENTRY = 1 / 16  # of a box's side: a token of the tiny models covers 16 x 16 entries of the image tensor
# How far interpolation smears a patch. Two Lanczos steps, or three with tiles: up to 3 + 3 * 4/3 entries of the image
# tensor, and rounding.
SMEARED = 8 * ENTRY


def without_vision_attention(model: Any) -> Any:
    """A copy whose vision tower mixes no tokens, made through its weights: what attention gives is multiplied by 0."""
    model = copy.deepcopy(model)
    outputs = [
        layer
        for name, layer in model.named_modules()
        if "vis" in name
        and name.endswith(("self_attn.out_proj", "attn.proj", "attention.projection_layer", "self_attn.o_proj"))
    ]
    assert len(outputs) in (2, 3)  # one a layer; LLaVA has one more, which it does not use, and Mllama a third
    for output in outputs:
        torch.nn.init.zeros_(output.weight)
        if output.bias is not None:
            torch.nn.init.zeros_(output.bias)
    return model


@torch.inference_mode()
def features(model: Any, processor: Any, frames: list[np.ndarray]) -> torch.Tensor:
    """(V, D) of the visual tokens as the language model gets them."""
    encoded = encode(processor, frames, QUESTION)
    given: dict[str, Any] = {}
    hook = model.get_decoder().register_forward_pre_hook(
        lambda _, __, given_now: given.update(given_now), with_kwargs=True
    )
    output = model(**encoded.inputs, output_hidden_states=True)
    hook.remove()
    tokens = states_among(given).flatten(0, 1) if crossing_layers(model) else output.hidden_states[0][0]
    return tokens[encoded.visual]


def random_patches(size: tuple[int, int], count: int) -> np.ndarray:
    """(N, 4) boxes of whole pixels, a tenth to a third of the frame along each side."""
    rng = np.random.default_rng(3)
    sides = rng.uniform(0.1, 0.33, (count, 2)) * size
    corners = rng.uniform(0, 1, (count, 2)) * (size - sides)
    return np.rint(np.hstack([corners, corners + sides])).astype(int)


def dark(size: tuple[int, int]) -> np.ndarray:
    return np.zeros((size[1], size[0], 3), np.uint8)


def with_patch(size: tuple[int, int], patch: np.ndarray) -> np.ndarray:
    frame = dark(size)
    frame[patch[1] : patch[3], patch[0] : patch[2]] = 255
    return frame


def overlap(boxes: np.ndarray, patch: np.ndarray, grown: float = 0.0) -> np.ndarray:
    """(V,) by how much of its own sides each box, grown by a share of them, overlaps the patch: the lesser of both."""
    sides = boxes[:, 2:] - boxes[:, :2]
    low = np.maximum(boxes[:, :2] - grown * sides, patch[:2])
    high = np.minimum(boxes[:, 2:] + grown * sides, patch[2:])
    return ((high - low) / np.maximum(sides, 1e-9)).min(axis=1)


def changes(model: Any, processor: Any, size: tuple[int, int], frames: int, patch: np.ndarray, frame: int) -> Any:
    """(V,) how far the features move when `patch` lights up in one frame."""
    before = features(model, processor, [dark(size)] * frames)
    shown = [with_patch(size, patch) if index == frame else dark(size) for index in range(frames)]
    return (features(model, processor, shown) - before).norm(dim=-1).numpy()


def test_a_tower_that_calls_pytorchs_attention_itself_is_located_too(monkeypatch):
    """As timm's in Perception LM, which does not go through transformers' interface."""
    from transformers.models.clip.modeling_clip import CLIPAttention

    model, processor = build_tiny("tiny:llava", [QUESTION], hidden=64, image_size=64)
    expected = visual_tokens(model, processor, (97, 211), 2)

    def forward(self, hidden_states, *_, **__):
        query, key, value = (
            layer(hidden_states).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), None

    monkeypatch.setattr(CLIPAttention, "forward", forward)
    found = visual_tokens(model, processor, (97, 211), 2)
    assert found[0].tolist() == expected[0].tolist()
    np.testing.assert_allclose(found[1], expected[1], atol=0.5)


def check_against_patches(model: Any, processor: Any, size: tuple[int, int], frames: int, patches: np.ndarray) -> None:
    frame_index, boxes = visual_tokens(model, processor, size, frames)
    local = without_vision_attention(model)
    seen = 0
    for number, patch in enumerate(patches):
        frame = number % frames
        change = changes(local, processor, size, frames, patch, frame)
        covered = overlap(boxes, patch)
        sees = (frame_index == frame) & (covered > 2 * ENTRY)  # of two entries one at least is bright
        may_see = (frame_index == frame) & (overlap(boxes, patch, SMEARED) > 0)
        assert (change[sees] > 0).all()
        assert (change[~may_see] == 0).all()
        if not sees.any():
            continue  # LLaVA's crop leaves the patch out
        assert sees[change.argmax()]
        seen += 1
    assert seen > len(patches) // 2


@pytest.mark.parametrize(("size", "frames"), SIZES)
def test_the_tokens_that_a_bright_patch_changes_are_those_whose_boxes_it_overlaps(tiny, size, frames):
    check_against_patches(*tiny, size, frames, random_patches(size, 6))


def test_a_patch_within_one_box_changes_that_token_alone(tiny):
    model, processor = tiny
    size, frames = (640, 480), 2
    frame_index, boxes = visual_tokens(model, processor, size, frames)
    local = without_vision_attention(model)
    inner = boxes + (boxes[:, [2, 3, 2, 3]] - boxes[:, [0, 1, 0, 1]]) * [0.45, 0.45, -0.45, -0.45]
    for token in np.random.default_rng(0).choice(len(boxes), 8, replace=False):
        patch = np.rint(inner[token]).astype(int)
        change = changes(local, processor, size, frames, patch, frame_index[token])
        assert np.flatnonzero(change).tolist() == [token]


@pytest.mark.parametrize("size", [(640, 480), (1280, 720)])
def test_with_attention_the_token_that_changes_most_is_one_that_the_patch_overlaps(tiny, size):
    model, processor = tiny
    frame_index, boxes = visual_tokens(model, processor, size, 2)
    for number, patch in enumerate(random_patches(size, 6)):
        change = changes(model, processor, size, 2, patch, number % 2)
        assert frame_index[change.argmax()] == number % 2
        assert overlap(boxes, patch)[change.argmax()] > 0
        assert (change[frame_index != number % 2] < 1e-6 * change.max()).all()


# Grids.


def grid(columns: int, rows: int, size: tuple[float, float], offset: tuple[float, float] = (0, 0)) -> np.ndarray:
    """(columns * rows, 4) boxes, row by row."""
    x, y = np.meshgrid(np.arange(columns) * size[0] / columns, np.arange(rows) * size[1] / rows)
    x, y = x.ravel() + offset[0], y.ravel() + offset[1]
    return np.stack([x, y, x + size[0] / columns, y + size[1] / rows], axis=1)


def assert_boxes(boxes: np.ndarray, expected: np.ndarray) -> None:
    """Within half a pixel (8-bit grey levels) and half an entry (resampling filters lean inward at the border)."""
    sides = expected[:, [2, 3, 2, 3]] - expected[:, [0, 1, 0, 1]]
    wrong = np.abs(boxes - expected) > 0.5 + sides * ENTRY / 2
    assert not wrong.any(), f"{boxes[wrong]} for {expected[wrong]}"


def cells_of_a_frame(name: str, processor: Any, size: tuple[int, int]) -> np.ndarray:
    """(V, 4) boxes of one of several frames, as the model's papers and processors describe them; NaN = no place."""
    width, height = size
    if name == "tiny:llava":  # the square in the middle, of a picture whose shorter side is 64 px
        reduced = [int(64 * length / min(size)) for length in size]
        px = (width / reduced[0], height / reduced[1])
        corner = ((reduced[0] - 64) // 2 * px[0], (reduced[1] - 64) // 2 * px[1])
        return grid(4, 4, (64 * px[0], 64 * px[1]), corner)
    side = max(size)
    corner = ((width - side) / 2, (height - side) / 2)
    if name == "tiny:llava-onevision":  # the square around it, and a token that ends the picture
        cells = grid(4, 4, (side, side), corner)
        shown = np.clip(cells, 0, [width, height, width, height])
        empty = (shown[:, 2] - shown[:, 0] < 1) | (shown[:, 3] - shown[:, 1] < 1)
        shown[empty] = np.nan
        return np.vstack([shown, np.full(4, np.nan)])
    shape = encode(processor, [dark(size)], QUESTION).inputs.get("image_grid_thw")
    return grid(4, 4, size) if shape is None else grid(int(shape[0, 2]) // 2, int(shape[0, 1]) // 2, size)


@pytest.mark.parametrize(("size", "frames"), SIZES)
def test_boxes_are_the_cells_of_a_grid_over_each_frame_row_by_row(tiny_name, tiny, size, frames):
    model, processor = tiny
    frame_index, boxes = visual_tokens(model, processor, size, frames)
    cells = np.tile(cells_of_a_frame(tiny_name, processor, size), (frames, 1))
    nowhere = np.isnan(cells[:, 0])
    of_frame = np.repeat(np.arange(frames), len(cells) // frames)
    assert frame_index.tolist() == np.where(nowhere, -1, of_frame).tolist()
    assert (boxes[nowhere] == 0).all()
    assert_boxes(boxes[~nowhere], cells[~nowhere])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    seen = min(size) ** 2 if tiny_name == "tiny:llava" else size[0] * size[1]
    for frame in range(frames):
        assert areas[frame_index == frame].sum() == pytest.approx(seen, rel=0.05)
    assert (boxes >= 0).all()
    assert (boxes[:, [0, 2]] <= size[0]).all()
    assert (boxes[:, [1, 3]] <= size[1]).all()


@pytest.mark.parametrize("tiny_name", ["tiny:smolvlm", "tiny:internvl3"])
@pytest.mark.parametrize("size", [(640, 480), (300, 300)])
def test_tiles_and_an_overview_each_cover_the_frame(tiny_name, size):
    model, processor = build_tiny(tiny_name, [QUESTION], hidden=64, image_size=64, tiles=4)
    frame_index, boxes = visual_tokens(model, processor, size, 2)
    half = (size[0] / 2, size[1] / 2)
    tiles = [grid(4, 4, half, (x, y)) for y in (0, half[1]) for x in (0, half[0])]
    of_a_frame = np.concatenate([*tiles, grid(4, 4, size)])
    assert frame_index.tolist() == [0] * 80 + [1] * 80
    assert_boxes(boxes, np.tile(of_a_frame, (2, 1)))
    check_against_patches(model, processor, size, 2, random_patches(size, 4))


def test_tiles_of_a_single_frame_whose_rows_end_with_a_token_that_sees_nothing():
    """LLaVA-OneVision: an overview, then 8 x 8 tokens of four tiles, less those that would show padding."""
    model, processor = build_tiny("tiny:llava-onevision", [QUESTION], hidden=64, image_size=64, tiles=4)
    frame_index, boxes = visual_tokens(model, processor, (640, 480), 1)
    rows = np.hstack([np.zeros((6, 8), int), np.full((6, 1), -1)])
    assert frame_index.tolist() == [0] * 16 + rows.ravel().tolist()
    assert_boxes(boxes[:16], grid(4, 4, (640, 480)))
    assert_boxes(boxes[16:][rows.ravel() == 0], grid(8, 6, (640, 480)))
    check_against_patches(model, processor, (640, 480), 1, random_patches((640, 480), 4))


@pytest.mark.parametrize("fill", [0, 127])
def test_tokens_that_look_at_padding_have_no_frame_and_an_empty_box(tiny, tiny_name, fill):
    model, processor = tiny
    processor = copy.deepcopy(processor)
    kind = type(processor.image_processor)

    class Letterbox(kind):
        """Puts a picture into the middle of a square, as many models do."""

        def __call__(self, images: Any, **options: Any) -> Any:
            return super().__call__([[self.square(image) for image in row] for row in images], **options)

        @staticmethod
        def square(image: np.ndarray) -> np.ndarray:
            height, width, _ = image.shape
            side = max(height, width)
            canvas = np.full((side, side, 3), fill, np.uint8)
            top, left = (side - height) // 2, (side - width) // 2
            canvas[top : top + height, left : left + width] = image
            return canvas

    processor.image_processor.__class__ = Letterbox
    frame_index, boxes = visual_tokens(model, processor, (600, 200), 2)
    end = [-1] if tiny_name == "tiny:llava-onevision" else []
    assert frame_index.tolist() == [-1] * 4 + [0] * 8 + [-1] * 4 + end + [-1] * 4 + [1] * 8 + [-1] * 4 + end
    seen = frame_index >= 0
    assert (boxes[~seen] == 0).all()
    # Cells of 150 px, the upper row of which begins 50 px above the picture and the lower ends 50 px below.
    assert_boxes(boxes[seen], np.tile(grid(4, 2, (600, 200)), (2, 1)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_any_precision_gives_the_same_boxes(tiny, dtype):
    model, processor = tiny
    frame_index, boxes = visual_tokens(model, processor, (320, 240), 2)
    other = copy.deepcopy(model).to(dtype)
    other_index, other_boxes = visual_tokens(other, processor, (320, 240), 2)
    assert (other_index == frame_index).all()
    assert (other_boxes == boxes).all()


# What is left behind.


def everything(model: Any) -> dict[str, Any]:
    configs = {key: getattr(model.config, key)._attn_implementation for key in model.config.sub_configs}
    return {
        "attention": (model.config._attn_implementation, configs),
        "training": [part.training for part in model.modules()],
        "hooks": [len(part._forward_pre_hooks) + len(part._forward_hooks) for part in model.modules()],
        "gradients": [weight.grad for weight in model.parameters()],
    }


@pytest.mark.parametrize("attention", ["sdpa", "eager", "tapped"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_as_it_was(tiny, tiny_name, pictures, attention, fails):
    model, processor = copy.deepcopy(tiny[0]), tiny[1]
    if attention == "tapped":
        enable_tap(model)
    elif (attention, tiny_name) != ("sdpa", "tiny:paligemma2"):  # whose decoder has none
        model.set_attn_implementation(attention)
    encoded = encode(processor, pictures(2), QUESTION)
    before = everything(model)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.inference_mode():
        logits = model(**encoded.inputs).logits
    if fails:
        damaged = model.get_input_embeddings().register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            visual_tokens(model, processor, (64, 48), 2)
        damaged.remove()
    else:
        visual_tokens(model, processor, (64, 48), 2)
    assert everything(model) == before
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    with torch.inference_mode():
        assert torch.equal(model(**encoded.inputs).logits, logits)
        if attention == "tapped":
            tap = AttentionTap(torch.tensor([[encoded.length - 1]]), encoded.visual, (1,))
            model(**encoded.inputs, attention_tap=tap)
            assert tap.log_attention().shape == (1, 1, len(encoded.visual))


def test_what_was_found_is_kept_for_the_same_question_alone(tiny, monkeypatch):
    model, processor = tiny[0], copy.deepcopy(tiny[1])
    boxes = TokenBoxes(model, processor)
    kept = boxes.locate((64, 48), 2)
    assert all(
        np.array_equal(one, other)
        for one, other in zip(kept, visual_tokens(model, processor, (64, 48), 2), strict=True)
    )
    expected = [array.copy() for array in kept]
    for array in kept:
        array[:] = -7  # a copy: this spoils nothing
    asked = []

    def locate(*question: Any) -> Any:
        asked.append(question)
        return np.array([len(asked)]), np.array([[len(asked)] * 4])

    monkeypatch.setattr(module, "visual_tokens", locate)
    again = boxes.locate((64, 48), 2)
    assert not asked
    assert all(np.array_equal(one, other) for one, other in zip(again, expected, strict=True))
    # Another frame size, number of frames, model or setting of the processor is another question.
    assert boxes.locate((48, 64), 2)[0].tolist() == [1]
    assert boxes.locate((64, 48), 3)[0].tolist() == [2]
    assert TokenBoxes(copy.deepcopy(model), processor).locate((64, 48), 2)[0].tolist() == [3]
    processor.image_processor.do_rescale = False
    assert boxes.locate((64, 48), 2)[0].tolist() == [4]


# Models that cannot be probed.


class MeanOfTokens(torch.nn.Module):
    """What a resampler does, at its simplest: every token is made of all."""

    def forward(self, states: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return states + states.mean(dim=1, keepdim=True)


class AttentionOfItsOwn(torch.nn.Module):
    """Mixes tokens without asking transformers' AttentionInterface."""

    def forward(self, hidden_states: torch.Tensor, **_: Any) -> tuple[torch.Tensor, None]:
        return hidden_states.mean(dim=1, keepdim=True).expand_as(hidden_states), None


def resampled(model: Any) -> None:
    model.model.connector = torch.nn.Sequential(model.model.connector, MeanOfTokens())


def own_attention(model: Any) -> None:
    for layer in model.model.vision_model.encoder.layers:
        layer.self_attn = AttentionOfItsOwn()


def blind(model: Any) -> None:
    torch.nn.init.zeros_(model.model.connector.modality_projection.proj.weight)


def cut_off(model: Any) -> None:
    class Detached(torch.nn.Module):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return states.detach()

    model.model.connector = torch.nn.Sequential(model.model.connector, Detached())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (resampled, r"\d+% of the image entries feed several visual tokens even without attention \(a resampler, or"),
        (own_attention, r"\d+% of the image entries feed several visual tokens even without attention"),
        (blind, "no visual token of Idefics3ForConditionalGeneration depends on any pixel of its frame"),
        (cut_off, "no visual token of Idefics3ForConditionalGeneration depends on any pixel of its frame"),
    ],
)
@pytest.mark.parametrize("tiny_name", ["tiny:smolvlm"])
def test_a_model_whose_tokens_have_no_place_is_refused(tiny, damage, message):
    model, processor = copy.deepcopy(tiny[0]), tiny[1]
    damage(model)
    with pytest.raises(CannotLocate, match=message) as caught:
        visual_tokens(model, processor, (64, 48), 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tiny_name", ["tiny:smolvlm"])
def test_a_model_without_eyes_is_refused(tiny):
    config = LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=600
    )
    with pytest.raises(CannotLocate, match="LlamaForCausalLM has no vision tower whose attention can be replaced"):
        visual_tokens(LlamaForCausalLM(config), tiny[1], (64, 48), 1)


@pytest.mark.parametrize("tiny_name", ["tiny:smolvlm"])
def test_a_processor_that_gives_no_image_tensor_is_refused(tiny):
    model, processor = tiny

    class Renaming:
        """Calls the image tensor by a name of its own."""

        def __getattr__(self, name: str) -> Any:
            return getattr(processor, name)

        def __call__(self, **arguments: Any) -> dict[str, Any]:
            given = processor(**arguments)
            return {{"pixel_values": "pictures"}.get(name, name): tensor for name, tensor in given.items()}

    with pytest.raises(CannotLocate, match=r"expected one image tensor from the processor, got \['input_ids'"):
        visual_tokens(copy.deepcopy(model), Renaming(), (64, 48), 1)
