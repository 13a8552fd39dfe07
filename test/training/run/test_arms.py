"""Other uses of gaze and other forms of the regularizer: what each changes, and that none reaches the robot."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gaze_vlm_ros.prediction.backends.model import ModelBackend
from gaze_vlm_ros.prediction.checkpoint import NotACheckpoint, read_checkpoint_metadata
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.vlm.loading import load_vlm
from training import evaluate, fit
from training.data.gaze_prompt import question, question_with_gaze, with_ring
from training.data.gaze_targets import prior_target, session_of
from training.data.preparation import prepare
from training.data.recordings import find_bags, load_recordings
from training.model.forward import answer_losses
from training.model.gaze_block import add_gaze_block, gaze_block_of
from training.model.supervision import NoSuchHead, NoSuchLayer
from training.run.batch_sampler import chosen_rows
from training.run.batches import NumberedBatches
from training.run.job import Job, Parts
from training.settings import BadSettings, Settings, settings_from

TINY = {"image_size": 32, "patch_size": 8, "merge": 2, "hidden": 32, "text_layers": 3, "vision_layers": 1}
ROWS = np.arange(6)


def of(**changed: object) -> Settings:
    own = {"frames": 2, "observation_s": 1.0, "leads_s": [0.4, 1.0], "gaze_flow": False, "gaze_window_s": 0.1}
    return settings_from({"model_options": TINY, **own, **changed}, "test")


def data_of(settings: Settings, bags: Path):
    recordings = load_recordings(find_bags([bags / "s0", bags / "s1"]), settings)
    model, processor = load_vlm(
        settings.model, texts=[question(settings), "take the red disc", "take the blue disc"], **settings.model_options
    )
    from gaze_vlm_ros.labels.label_set import collect_labels
    from gaze_vlm_ros.vlm.attention_tap import enable_tap

    enable_tap(model)
    labels = collect_labels([("take the red disc", "", ""), ("take the blue disc", "", "")])
    return model, prepare(recordings, labels, settings, model, processor, gaze_shown_in=recordings[:1])


def test_gaze_in_words_is_in_the_prompts_of_training_alone(small_bags: Path) -> None:
    settings = of(gaze_as="text")
    _, data = data_of(settings, small_bags)
    shown, hidden = data.batch(ROWS, with_gaze=True), data.batch(ROWS)
    assert shown.inputs["input_ids"].shape == hidden.inputs["input_ids"].shape
    differ = (shown.inputs["input_ids"] != hidden.inputs["input_ids"]).any(dim=1)
    assert differ.tolist() == [bool(sum(len(p) for p, _ in data.gaze_points(row))) for row in ROWS]
    assert differ.any()
    processor = data.gaze_prompts.processor
    points = [(np.array([[48.0, 16.0]]), np.ones(1)), (np.empty((0, 2)), np.empty(0))]
    assert question_with_gaze(settings, points, (96, 64)) == "What will the person do next? Gaze: 50 25, 00 00."
    text = processor.tokenizer.decode(data.gaze_prompts(points)["input_ids"][0])
    assert "Gaze: 50 25, 00 00." in text
    assert "Gaze: 00 00, 00 00." in processor.tokenizer.decode(hidden.inputs["input_ids"][0])


def test_gaze_is_drawn_into_the_pictures_of_training_alone(small_bags: Path) -> None:
    _, plain = data_of(of(), small_bags)
    _, drawn = data_of(of(gaze_as="drawn"), small_bags)
    for session, changed in ((0, True), (1, False)):  # the first is shown
        rows = plain.rows_of([session])[:4]
        same = torch.equal(plain.prepared.images(rows)["pixel_values"], drawn.prepared.images(rows)["pixel_values"])
        assert same != changed
    picture = np.full((60, 100, 3), 128, np.uint8)
    ringed = with_ring(picture, np.array([[30.0, 20.0], [32.0, 22.0]]), np.array([1.0, 1.0]))
    rows, columns = np.nonzero((ringed != picture).any(axis=2))
    np.testing.assert_allclose([columns.mean(), rows.mean()], [31, 21], atol=0.6)
    assert np.hypot(columns - 31, rows - 21).max() < 7
    assert with_ring(picture, np.empty((0, 2)), np.empty(0)) is picture


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"gaze": "none", "gaze_as": "text"}, "gaze"),
        ({"gaze_shift_s": -10.5}, "gaze_shift_s"),
        ({"gaze_shift_s": 1.5}, "gaze_shift_s"),
        ({"kl_heads": "some"}, "kl_heads"),
        ({"kl_heads": []}, "kl_heads"),
        ({"kl_heads": [0, -1]}, "kl_heads"),
        ({"kl_heads": [0, "L1H0"]}, "kl_heads"),
        ({"kl_heads": ["1.0"]}, "kl_heads"),
        ({"kl_heads": ["L1H0"], "kl_layers": [1]}, "kl_layers"),
        ({"kl_heads": "located", "gaze_as": "block"}, "kl_heads"),
        ({"kl_sinks": 5.0, "gaze_as": "head"}, "kl_sinks"),
        ({"kl_sinks": -1.0}, "kl_sinks"),
        ({"kl_located": 0}, "kl_located"),
    ],
)
def test_what_does_not_go_together_is_refused(changed: dict[str, object], name: str) -> None:
    with pytest.raises(BadSettings, match=f"setting {name} is"):
        of(**changed)


def test_forms_of_the_regularizer_by_hand(small_bags: Path) -> None:
    """Each from the attention of every head, in float64 by the formula in training/loss.py."""
    model, data = data_of(of(), small_bags)
    batch = data.batch(ROWS[:3])
    length, answer = batch.inputs["input_ids"].shape[1], batch.answer_tokens.shape[1]
    model.set_attn_implementation("eager")
    weights = torch.stack(model(**batch.inputs, output_attentions=True).attentions)[1:2]  # the middle third of 3
    rows = weights[:, :, :, length - answer - 1 : length - 1][..., batch.visual].double()
    heads = (rows / rows.sum(-1, keepdim=True)).transpose(0, 1).flatten(1, 2)  # (B, L H, R, V)
    gaze = batch.gaze.double()[:, None]
    counts = batch.answer_tokens != -100

    def mean_kl(attention: torch.Tensor, reverse: bool, first: bool) -> float:
        """attention: (B, N, R, V)"""
        p, q = (
            (attention, gaze[:, None].clamp(min=1e-6)) if reverse else (gaze[:, None].expand_as(attention), attention)
        )
        kl = (torch.xlogy(p, p) - p * q.log()).sum(-1)
        return (kl[:, :, 0].mean() if first else (kl * counts[:, None]).sum() / (counts.sum() * kl.shape[1])).item()

    from gaze_vlm_ros.vlm.attention_tap import enable_tap

    model.set_attn_implementation("sdpa")
    enable_tap(model)
    for changed, attention, reverse, first in [
        ({}, heads.mean(1, True), False, False),
        ({"kl_heads": "each"}, heads, False, False),
        ({"kl_heads": [1]}, heads[:, 1:2], False, False),
        ({"kl_heads": [0, 1]}, heads[:, :2].mean(1, True), False, False),
        ({"kl_heads": ["L1H2", "L1H0"]}, heads[:, [0, 2]].mean(1, True), False, False),
        ({"kl_direction": "reverse"}, heads.mean(1, True), True, False),
        ({"kl_rows": "first"}, heads.mean(1, True), False, True),
    ]:
        _, kl = answer_losses(model, batch, of(**changed), with_attention=True)
        assert kl.item() == pytest.approx(mean_kl(attention, reverse, first), abs=2e-5), changed


def test_a_head_that_the_model_does_not_have_is_refused(small_bags: Path, tmp_path: Path) -> None:
    options = ["--set", f"model_options={TINY}", "--set", "kl_heads=[1, 9]", "--set", "gaze_flow=false"]
    bags = [str(small_bags / "s0"), str(small_bags / "s1")]
    with pytest.raises(NoSuchHead, match=r"kl_heads holds 9, and tiny:smolvlm has heads 0 to 3"):
        fit.main([*options, "--out", str(tmp_path / "out"), *bags])
    with pytest.raises(NoSuchLayer, match=r"kl_heads names a head of layer 7, and tiny:smolvlm looks at pictures in "):
        fit.main([*options, "--set", "kl_heads=[L7H0]", "--out", str(tmp_path / "out"), *bags])


def test_gaze_can_be_of_another_moment(small_bags: Path) -> None:
    _, own = data_of(of(), small_bags)
    _, earlier = data_of(of(gaze_shift_s=-5.0), small_bags)
    session = load_session(small_bags / "s0")
    row = int(np.flatnonzero(own.has_gaze & earlier.has_gaze)[3])
    window = earlier.windows[row]
    assert window.session == 0
    for index, (points, _) in zip(window.frames, earlier.gaze_points(row), strict=True):
        upto_ns = session.frames.stamps_ns[index] - 5_000_000_000
        within = (session.gaze.stamps_ns > upto_ns - 100_000_000) & (session.gaze.stamps_ns <= upto_ns)
        at_that_time = {tuple(point) for point in session.gaze.xy[within].tolist()}
        assert {tuple(point) for point in points.tolist()} <= at_that_time
    assert (own.gaze[row] != earlier.gaze[row]).any()


def test_one_gaze_sample_is_the_newest_that_counts(small_bags: Path, tmp_path: Path) -> None:
    _, several = data_of(of(), small_bags)
    _, one = data_of(of(gaze_samples="newest"), small_bags)
    looked = np.flatnonzero(several.has_gaze)
    assert (several.has_gaze == one.has_gaze).all()
    assert len(looked) > 5
    for row in looked:
        for (points, _), (newest, _) in zip(several.gaze_points(row), one.gaze_points(row), strict=True):
            np.testing.assert_array_equal(newest, points[-1:])
    assert max(len(points) for points, _ in several.gaze_points(int(looked[0]))) > 1


def test_fixations_are_found_where_the_tracker_gives_none(small_bags: Path) -> None:
    known, path = of(gaze_samples="fixations"), small_bags / "s0"
    assert (session_of(path, known).gaze.eye_state == load_session(path).gaze.eye_state).all()  # this one gives them
    _, several = data_of(of(), small_bags)
    _, fixations = data_of(known, small_bags)
    np.testing.assert_array_equal(several.gaze[3], fixations.gaze[3])


def test_priors_stand_for_gaze_where_there_is_some(small_bags: Path) -> None:
    _, data = data_of(of(), small_bags)
    uniform, centred = (
        prior_target(kind, data.frame_of_token, data.boxes, data.frame_size) for kind in ("uniform", "centred")
    )
    np.testing.assert_allclose(uniform, 1 / len(uniform))
    assert centred.sum() == pytest.approx(1, abs=1e-6)
    centres = (data.boxes[:, :2] + data.boxes[:, 2:]) / 2
    np.testing.assert_allclose(centred @ centres, [48, 32], atol=0.5)
    far, near = (np.hypot(*(centres - [48, 32]).T) * sign for sign in (1, -1))
    assert centred[far.argmax()] < centred[near.argmax()]
    job = Job(data, Parts(ROWS, ROWS[:0], ROWS[:0]), np.arange(len(data.windows)), centred, of(), "cpu", None, "")
    batch = NumberedBatches(job)[0, 0]
    for row, target in zip(job.batch_rows(0), batch.gaze, strict=True):
        np.testing.assert_allclose(target, centred * data.has_gaze[row])


def test_an_error_of_the_tracker_moves_targets_and_scores_are_made_with_true_gaze(small_bags: Path) -> None:
    _, true = data_of(of(), small_bags)
    _, wrong = data_of(of(gaze_error=0.2), small_bags)
    looked = np.flatnonzero(true.has_gaze & wrong.has_gaze)
    moved = np.abs(true.gaze[looked] - wrong.gaze[looked]).sum(axis=1)
    assert (moved > 0).all()
    # In px of the tracker: 0.2 of 96 px, two axes; a window's gaze moves as one.
    assert np.median(moved) > 0.5


def test_fewer_windows_are_among_more() -> None:
    rows = np.arange(100, 150)
    few, more = (set(chosen_rows(rows, Settings(windows=count)).tolist()) for count in (10, 30))
    assert len(few) == 10
    assert few < more < set(rows.tolist())
    assert chosen_rows(rows, Settings()) is rows


def test_a_gaze_block_changes_nothing_at_first_and_is_led(small_bags: Path) -> None:
    model, data = data_of(of(), small_bags)
    batch = data.batch(ROWS[:2])
    before = model(**batch.inputs).logits
    block = add_gaze_block(model, data.visual)
    assert gaze_block_of(model) is block
    torch.testing.assert_close(model(**batch.inputs).logits, before)
    settings = of(gaze_as="block")
    _, kl = answer_losses(model, batch, settings, with_attention=True)
    gaze = batch.gaze.double()
    torch.testing.assert_close(block.log_attention.exp().sum(-1), torch.ones(2))
    expected = (torch.xlogy(gaze, gaze) - gaze * block.log_attention.double()).sum(-1).mean()
    assert kl.item() == pytest.approx(expected.item(), abs=1e-5)
    kl.backward()
    assert block.key.weight.grad.abs().max() > 0


def test_a_checkpoint_with_a_block_is_evaluated_and_never_deployed(
    small_bags: Path, small_settings: list[str], tmp_path: Path
) -> None:
    out, scores = tmp_path / "block", tmp_path / "scores.json"
    bags = [str(small_bags / f"s{seed}") for seed in range(3)]
    quick = ["--set", "steps=60", "--set", "gaze_as=block"]
    assert fit.main([*small_settings, *quick, "--out", str(out), *bags]) == 0
    assert read_checkpoint_metadata(out).gaze_block
    assert evaluate.main([str(out), str(small_bags / "s3"), "--json", str(scores)]) == 0
    with_block = json.loads(scores.read_text())["groups"]["elsewhere"]
    with pytest.raises(NotACheckpoint, match="gaze block"):
        ModelBackend(out)
    # The block is in the answers: without its weights they are others.
    metadata = json.loads((out / "gaze_vlm.json").read_text())
    (out / "gaze_vlm.json").write_text(json.dumps(metadata | {"gaze_block": False}))
    assert evaluate.main([str(out), str(small_bags / "s3"), "--json", str(tmp_path / "without.json")]) == 0
    without = json.loads((tmp_path / "without.json").read_text())["groups"]["elsewhere"]
    assert with_block["negative_log_likelihood"] != without["negative_log_likelihood"]
