"""The base model: pictures without end, questions whose answers are true, and a folder that is made once."""

import itertools
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gaze_vlm_ros.sim.bench_scene import OBJECTS
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.tiny import build_tiny
from training import pretrain
from training.pretraining import pretraining
from training.pretraining.conversation import NOT_ASKED, Conversations
from training.pretraining.locating import LocatingHead, attention_loss
from training.pretraining.pictures import Observation, observations
from training.pretraining.questions import GRID, HAND, HOLDING, NEAREST, TIPS, nearest, turns, words
from training.pretraining.settings import BadPretraining, PretrainSettings, Stage, load_pretrain_settings

ROOT = Path(__file__).resolve().parents[3]
TINY = {"image_size": 32, "patch_size": 8, "merge": 2, "hidden": 32, "text_layers": 3, "vision_layers": 1}
SETTINGS = PretrainSettings(
    model_options=TINY, stages=(Stage(1, 2, 2), Stage(2, 1, 2)), check_every=2, check_pictures=4, width=96
)


def some(count: int, frames: int = 1, stream: int = 0) -> list[Observation]:
    return list(itertools.islice(observations(SETTINGS, Stage(frames, 1, 1), stream), count))


def test_pictures_are_the_same_for_the_same_seed_and_others_in_another_stream() -> None:
    first, again, other = some(3, 2), some(3, 2), some(3, 2, stream=1)
    for one, two, three in zip(first, again, other, strict=True):
        assert len(one.frames) == 2
        np.testing.assert_array_equal(one.frames, two.frames)
        np.testing.assert_array_equal(one.places, two.places)
        assert (one.frames[0] != three.frames[0]).any()
    assert first[0].frames[0].shape == (72, 96, 3)


@pytest.mark.parametrize("bench", [1, 2])
def test_a_thing_is_drawn_where_its_place_is(bench: int) -> None:
    """Its colour covers the most of a small square around its place, where the hand is far away."""
    checked = 0
    for one in itertools.islice(observations(replace(SETTINGS, width=192), Stage(1, 1, 1, (bench,)), 0), 12):
        height, width, _ = one.frames[-1].shape
        for index, (x, y) in enumerate(one.places * (width, height)):
            if np.linalg.norm((one.places[index] - one.hand) * 6) < 2 or not (6 < x < width - 6 and 6 < y < height - 6):
                continue
            patch = one.frames[-1][round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5].reshape(-1, 3).mean(axis=0)
            hues = [np.dot(patch - patch.mean(), np.subtract(thing.colour, np.mean(thing.colour))) for thing in OBJECTS]
            norms = [np.linalg.norm(np.subtract(thing.colour, np.mean(thing.colour))) for thing in OBJECTS]
            checked += 1
            assert index in np.argsort(np.divide(hues, norms))[-3:]
    assert checked > 20


def test_benches_take_turns_and_a_hand_that_nobody_sees_is_in_no_question() -> None:
    drawn = list(itertools.islice(observations(replace(SETTINGS, width=192), Stage(1, 1, 1), 0), 160))
    for first, second in ((drawn[:8], drawn[8:16]), (drawn[16:24], drawn[24:32])):
        places = [{tuple(np.round(place, 2)) for one in part for place in one.places} for part in (first, second)]
        assert len(places[0]) < len(places[1])  # bench 1 has twelve places, bench 2 any
    hidden = [one for one in drawn if not one.hand_seen]
    assert 0 < len(hidden) < 40
    assert all(nearest(one) is None for one in hidden)


def test_answers_are_true_of_the_last_frame_and_unclear_questions_are_not_asked() -> None:
    rng = np.random.default_rng(0)
    places = np.array([[0.1, 0.5], [0.3, 0.5], [0.5, 0.5], [0.7, 0.5], [0.9, 0.5], [0.55, 0.55]])
    one = Observation([], places, places, np.array([0.32, 0.5]), True, None)
    asked = {turn.question: turn for _ in range(60) for turn in turns(rng, one, 4)}
    assert asked[NEAREST].answer == "the blue box"
    assert asked[NEAREST].about == 1
    assert asked[HOLDING].answer == "nothing"
    assert asked[HAND].answer == "column 2 row 4"
    assert asked[HAND].about == TIPS
    assert asked["Where is the red mug?"].answer == "column 1 row 4"
    assert asked["Which thing is at column 6 row 4?"].answer == "the orange tape"
    assert "Which thing is at column 4 row 4?" not in asked  # two are there
    between = Observation([], places, places, np.array([0.2, 0.5]), True, None)
    assert nearest(between) is None
    assert all(turn.question != NEAREST for _ in range(20) for turn in turns(rng, between, 4))
    carrying = Observation([], places, places, np.array([0.2, 0.5]), True, 4)
    assert nearest(carrying).answer == "the orange tape"
    hidden = Observation([], places, places, np.array([0.32, 0.5]), False, None)
    assert all(turn.question not in (NEAREST, HOLDING, HAND) for _ in range(20) for turn in turns(rng, hidden, 4))
    assert GRID == 6


def test_the_words_of_questions_answers_and_actions_are_single_tokens() -> None:
    _, processor = build_tiny("tiny:smolvlm", words(), **TINY)
    for text in (
        " take the red mug",
        " soon take the red mug",
        " the purple sponge",
        " nothing yet",
        " Which thing is the hand nearest to?",
    ):
        assert len(processor.tokenizer(text)["input_ids"]) == len(text.replace("?", " ?").split())


def test_each_answer_token_is_predicted_from_the_position_before_it() -> None:
    _, processor = build_tiny("tiny:smolvlm", words(), **TINY)
    talk = Conversations(processor, (96, 72))
    seen = some(2, 2)
    questions = [turns(np.random.default_rng(1), one, 3) for one in seen]
    asked = talk.inputs(seen, questions)
    for row, turns_of in enumerate(questions):
        ids = asked.inputs["input_ids"][row]
        at = torch.nonzero(asked.targets[row] != NOT_ASKED).flatten()
        assert (asked.targets[row][at] == ids[at + 1]).all()
        said = processor.tokenizer.decode(asked.targets[row][at])
        assert said.split("<end_of_utterance>")[:-1] == [f" {turn.answer}" for turn in turns_of]
        count = int((asked.about[row] >= 0).sum())
        assert asked.rows[row][:count].tolist() == at.tolist()
        whole = processor.tokenizer.decode(ids)
        assert all(f"User: {turn.question}" in whole for turn in turns_of[1:])
    assert len(talk.visual(2)) == 2 * len(talk.visual(1))


def test_attention_is_drawn_to_the_thing_asked_about_and_padding_does_not_count() -> None:
    coverage = torch.zeros(1, 4, TIPS + 1)
    coverage[0, 1, 2], coverage[0, 3, 2] = 0.2, 0.6
    log_attention = torch.log(torch.tensor([[[0.5, 0.2, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25]]]))
    about = torch.tensor([[2, -1]])
    by_hand = 0.25 * np.log(0.25 / 0.2) + 0.75 * np.log(0.75 / 0.1)
    assert attention_loss(log_attention, coverage, about).item() == pytest.approx(by_hand, rel=1e-5)
    # The first two tokens are of an earlier frame.
    earlier = torch.log(torch.tensor([[[0.4, 0.3, 0.15, 0.06, 0.06, 0.03]] * 2]))
    expected = 0.25 * np.log(0.25 / 0.06) + 0.75 * np.log(0.75 / 0.03)
    assert attention_loss(earlier, coverage, about).item() == pytest.approx(expected, rel=1e-5)
    assert attention_loss(log_attention, coverage, torch.tensor([[0, -1]])).item() == 0  # the thing is on no token


def test_a_row_that_sees_no_picture_costs_nothing_where_it_is_padding() -> None:
    log_attention = torch.full((1, 2, 2), float("nan"), requires_grad=True)
    with torch.no_grad():
        log_attention[0, 0] = torch.tensor([0.25, 0.75]).log()
    coverage = torch.tensor([[[1.0], [0.0]]])
    loss = attention_loss(log_attention, coverage, torch.tensor([[0, -1]]))
    assert loss.item() == pytest.approx(np.log(4))
    loss.backward()
    assert log_attention.grad is not None
    assert torch.equal(log_attention.grad, torch.tensor([[[-1.0, 0.0], [0.0, 0.0]]]))


def test_coverage_is_the_share_of_a_token_that_a_thing_covers() -> None:
    model, _ = build_tiny("tiny:smolvlm", words(), **TINY)
    boxes = np.array([[0, 0, 48, 36], [48, 0, 96, 36], [0, 36, 48, 72], [48, 36, 96, 72]], float)
    head = LocatingHead(model, boxes, 96)
    places = np.full((len(OBJECTS), 2), 5.0)  # off the picture
    places[0] = 0.5, 0.25  # on the border of the upper two, wholly in their rows
    covered = head.coverage([Observation([], places, places, np.array([0.75, 0.75]), True, None)])[0]
    np.testing.assert_allclose(covered[:, 0], [40 * 80 / (320 * 240)] * 2 + [0, 0], rtol=1e-5)
    np.testing.assert_allclose(covered[:, TIPS], [0, 0, 0, 60 * 60 / (320 * 240)], rtol=1e-5)
    assert not covered[:, 1:TIPS].any()


def test_a_base_model_is_made_once_for_its_settings_and_is_a_plain_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pretraining.base_model(SETTINGS, tmp_path)
    record = json.loads((folder / pretraining.RECORD).read_text())
    assert [(check["step"], check["frames"]) for check in record["checks"]] == [(2, 1), (3, 2)]
    assert all(0 <= check["nearest_accuracy"] <= 1 for check in record["checks"])
    model, _ = load_vlm(folder)
    assert not [name for name, _ in model.named_parameters() if "locating" in name]
    monkeypatch.setattr(pretraining, "pretrain", None)  # must not be called
    assert pretraining.base_model(SETTINGS, tmp_path) == folder
    other = PretrainSettings(model_options=TINY, seed=1)
    assert pretraining.base_folder(other, tmp_path) != folder


def test_the_shipped_base_is_that_of_the_shipped_recipe(tmp_path: Path) -> None:
    settings = load_pretrain_settings(ROOT / "config" / "pretrain_workbench.yaml")
    folder = pretraining.base_model(settings, tmp_path)
    assert folder.parent == pretraining.SHIPPED
    assert not list(tmp_path.iterdir())
    assert [path.name for path in pretraining.SHIPPED.iterdir()] == [settings.key]  # and no older one beside it
    record = json.loads((folder / pretraining.RECORD).read_text())
    assert record["settings"] == json.loads(json.dumps(asdict(settings)))
    model, processor = load_vlm(folder)
    for text in words():  # the tokenizer is that of today's questions and answers
        assert processor.tokenizer.unk_token_id not in processor.tokenizer(text)["input_ids"]
    talk = Conversations(processor, (settings.width, settings.width * 3 // 4))
    again = pretraining.nearest_accuracy(model, talk, settings, settings.stages[-1])
    assert again == record["checks"][-1]["nearest_accuracy"] > 2 / len(OBJECTS)


def test_how_well_a_base_sees_each_bench_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def accuracy(model: object, talk: object, settings: PretrainSettings, stage: Stage) -> float:
        asked.append((settings.check_pictures, stage.frames, stage.benches))
        return stage.benches[0] / 8

    monkeypatch.setattr(pretraining, "nearest_accuracy", accuracy)
    command = ["--config", str(ROOT / "config" / "pretrain_workbench.yaml"), "--cache", str(tmp_path)]
    assert pretrain.main([*command, "--check", "7"]) == 0
    assert asked == [(7, 3, (1,)), (7, 3, (2,))]
    printed = capsys.readouterr().out
    assert "bench 1: the nearest thing is named in 0.125 of 7 pictures" in printed
    assert "bench 2: the nearest thing is named in 0.250 of 7 pictures" in printed
    with pytest.raises(BadPretraining, match="--check is 0, expected"):
        pretrain.main([*command, "--check", "0"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=Qwen/Qwen2.5-VL-3B-Instruct", "setting model is 'Qwen/Qwen2.5-VL-3B-Instruct', expected tiny:"),
        ("stages=[]", "setting stages is empty"),
        ("stages=[{frames: 0, steps: 1, batch_size: 1}]", "setting stages holds .*expected numbers above 0"),
        ("questions=0", "setting questions is 0"),
        ("gaze=real", "unknown setting gaze"),
    ],
)
def test_settings_that_cannot_be_are_refused(override: str, message: str) -> None:
    with pytest.raises(BadPretraining, match=message):
        load_pretrain_settings(None, [override])


def test_the_shipped_recipe_fits_the_shipped_fit() -> None:
    from training.settings import load_settings

    root = Path(__file__).resolve().parents[3]
    base, fit = (
        load_pretrain_settings(root / "config/pretrain_workbench.yaml"),
        load_settings(root / "config/fit_demo.yaml"),
    )
    assert (base.model, base.model_options) == (fit.model, fit.model_options)
    assert base.stages[-1].frames == fit.frames
    assert base.frame_step_s == pytest.approx(fit.part_s)
