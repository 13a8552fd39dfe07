"""Heads that look where gaze is, and attention sinks, each beside attention of an eager model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_arms import data_of, of

from gaze_vlm_ros.vlm.attention_tap import enable_tap
from training import fit
from training.model.forward import answer_losses
from training.run.attention_survey import (
    SURVEY,
    OnlySinks,
    attention_sinks,
    located_heads,
    survey_attention,
    survey_text,
    surveyed,
)
from training.run.job import Job, Parts

ROWS = np.arange(6)


def job_of(data, settings) -> Job:
    none = np.array([], np.int64)
    gaze_of = np.arange(len(data.windows))
    return Job(data, Parts(ROWS, none, none), gaze_of, None, settings, "cpu", None, "")  # type: ignore[arg-type]


@pytest.fixture
def eager(small_bags: Path):
    """(model, data, attention of every head (L, B, H, R, V) float64 in ROWS, (B, R) rows that count)."""
    model, data = data_of(of(), small_bags)
    model.eval()
    batch = data.batch(ROWS)
    length, answer = batch.inputs["input_ids"].shape[1], batch.answer_tokens.shape[1]
    model.set_attn_implementation("eager")
    with torch.no_grad():
        weights = torch.stack(model(**batch.inputs, output_attentions=True).attentions).double()
    rows = weights[:, :, :, length - answer - 1 : length - 1][..., batch.visual]
    model.set_attn_implementation("sdpa")
    enable_tap(model)
    return model, data, rows / rows.sum(-1, keepdim=True), (batch.answer_tokens != -100).double()


def test_located_heads_are_those_with_most_attention_where_gaze_is(eager) -> None:
    model, data, attention, counts = eager
    gaze = torch.from_numpy(data.gaze[ROWS]).double()
    region = (gaze >= gaze.amax(1, keepdim=True) / 2).double()
    mass = (torch.einsum("lbhrv,bv,br->lbh", attention, region, counts) / counts.sum(1)[:, None]).mean(1)  # (L, H)
    order = sorted((-mass[layer, head].item(), layer, head) for layer in range(3) for head in range(4))
    for layers, number in (((), 3), ((), 1), ((1,), 2)):
        settings = of(kl_heads="located", kl_located=number, kl_layers=list(layers), batch_size=4)
        expected = [(layer, head) for _, layer, head in order if not layers or layer in layers][:number]
        assert located_heads(model, job_of(data, settings)) == [f"L{layer}H{head}" for layer, head in sorted(expected)]


def test_the_loss_of_located_heads_is_that_of_their_mean(eager) -> None:
    model, data, attention, counts = eager
    job = job_of(data, of(kl_heads="located", kl_located=2))
    found = survey_attention(model, job)
    job = surveyed(job, found)
    named = [(layer, head) for layer, heads in job.settings.named_heads.items() for head in heads]
    mean = torch.stack([attention[layer, :, head] for layer, head in named]).mean(0)
    gaze = torch.from_numpy(data.gaze[ROWS]).double()[:, None].expand_as(mean)
    of_rows = (torch.xlogy(gaze, gaze) - gaze * mean.log()).sum(-1)
    expected = ((of_rows * counts).sum(1) / counts.sum(1)).mean()
    _, kl = answer_losses(model, job.data.batch(ROWS), job.settings, with_attention=True)
    assert kl.item() == pytest.approx(expected.item(), abs=2e-5)
    assert survey_text(found, 8) == f"gaze leads heads {', '.join(found['heads'])}"


def test_sinks_are_high_in_every_window_and_left_out_of_the_loss(eager) -> None:
    model, data, attention, counts = eager
    middle = attention[1].mean(1)  # (B, R, V)
    of_windows = (middle * counts[..., None]).sum(1) / counts.sum(1)[:, None]
    least = of_windows.amin(0) * of_windows.shape[1]  # times an even share
    threshold = float(least.sort().values[-3:-1].mean())  # between the second and the third
    job = job_of(data, of(kl_sinks=threshold, batch_size=4))
    sinks = attention_sinks(model, job)
    assert sinks == sorted(least.argsort()[-2:].tolist())
    job = surveyed(job, {"sinks": sinks})
    kept = [token for token in range(len(least)) if token not in sinks]
    gaze, seen = torch.from_numpy(data.gaze[ROWS]).double()[:, kept], middle[..., kept]
    gaze = (gaze / gaze.sum(-1, keepdim=True))[:, None].expand_as(seen)
    of_rows = (torch.xlogy(gaze, gaze) - gaze * (seen / seen.sum(-1, keepdim=True)).log()).sum(-1)
    expected = ((of_rows * counts).sum(1) / counts.sum(1)).mean()
    _, kl = answer_losses(model, job.data.batch(ROWS), job.settings, with_attention=True)
    assert kl.item() == pytest.approx(expected.item(), abs=2e-5)
    with pytest.raises(OnlySinks, match=r"kl_sinks is 1e-06, by which \d+ of \d+ visual tokens are attention sinks"):
        attention_sinks(model, job_of(data, of(kl_sinks=1e-6)))


def test_without_a_regularizer_nothing_is_measured(eager) -> None:
    model, data, *_ = eager
    job = job_of(data, of(kl_heads="located", gaze="none"))
    assert survey_attention(model, job) == {}
    assert surveyed(job, {}) is job
    assert survey_attention(model, replace(job, settings=of(kl_heads="located", kl_weight=0.0))) == {}


def test_a_fit_says_and_keeps_what_it_found_and_a_longer_one_goes_on_with_it(
    small_bags: Path, small_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bags = [str(small_bags / f"s{seed}") for seed in range(3)]
    own = ["steps=4", "check_every=2", "kl_heads=located", "kl_located=2", "kl_sinks=1.05", "kl_schedule=constant"]
    given = [*small_settings, *(part for value in own for part in ("--set", value))]
    assert fit.main([*given, "--out", str(tmp_path / "out"), *bags]) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "out" / SURVEY).read_text())
    assert f"gaze leads heads {', '.join(found['heads'])}; {len(found['sinks'])} of 8 visual tokens are" in said
    assert len(found["heads"]) == 2
    assert fit.main([*given, "--set", "steps=6", "--resume", "--out", str(tmp_path / "out"), *bags]) == 0
    assert f"gaze leads heads {', '.join(found['heads'])};" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / SURVEY).read_text()) == found
