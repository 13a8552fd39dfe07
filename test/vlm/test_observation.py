"""Frames and a question as the model takes them, and answers as it would write them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaze_vlm_ros.vlm.observation import (
    NoVisualTokens,
    UnusableText,
    answer_tokens,
    decode_answer,
    encode,
    label_tokens,
    open_thinking,
    require_plain_text,
)
from gaze_vlm_ros.vlm.tiny import build_tiny

QUESTION = "What will the person do next?"


def test_the_same_frames_give_the_same_bits(tiny, pictures):
    _, processor = tiny
    first = encode(processor, pictures(3), QUESTION)
    # Other memory, another order of bytes in it, the same pixels.
    second = encode(processor, [np.asfortranarray(picture) for picture in pictures(3)], QUESTION)
    assert first.inputs.keys() == second.inputs.keys()
    assert all(torch.equal(first.inputs[name], second.inputs[name]) for name in first.inputs)
    assert torch.equal(first.visual, second.visual)
    other = encode(processor, pictures(3, seed=1), QUESTION)
    assert not torch.equal(first.inputs["pixel_values"], other.inputs["pixel_values"])


def test_frames_come_in_their_order(tiny, pictures):
    _, processor = tiny
    frames = pictures(3)
    forward, backward = encode(processor, frames, QUESTION), encode(processor, frames[::-1], QUESTION)
    pixels, reversed_pixels = forward.inputs["pixel_values"], backward.inputs["pixel_values"]
    if pixels.ndim == 2:  # a list of patches, the same number for each frame
        pixels, reversed_pixels = (p.view(3, -1, p.shape[1]) for p in (pixels, reversed_pixels))
    of_frames = pixels.shape.index(3)  # the first axis of three; colours come after it
    assert torch.equal(pixels.flip(of_frames), reversed_pixels)


def test_visual_positions_are_those_of_the_image_token(tiny, pictures):
    model, processor = tiny
    encoded = encode(processor, pictures(2), QUESTION)
    ids = encoded.inputs["input_ids"][0]
    assert (ids[encoded.visual] == model.config.image_token_id).all()
    assert (ids == model.config.image_token_id).sum() == len(encoded.visual)
    assert encoded.length == len(ids)
    assert encoded.visual.max() < encoded.length - 1


def test_no_frames_is_one_clear_line(tiny):
    with pytest.raises(NoVisualTokens, match="the question has no frames; give at least one"):
        encode(tiny[1], [], QUESTION)


@pytest.mark.parametrize("answer", ["take the red mug", "go", "something nobody trained on, 棚"])
def test_answer_tokens_are_what_the_chat_template_writes(tiny, tiny_name, pictures, answer):
    _, processor = tiny
    tokens = answer_tokens(processor, answer)
    end = processor.tokenizer.eos_token_id
    assert tokens[-1] == end
    assert tokens.count(end) == 1
    assert processor.tokenizer.decode(tokens[:-1], clean_up_tokenization_spaces=False).strip() == answer
    # The prompt's tokens and the answer's, one behind the other, are the tokens of the whole conversation.
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}
    reply = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
    from PIL import Image

    frame = pictures(1)
    images = [[Image.fromarray(frame[0])]]
    if tiny_name == "tiny:paligemma2":  # its processor writes a line break between question and answer
        asked = processor.apply_chat_template([turn], tokenize=False)
        ids = processor(text=[asked], suffix=[answer], images=images)["input_ids"][0]
    else:
        whole = processor.apply_chat_template([turn, reply], tokenize=False)
        ids = processor(text=[whole], images=images, return_tensors="pt")["input_ids"][0].tolist()
    prompt = encode(processor, frame, QUESTION).inputs["input_ids"][0].tolist()
    assert ids[: len(prompt) + len(tokens)] == prompt + tokens


def test_an_answer_is_decoded_to_what_was_trained(tiny):
    _, processor = tiny
    for answer in ("take the red mug", "go", "棚"):
        assert decode_answer(processor, answer_tokens(processor, answer)) == answer


THINKING = "<think>\n\n</think>\n\n"


@pytest.fixture
def thinker():
    """A processor whose template writes an empty thinking block into replies alone, as Qwen3's does."""
    _, processor = build_tiny("tiny:smolvlm", [QUESTION, "take the red mug"], hidden=32, image_size=32)
    said = "{{ ' ' + part['text'] }}"
    assert said in processor.chat_template
    shown = "{% if message['role'] == 'assistant' %}{{ THINKING }}{% endif %}" + said
    processor.chat_template = (
        "{% set THINKING = " + repr(THINKING) + " %}" + processor.chat_template.replace(said, shown)
    )
    return processor


def test_text_that_the_template_writes_into_replies_is_no_part_of_the_answer(thinker):
    tokens = answer_tokens(thinker, "take the red mug")
    assert THINKING in thinker.tokenizer.decode(tokens)  # trained, as a server would generate it
    assert decode_answer(thinker, tokens) == "take the red mug"
    pad, end = thinker.tokenizer.pad_token_id, thinker.tokenizer.eos_token_id
    assert decode_answer(thinker, [*tokens, pad, *tokens[:-1]]) == "take the red mug"  # nothing after the end
    alone = thinker.tokenizer("take the red mug", add_special_tokens=False)["input_ids"]
    assert decode_answer(thinker, [*alone, end]) == "take the red mug"  # a model that does not write the block


def test_a_thinking_block_that_stays_open_is_found(thinker):
    assert open_thinking(thinker) == ""
    thinker.chat_template = thinker.chat_template.replace("Assistant:", "Assistant:<think>\n")
    assert open_thinking(thinker) == "<think>"


def test_labels_that_the_model_cannot_tell_apart_are_named():
    from tokenizers import normalizers

    _, processor = build_tiny("tiny:smolvlm", [QUESTION, "take the red mug"], hidden=32, image_size=32)
    assert len(label_tokens(processor, ["Pour", "pour"])) == 2
    processor.tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    with pytest.raises(UnusableText, match="labels 'Pour' and 'pour' are the same tokens") as caught:
        label_tokens(processor, ["Pour", "stir", "pour"])
    assert "\n" not in str(caught.value)


def test_a_label_with_a_token_of_the_template_is_named(tiny):
    _, processor = tiny
    for token in (processor.image_token, processor.tokenizer.eos_token):
        with pytest.raises(UnusableText, match=r"the label .* holds .* a token of the model's template"):
            answer_tokens(processor, f"take {token} away")
        with pytest.raises(UnusableText, match=r"the question .* holds"):
            require_plain_text(processor, "question", f"what is in {token}?")
