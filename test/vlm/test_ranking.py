"""Ranking against each answer scored alone, by one whole pass without a cache and with eager attention."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from gaze_vlm_ros.labels.answer_words import AnswerWords
from gaze_vlm_ros.vlm import ranking as ranking_module
from gaze_vlm_ros.vlm.answer_inputs import kinds_of_answer, with_answers
from gaze_vlm_ros.vlm.attention_tap import CannotTap
from gaze_vlm_ros.vlm.observation import Encoded, answer_tokens, encode, label_tokens
from gaze_vlm_ros.vlm.ranking import Ranker, rank

QUESTION = "What will the person do next?"
ANSWERS = [
    "take the red mug",
    "take the red mug from the box",  # begins as the one before
    "go",
    "take the yellow screwdriver from the box",
    "open the drawer",
]
LAYERS = (1, 2)


@pytest.fixture
def sharp(tiny) -> Any:
    """The answers of a fresh tiny model hardly depend on what it is shown; its decoder is enlarged so that they do."""
    model = copy.deepcopy(tiny[0])
    with torch.no_grad():
        for layer in model.get_decoder().layers:
            for name, factor in (("q_proj", 6), ("k_proj", 6), ("v_proj", 4), ("o_proj", 4)):
                getattr(layer.self_attn, name).weight.mul_(factor)
    return model


@pytest.fixture
def asked(tiny, pictures) -> Encoded:
    return encode(tiny[1], pictures(2, (64, 48)), QUESTION)


@pytest.fixture
def answers(tiny) -> list[list[int]]:
    return [answer_tokens(tiny[1], answer) for answer in ANSWERS]


def with_answer(model: Any, encoded: Encoded, answer: list[int]) -> dict[str, torch.Tensor]:
    """Inputs of the question and one answer to it."""
    tokens = torch.tensor([answer])
    return with_answers(encoded.inputs, tokens, torch.ones_like(tokens), kinds_of_answer(model, encoded))


def alone(model: Any, encoded: Encoded, answer: list[int], layers: tuple[int, ...]) -> tuple[float, np.ndarray]:
    """Log-likelihood of one answer, and (V,) the attention of the rows that predict it."""
    model = copy.deepcopy(model)
    model.set_attn_implementation("eager")
    inputs = with_answer(model, encoded, answer)
    with torch.inference_mode():
        output = model(**inputs, use_cache=False, output_attentions=True)
    rows = slice(encoded.length - 1, encoded.length - 1 + len(answer))
    likelihoods = output.logits[0, rows].double().log_softmax(dim=-1)
    total = sum(likelihoods[number, token].item() for number, token in enumerate(answer))
    attention = torch.cat([output.attentions[layer][0][:, rows][:, :, encoded.visual] for layer in layers]).double()
    attention = attention / attention.sum(dim=-1, keepdim=True)
    return total, attention.mean(dim=(0, 1)).numpy()


def assert_is_brute_force(model: Any, encoded: Encoded, answers: list[list[int]]) -> None:
    ranking = rank(model, encoded, answers, LAYERS)
    expected = [alone(model, encoded, answer, LAYERS) for answer in answers]
    np.testing.assert_allclose(ranking.log_likelihoods, [total for total, _ in expected], rtol=0, atol=1e-5)
    assert ranking.attention is not None
    assert ranking.attention.shape == (len(answers), len(encoded.visual))
    np.testing.assert_allclose(ranking.attention, [attention for _, attention in expected], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(ranking.attention.sum(axis=1), 1, rtol=1e-6)


def test_it_is_brute_force(sharp, asked, answers):
    assert len({len(answer) for answer in answers}) > 2
    assert answers[0][:-1] == answers[1][: len(answers[0]) - 1]
    assert_is_brute_force(sharp, asked, answers)


def test_one_answer_one_token_and_the_same_answer_twice(sharp, asked, answers):
    assert_is_brute_force(sharp, asked, answers[3:4])
    assert_is_brute_force(sharp, asked, [answers[0][-1:]])  # nothing but the end
    assert_is_brute_force(sharp, asked, [answers[0], answers[2], answers[0]])


def test_what_is_seen_and_asked_decides(tiny, sharp, asked, answers, pictures):
    """Were pictures or question ignored, or left over from the ranking before, brute force would still agree above."""
    first = rank(sharp, asked, answers, LAYERS)
    others = [
        encode(tiny[1], pictures(2, (64, 48), seed=1), QUESTION),
        encode(tiny[1], pictures(2, (64, 48))[::-1], QUESTION),
        encode(tiny[1], pictures(3, (96, 48)), "Next?"),
    ]
    for other in others:
        assert_is_brute_force(sharp, other, answers)
        moved = rank(sharp, other, answers).log_likelihoods - first.log_likelihoods
        assert np.abs(moved).max() > 0.01
    again = rank(sharp, asked, answers, LAYERS)
    assert (again.log_likelihoods == first.log_likelihoods).all()
    assert (again.attention == first.attention).all()


def test_the_order_of_the_answers_does_not_matter(sharp, asked, answers):
    straight = rank(sharp, asked, answers, LAYERS)
    order = np.array([3, 0, 4, 2, 1])
    shuffled = rank(sharp, asked, [answers[index] for index in order], LAYERS)
    np.testing.assert_allclose(shuffled.log_likelihoods, straight.log_likelihoods[order], rtol=1e-6)
    np.testing.assert_allclose(shuffled.attention, straight.attention[order], rtol=1e-5, atol=1e-7)


def test_without_layers_there_is_no_attention_and_the_same_likelihoods(sharp, asked, answers):
    plain = rank(sharp, asked, answers)
    assert plain.attention is None
    assert (plain.log_likelihoods == rank(sharp, asked, answers, LAYERS).log_likelihoods).all()


def test_the_question_and_the_model_are_left_as_they_were(sharp, asked, answers):
    inputs = {name: tensor.clone() for name, tensor in asked.inputs.items()}
    with torch.inference_mode():
        before = sharp(**asked.inputs).logits
        rank(sharp, asked, answers, LAYERS)
        assert torch.equal(sharp(**asked.inputs).logits, before)
    assert all(torch.equal(asked.inputs[name], tensor) for name, tensor in inputs.items())


def test_likelihoods_are_the_losses_that_transformers_trains_with(sharp, asked, answers):
    losses = []
    for answer in answers:
        inputs = with_answer(sharp, asked, answer)
        labels = inputs["input_ids"].clone()
        labels[:, : asked.length] = -100
        with torch.inference_mode():
            losses.append(sharp(**inputs, labels=labels).loss.item() * len(answer))
    np.testing.assert_allclose(rank(sharp, asked, answers).log_likelihoods, -np.array(losses), rtol=1e-5)


def test_a_layer_that_does_not_exist_is_named(sharp, asked, answers):
    with pytest.raises(CannotTap, match=r"decoder layers \[7\] gave no attention: the model has no such layers"):
        rank(sharp, asked, answers, (1, 7))


def test_in_rows_it_is_brute_force_too(sharp, asked, answers, monkeypatch):
    monkeypatch.setattr(Ranker, "_reads_trees", lambda *_: False)
    assert_is_brute_force(sharp, asked, answers)
    monkeypatch.setattr(ranking_module, "PASS_BYTES", 1)  # a row at a time
    assert_is_brute_force(sharp, asked, answers)


def test_models_read_trees(sharp, asked, answers, caplog):
    """The fallback would hide it if none did. A convolution over neighbouring tokens (LFM2) cannot."""
    rank(sharp, asked, answers)
    convolves = "Lfm2" in type(sharp).__name__
    assert ("in rows, not as a tree" in caplog.text) == convolves


def test_a_model_that_cannot_read_a_tree_is_found_out(sharp, asked, answers, monkeypatch, caplog):
    """Here every node sees its neighbours: what a model does that ignores the mask."""
    expected = rank(sharp, asked, answers).log_likelihoods
    model = copy.deepcopy(sharp)
    monkeypatch.setattr(
        ranking_module.AnswerTree, "sees", lambda tree: np.tril(np.ones((len(tree.tokens), len(tree.tokens)), bool))
    )
    ranker = Ranker(model, answers)
    np.testing.assert_allclose(ranker.rank(asked).log_likelihoods, expected, atol=1e-5)
    np.testing.assert_allclose(ranker.rank(asked).log_likelihoods, expected, atol=1e-5)
    assert caplog.text.count("in rows, not as a tree") == 1


@pytest.mark.parametrize("tiny_name", ["tiny:smolvlm"])
def test_a_ranker_compares_tree_and_rows_once_and_again_when_passes_get_longer(
    tiny, sharp, asked, answers, pictures, monkeypatch
):
    compared = []

    def no_problem(_model: Any, prompt: Any, _tree: Any, _answers: Any) -> str:
        compared.append(prompt.length)
        return ""

    monkeypatch.setattr(ranking_module, "_tree_problem", no_problem)
    ranker = Ranker(sharp, answers)
    longer = encode(tiny[1], pictures(3, (64, 48)), QUESTION)
    for encoded in (asked, asked, longer, asked, longer):
        ranker.rank(encoded)
    assert compared == [asked.length, longer.length]
    Ranker(sharp, answers).rank(asked)  # another ranker of the same model knows nothing of it
    assert compared == [asked.length, longer.length, asked.length]


@pytest.mark.parametrize("tiny_name", ["tiny:smolvlm", "tiny:gemma3"])  # masks of two kinds
def test_a_thousand_answers_in_passes_that_fit_into_memory(sharp, tiny, asked, monkeypatch):
    verbs = ["take", "open", "put down", "turn", "pour", "push", "wipe", "cut", "fold", "hand over"]
    texts = [f"{verb} the {colour} {number}" for verb in verbs for colour in ("red", "blue") for number in range(50)]
    answers = [answer_tokens(tiny[1], text) for text in texts]
    whole = rank(sharp, asked, answers).log_likelihoods
    some = np.random.default_rng(0).choice(len(texts), 4, replace=False)
    for row in some:
        assert whole[row] == pytest.approx(alone(sharp, asked, answers[row], LAYERS)[0], abs=1e-4)
    monkeypatch.setattr(ranking_module, "PASS_BYTES", 4 << 20)
    np.testing.assert_allclose(rank(sharp, asked, answers).log_likelihoods, whole, rtol=0, atol=1e-4)


def test_marginals_of_what_and_when_are_brute_force(tiny, sharp, asked):
    words, actions = AnswerWords(("soon", "later"), "nothing yet"), ["take the red mug", "open the drawer", "go"]
    tokens = label_tokens(tiny[1], words.texts(actions))
    table, nothing = words.table(softmax(rank(sharp, asked, tokens).log_likelihoods))
    single = {text: np.exp(alone(sharp, asked, answer, LAYERS)[0])
              for text, answer in zip(words.texts(actions), tokens, strict=True)}  # fmt: skip
    total = sum(single.values())
    for row, action in enumerate(actions):
        parts = [single[f"{when} {action}"] / total for when in words.when]
        np.testing.assert_allclose(table[row], parts, rtol=1e-4)
        assert table[row].sum() == pytest.approx(sum(parts), rel=1e-4)
    assert nothing == pytest.approx(single["nothing yet"] / total, rel=1e-4)
