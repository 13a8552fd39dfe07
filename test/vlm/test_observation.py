"""Frames and a question as the model takes them, and answers as it would write them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaze_vlm_ros.vlm.observation import NoVisualTokens, answer_tokens, encode

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
