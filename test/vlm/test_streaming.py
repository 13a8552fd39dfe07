"""Windows of one video, read one after another, are what each is when it is read alone."""

import logging

import numpy as np
import pytest

from gaze_vlm_ros.vlm.attention_tap import enable_tap, middle_layers
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.observation import answer_tokens, encode
from gaze_vlm_ros.vlm.prompt import Prompt, read_prompt, replaced, vision_owner
from gaze_vlm_ros.vlm.ranking import Ranker
from gaze_vlm_ros.vlm.streaming import Stream

STREAMED = ["smolvlm", "qwen2.5-vl", "qwen3-vl", "internvl3", "llava", "gemma3", "paligemma2"]
# One cuts a lone picture into tiles, and leaves several whole; the other has no get_image_features.
READ_ANEW = ["llava-onevision", "mllama"]
QUESTION = "What next?"
# Frames leave at the front, or another comes at the end alone, or there is a jump.
WINDOWS = [(0, 1, 2), (1, 2, 3), (1, 2, 4), (1, 2, 5), (5, 6, 7)]


def prepared(name: str):
    model, processor = load_vlm(f"tiny:{name}", texts=[QUESTION, "take"], seed=0)
    enable_tap(model.eval())
    return model, processor


def require_equal(streamed: Prompt, whole: Prompt) -> None:
    assert (streamed.log_probabilities - whole.log_probabilities).abs().max() < 1e-4
    assert streamed.attention is not None
    assert (streamed.attention - whole.attention).abs().max() < 1e-5


def video(count: int = 8) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 48, 64, 3), np.uint8))


@pytest.mark.parametrize("name", [*STREAMED, *READ_ANEW])
def test_streaming_equals_the_whole_window_pass(name: str) -> None:
    model, processor = prepared(name)
    layers = middle_layers(model)
    stream, frames = Stream(model, processor, QUESTION, layers), video()
    for window in WINDOWS:
        shown = [frames[number] for number in window]
        streamed = stream.read(shown, window)
        whole = read_prompt(model, encode(processor, shown, QUESTION), layers)
        require_equal(streamed, whole)


@pytest.mark.parametrize("name", STREAMED)
def test_the_vision_tower_sees_each_frame_once(name: str) -> None:
    model, processor = prepared(name)
    stream, frames = Stream(model, processor, QUESTION), video()
    stream.read(frames[:3], (0, 1, 2))
    calls = 0

    def counted(original, *arguments, **options):
        nonlocal calls
        calls += 1
        return original(*arguments, **options)

    with replaced(vision_owner(model), "get_image_features", counted):
        stream.read(frames[1:4], (1, 2, 3))
        assert calls == 1
        stream.read(frames[1:4], (1, 2, 3))
        assert calls == 1
        # Predictions may come faster than a window's frames lie apart: windows then show other frames by turns.
        for newest in (4, 5):
            stream.read([frames[newest - 2], frames[newest]], (newest - 2, newest))
        calls = 0
        for newest in (6, 7):
            stream.read([frames[newest - 2], frames[newest]], (newest - 2, newest))
        assert calls == 2
    assert set(stream.stages) == {"preprocess", "vision", "language"}


def test_a_model_that_cannot_be_read_so_is_read_whole_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    model, processor = prepared("llava-onevision")
    with caplog.at_level(logging.WARNING):
        stream = Stream(model, processor, QUESTION)
        for window in WINDOWS[:2]:
            stream.read([video()[n] for n in window], window)
    assert sum("reads each window in full, which takes longer" in text for text in caplog.messages) == 1


def test_stamps_that_come_again_after_a_clock_was_set_back_are_other_frames() -> None:
    model, processor = prepared("smolvlm")
    stream, frames = Stream(model, processor, QUESTION), video()
    stream.read(frames[:3], (10, 11, 12))
    stream.read(frames[3:6], (13, 14, 15))
    again = stream.read(frames[5:8], (12, 13, 14))
    whole = read_prompt(model, encode(processor, frames[5:8], QUESTION))
    assert (again.log_probabilities - whole.log_probabilities).abs().max() < 1e-4


def test_frames_of_another_size_begin_anew() -> None:
    model, processor = prepared("smolvlm")
    stream, frames = Stream(model, processor, QUESTION), video()
    stream.read(frames[:3], (0, 1, 2))
    small = [np.ascontiguousarray(frame[:32, :32]) for frame in frames[:3]]
    read = stream.read(small, (3, 4, 5))
    whole = read_prompt(model, encode(processor, small, QUESTION))
    assert (read.log_probabilities - whole.log_probabilities).abs().max() < 1e-4


OTHER = "What next, or what now?"


@pytest.mark.parametrize("name", [*STREAMED, *READ_ANEW])
def test_another_question_is_read_as_in_a_pass_of_its_own(name: str) -> None:
    model, processor = prepared(name)
    layers = middle_layers(model)
    stream, frames = Stream(model, processor, QUESTION, layers), video()
    for window in WINDOWS:
        shown = [frames[number] for number in window]
        stream.read(shown, window)
        other = stream.ask(OTHER, layers)
        whole = read_prompt(model, encode(processor, shown, OTHER), layers)
        require_equal(other, whole)
    again = stream.ask(OTHER, layers)
    assert (again.log_probabilities - other.log_probabilities).abs().max() < 1e-6


@pytest.mark.parametrize("name", STREAMED)
def test_another_question_reads_no_frame_again(name: str) -> None:
    """The tower does not run, and where the model's memory can be cut, only the question's own tokens are read."""
    model, processor = prepared(name)
    stream, frames = Stream(model, processor, QUESTION), video()
    stream.read(frames[:3], (0, 1, 2))
    stream.ask(OTHER)
    prompt = stream.read(frames[1:4], (1, 2, 3))
    towers, lengths = 0, []

    def seen(original, *arguments, **options):
        nonlocal towers
        towers += 1
        return original(*arguments, **options)

    def decoded(original, *arguments, **options):
        lengths.append(options["inputs_embeds"].shape[1])
        return original(*arguments, **options)

    tower, decoder = vision_owner(model), model.get_decoder()
    with replaced(tower, "get_image_features", seen), replaced(decoder, "forward", decoded):
        stream.ask(OTHER)
    assert towers == 0
    own = prompt.length - int(prompt.visual[-1])
    assert lengths[0] < own + 20 or name == "paligemma2"  # its question and pictures see each other


@pytest.mark.parametrize("name", STREAMED)
def test_answers_to_another_question_in_one_pass_are_those_after_its_prompt(name: str) -> None:
    """The likelihoods differ by one number, that of the question itself, so the probabilities do not."""
    model, processor = prepared(name)
    stream, frames = Stream(model, processor, QUESTION), video()
    answers = [answer_tokens(processor, text) for text in ("take", "take the mug", "nothing")]
    stream.read(frames[:3], (0, 1, 2))
    assert stream.shared(OTHER) is None  # not tried yet
    stream.ask(OTHER)
    for window in WINDOWS[1:]:
        stream.read([frames[number] for number in window], window)
        shared = stream.shared(OTHER)
        if shared is None:
            assert name == "paligemma2"
            continue
        prompt, before = shared
        assert prompt.length > int(prompt.visual[-1])
        after = Ranker(model, answers).rank_after(stream.ask(OTHER)).log_likelihoods
        ranked = Ranker(model, [[*before, *answer] for answer in answers]).rank_after(prompt).log_likelihoods
        np.testing.assert_allclose(ranked - ranked[0], after - after[0], atol=1e-3)


def test_another_question_needs_a_window() -> None:
    with pytest.raises(ValueError, match="no window was read"):
        Stream(*prepared("smolvlm"), QUESTION).ask(OTHER)
