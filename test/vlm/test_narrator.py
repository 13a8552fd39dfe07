"""A narrator takes question and picture as other models do, and its files are those of transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import TEXTS, located
from transformers import AutoModelForImageTextToText

from gaze_vlm_ros.vlm.answer_inputs import kinds_of_answer, with_answers
from gaze_vlm_ros.vlm.attention_tap import CannotTap, middle_layers, require_tap
from gaze_vlm_ros.vlm.generating import generate_after
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.narrator import OnePicture
from gaze_vlm_ros.vlm.observation import decode_answer, encode, label_tokens
from gaze_vlm_ros.vlm.prompt import read_prompt
from gaze_vlm_ros.vlm.ranking import rank
from gaze_vlm_ros.vlm.token_boxes import visual_tokens

NAME = "vit-gpt2"
FRAME = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def test_the_prompt_is_the_question_and_each_answer_is_read_back() -> None:
    _, processor = located(NAME)
    encoded = encode(processor, [FRAME], TEXTS[0])
    tokenizer = processor.tokenizer
    assert tokenizer.decode(encoded.inputs["input_ids"][0]) == f"{tokenizer.bos_token}{TEXTS[0]}\n"
    for tokens, text in zip(label_tokens(processor, TEXTS[1:]), TEXTS[1:], strict=True):
        assert tokens[-1] == tokenizer.eos_token_id
        assert decode_answer(processor, tokens) == text
    with pytest.raises(OnePicture, match="takes one picture, and there are 2; set frames: 1"):
        encode(processor, [FRAME] * 2, TEXTS[0])


def test_ranked_and_generated_answers_are_those_of_whole_passes() -> None:
    model, processor = located(NAME)
    encoded = encode(processor, [FRAME], TEXTS[0])
    answers = label_tokens(processor, TEXTS[1:])
    ranking = rank(model, encoded, answers)
    for number, answer in enumerate(answers):
        tokens = torch.tensor([answer])
        inputs = with_answers(encoded.inputs, tokens, torch.ones_like(tokens), kinds_of_answer(model, encoded))
        with torch.inference_mode():
            logits = model(**inputs).logits[0, encoded.length - 1 : -1].double().log_softmax(dim=-1)
        total = sum(float(logits[at, token]) for at, token in enumerate(answer))
        assert ranking.log_likelihoods[number] == pytest.approx(total, abs=1e-4)
    with torch.inference_mode():
        theirs = model.generate(**encoded.inputs, max_new_tokens=4, do_sample=False)[0]
    assert theirs[: encoded.length].tolist() == encoded.inputs["input_ids"][0].tolist()
    ours = generate_after(model, read_prompt(model, encoded), {processor.tokenizer.eos_token_id}, 4)
    assert ours.tokens == theirs[encoded.length :].tolist()


def test_saved_files_load_here_and_in_plain_transformers(tmp_path: Path) -> None:
    model, processor = located(NAME)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, loaded = load_vlm(tmp_path)
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    inputs, same = (encode(one, [FRAME], TEXTS[0]).inputs for one in (processor, loaded))
    with torch.inference_mode():
        expected = model(**inputs).logits
        assert torch.equal(again(**same).logits, expected)
        theirs = plain(pixel_values=inputs["pixel_values"], decoder_input_ids=inputs["input_ids"])
    assert torch.equal(theirs.logits, expected)


def test_its_keys_have_boxes_but_their_attention_cannot_be_read() -> None:
    model, processor = located(NAME)
    frame_of_token, boxes = visual_tokens(model, processor, (64, 48), 1)
    assert frame_of_token.tolist() == [-1] + [0] * 16  # the first stands for the whole picture
    np.testing.assert_allclose(boxes[-1], [48, 36, 64, 48], atol=0.5)
    with pytest.raises(CannotTap, match="can be neither read nor supervised by gaze; gaze_as: block "):
        require_tap(model, processor, middle_layers(model))
