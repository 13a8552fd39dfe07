"""What a fit checks before its first step, and what it survives."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.attention_tap import CannotTap
from training import fit
from training.model.out_of_memory import OutOfMemory
from training.run import data_notes, export_trial, fitting, loop, metrics_log, optimizer, preflight, run_folder
from training.settings import Settings, save_settings

FIRST_THREE = ("s0", "s1", "s2")


def sets(*values: str) -> list[str]:
    return [argument for value in values for argument in ("--set", value)]


@pytest.fixture
def run(small_bags: Path, small_settings: list[str], tmp_path: Path) -> Callable[..., Path]:
    def run(*values: str) -> Path:
        out = tmp_path / "out"
        bags = [str(small_bags / name) for name in FIRST_THREE]
        assert fit.main([*small_settings, *sets("device=cpu", *values), "--out", str(out), *bags]) == 0
        return out

    return run


@pytest.mark.parametrize(
    ("values", "error", "line"),
    [
        (["gaze_min_confidence=0.99"], data_notes.NoUsableGaze, "no training window has usable gaze .* unsure"),
        # A layer's attention does not depend on what follows it.
        (
            ["train=lora", "lora_targets=[gate_proj]", "kl_layers=[0]"],
            preflight.NoRegularizerGradient,
            "no gradient in the",
        ),
    ],
)
def test_what_could_teach_nothing_ends_before_the_first_step(
    values: list[str], error: type[GazeVlmError], line: str, run: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(error, match=line) as caught:
        run("steps=1", *values)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_tapped_ends_before_bags_are_converted(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = fitting.load_vlm

    def load_deaf(*given, **options):
        model, processor = load(*given, **options)
        decode = model.get_decoder().forward
        model.get_decoder().forward = lambda *given, attention_tap=None, **options: decode(*given, **options)
        return model, processor

    monkeypatch.setattr(fitting, "load_vlm", load_deaf)
    monkeypatch.setattr(fitting, "prepare", lambda *_: pytest.fail("bags were converted"))
    with pytest.raises(CannotTap, match="does not pass keyword arguments on to the attention"):
        run("steps=1")


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ("rank_windows", "rank the labels"),
        ("generate_windows", "generate an answer"),
        ("load_vlm", "be saved and loaded again"),
    ],
)
def test_a_model_that_would_fail_after_the_last_step_fails_before_the_first(
    broken: str, what: str, run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AttributeError("'LinearAttentionLayer' object has\nno attribute 'batch_repeat_interleave'")

    monkeypatch.setattr(export_trial, broken, fail)
    with pytest.raises(
        export_trial.CannotExport, match=f"can be trained, but not {what} .AttributeError: 'Linear"
    ) as caught:
        run("steps=1")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_step_that_does_not_fit_is_told_before_it_is_taken(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "total_bytes", lambda device: 2**20)
    with pytest.raises(OutOfMemory, match=r"try --set batch_size=4 with accumulate=2 .* gradient_checkpointing=true"):
        run("steps=1")
    assert not (tmp_path / "out").exists()


def test_two_batches_change_neither_weights_nor_random_numbers(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, seen = preflight.run_preflight, []

    def watched(model, weights, job, first_step):
        before = [weight.detach().clone() for weight in weights.values()], torch.get_rng_state()
        found = real(model, weights, job, first_step)
        seen.append(found)
        assert all(torch.equal(old, new) for old, new in zip(before[0], weights.values(), strict=True))
        assert torch.equal(before[1], torch.get_rng_state())
        assert all(weight.grad is None for weight in weights.values())
        return found

    monkeypatch.setattr(fitting, "run_preflight", watched)
    run("steps=1")
    assert seen[0].kl_gradient_share > 0
    assert seen[0].without_gradient == ()
    assert 0 < seen[0].peak_bytes < seen[0].total_bytes
    said = capsys.readouterr().out
    assert "48 windows to train on (100% with gaze)" in said
    assert "1 steps in about" in said


def test_a_guard_names_every_setting_that_changed(tmp_path: Path) -> None:
    save_settings(Settings(), tmp_path / run_folder.SETTINGS_FILE)
    (tmp_path / run_folder.STATE).write_bytes(b"")
    changed = Settings(learning_rate=2e-3, kl_weight=0.5, balance="classes", loader_workers=3)
    with pytest.raises(run_folder.CannotResume) as caught:
        run_folder.check_output(tmp_path, changed, resume=True)
    for name in ("learning_rate was 0.001 and is 0.002", "kl_weight was 1.0 and is 0.5", "balance was 'none'"):
        assert name in str(caught.value)
    assert "loader_workers" not in str(caught.value)  # the result does not depend on it
    run_folder.check_output(tmp_path, Settings(loader_workers=3), resume=True)


def test_the_weights_kept_are_those_of_least_held_out_loss(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = iter([0.5, 0.3, 0.9])
    at_check = []

    def check(model, job):
        at_check.append({name: weight.detach().clone() for name, weight in model.named_parameters()})
        return {"validation_lm": next(held_out), "validation_kl": 1.0}

    monkeypatch.setattr(loop, "check", check)
    kept = load_file(run("steps=6", "check_every=2") / "model.safetensors")
    assert len(at_check) == 3
    names = [name for name in kept if name in at_check[1]]
    assert len(names) > 10
    assert all(torch.equal(kept[name], at_check[1][name]) for name in names)
    assert not all(torch.equal(kept[name], at_check[2][name]) for name in names)


def test_bfloat16_computes_in_half_and_keeps_what_is_trained_whole(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = optimizer.make_optimizer, []
    monkeypatch.setattr(
        fitting,
        "make_optimizer",
        lambda weights, settings: seen.extend(weight.dtype for weight in weights.values()) or real(weights, settings),
    )
    out = run("steps=3", "check_every=3", "dtype=bfloat16")
    assert set(seen) == {torch.float32}
    assert {tensor.dtype for tensor in load_file(out / "model.safetensors").values()} == {torch.bfloat16}
    rows = [json.loads(line) for line in (out / run_folder.METRICS).read_text().splitlines()]
    assert rows[0]["kl"] > 0.1
    assert rows[-1]["lm"] < rows[0]["lm"]


def test_a_fit_that_is_killed_goes_on_to_the_very_same_weights(
    small_bags: Path, small_settings: list[str], tmp_path: Path
) -> None:
    bags = [str(small_bags / name) for name in FIRST_THREE]
    values = sets("steps=9", "check_every=3", "train=lora", "lora_dropout=0.1", "lora_rank=2", "device=cpu")
    command = [sys.executable, fit.__file__, *small_settings, *values, "--cache", str(tmp_path / "cache")]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # more only wait for each other on so small a model
    process = subprocess.Popen(
        [*command, "--out", str(cut), *bags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    )
    deadline = time.monotonic() + 120
    while not (cut / run_folder.STATE).exists():
        assert process.poll() is None, process.stderr.read().decode()[-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (cut / "gaze_vlm.json").exists()
    both = [
        subprocess.Popen(
            [*command, *arguments, *bags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
        )
        for arguments in (["--out", str(whole)], ["--resume", "--out", str(cut)])
    ]
    for process in both:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()[-2000:]
    for name in ("model.safetensors", "settings.yaml", "data.json", "adapter/adapter_model.safetensors"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()


def test_tensorboard_is_asked_for_before_any_work(
    small_settings: list[str], small_bags: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    arguments = [*small_settings, "--tensorboard", "--out", str(tmp_path / "out"), str(small_bags / "s0")]
    with pytest.raises(metrics_log.NoTensorBoard, match="pip install tensorboard"):
        fit.main(arguments)
    assert not (tmp_path / "out").exists()
