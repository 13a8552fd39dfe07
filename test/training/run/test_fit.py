import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_bags import write_small_bag

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata
from training import fit
from training.run import fitting, loop, optimizer, run_folder
from training.settings import Settings, load_settings

# What a user with transformers alone would write; nothing of ours is on its path.
PLAIN = """
import json, sys
import numpy as np, torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
folder, frames, question = sys.argv[1:]
model, processor = AutoModelForImageTextToText.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
said = []
for window in np.load(frames):
    content = [*({"type": "image"} for _ in window), {"type": "text", "text": question}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(text=[prompt], images=[[Image.fromarray(f) for f in window]], return_tensors="pt")
    with torch.no_grad():
        tokens = model.generate(**inputs, max_new_tokens=20, do_sample=False)
    said.append(processor.batch_decode(tokens[:, inputs["input_ids"].shape[1]:], skip_special_tokens=True)[0].strip())
assert not {"gaze_vlm_ros", "training"} & set(sys.modules)
print(json.dumps(said))
"""


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / run_folder.METRICS).read_text().splitlines()]


def test_a_fit_leaves_a_checkpoint_that_says_what_it_is(small_checkpoint: Path) -> None:
    metadata = read_checkpoint_metadata(small_checkpoint)
    assert metadata.labels == ("take the blue disc", "take the red disc")
    assert metadata.object_classes == ("blue disc", "red disc")
    assert (metadata.frames, metadata.observation_s, metadata.frame_size) == (2, 1.0, (96, 64))
    assert metadata.score_kind == "calibrated"
    assert metadata.gaze_use == "training only, real gaze, KL weight 1 falling to 0 at 50%"
    assert len(metadata.trained_on) == 3
    assert metadata.other_share is not None
    assert 0 <= metadata.other_share < 1
    assert [precision for precision, *_ in metadata.abstain_thresholds] == [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    assert metadata.abstain_thresholds[0][2] > 0  # it answers well enough for that
    assert all(0 < seconds <= metadata.horizon_s for seconds in metadata.time_to_start_s)
    assert len(metadata.time_to_start_s) == 2
    assert metadata.time_to_start_error_s is not None
    log = rows(small_checkpoint)
    assert [row["step"] for row in log] == list(range(120))
    assert log[0]["kl_weight"] == 1.0
    assert log[60]["kl_weight"] == 0.0
    assert log[-1]["validation_lm"] < 0.2 * log[0]["lm"]
    assert min(row["validation_kl"] for row in log if "validation_kl" in row) < 0.5 * log[0]["kl"]
    data = json.loads((small_checkpoint / run_folder.DATA).read_text())
    assert [(s["name"], s["part"], s["windows"]) for s in data["sessions"]] == [
        ("s0", "training", 24), ("s1", "training", 24), ("s2", "validation", 24),
    ]  # fmt: skip


def test_calibration_sessions_neither_train_nor_choose(
    small_bags: Path, small_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = ["--set", "validation=[s1]", "--set", "calibration=[s2]", "--set", "steps=2"]
    bags = [str(small_bags / f"s{seed}") for seed in range(3)]
    assert fit.main([*small_settings, *parts, "--out", str(tmp_path / "run"), *bags]) == 0
    assert "24 windows to train on (100% with gaze), 24 to choose by, 24 to calibrate on" in capsys.readouterr().out
    metadata = read_checkpoint_metadata(tmp_path / "run")
    assert (metadata.score_kind, metadata.calibrated_on) == ("calibrated", 24)
    data = json.loads((tmp_path / "run" / run_folder.DATA).read_text())
    assert [(s["name"], s["part"]) for s in data["sessions"]] == [
        ("s0", "training"), ("s1", "validation"), ("s2", "calibration"),
    ]  # fmt: skip
    assert set(metadata.trained_on) == {s["digest"] for s in data["sessions"]}


def test_plain_transformers_loads_the_checkpoint_and_answers_the_same(
    small_checkpoint: Path, small_bags: Path, tmp_path: Path
) -> None:
    from gaze_vlm_ros.session.session import load_session
    from gaze_vlm_ros.vlm.loading import load_vlm
    from gaze_vlm_ros.vlm.observation import answer_tokens, encode
    from gaze_vlm_ros.vlm.ranking import rank
    from gaze_vlm_ros.windows.cutting import cut_windows

    session = load_session(small_bags / "s3")
    windows, _ = cut_windows(0, session, load_settings(small_checkpoint / run_folder.SETTINGS_FILE))
    shown = np.stack([[session.frames.rgb(i) for i in window.frames] for window in windows[::4]])
    np.save(tmp_path / "frames.npy", shown)
    metadata = read_checkpoint_metadata(small_checkpoint)
    command = [sys.executable, "-I", "-c", PLAIN, small_checkpoint, tmp_path / "frames.npy", metadata.question]
    plain = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, check=False)
    assert plain.returncode == 0, plain.stderr[-2000:]
    said = json.loads(plain.stdout.splitlines()[-1])
    model, processor = load_vlm(small_checkpoint)
    answers = [answer_tokens(processor, label) for label in metadata.labels]
    best = [
        metadata.labels[
            rank(model, encode(processor, list(frames), metadata.question), answers).log_likelihoods.argmax()
        ]
        for frames in shown
    ]
    assert said == best
    assert set(said) == set(metadata.labels)


def test_an_interrupted_fit_goes_on_to_the_very_same_weights(
    small_bags: Path, small_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = [*small_settings, "--set", "steps=24", "--set", "check_every=10", "--cache", str(tmp_path / "cache")]
    bags = [str(small_bags / f"s{seed}") for seed in range(3)]
    assert fit.main([*common, "--out", str(tmp_path / "whole"), *bags]) == 0

    handled = signal.getsignal(signal.SIGINT)
    asked = 0

    def noted() -> bool:
        nonlocal asked
        asked += 1
        return asked > 10  # it asks once a step

    with monkeypatch.context() as patch:
        patch.setattr(loop, "note_signals", lambda: noted)
        assert fit.main([*common, "--out", str(tmp_path / "cut"), *bags]) == 130
    assert not (tmp_path / "cut" / "gaze_vlm.json").exists()
    done = len(rows(tmp_path / "cut"))
    assert 5 < done < 20
    # As after a kill: a step that was logged, and whose state was not saved.
    with (tmp_path / "cut" / run_folder.METRICS).open("a") as log:
        log.write(json.dumps({"step": done, "lm": 99.0}) + "\n")
    assert fit.main([*common, "--resume", "--out", str(tmp_path / "cut"), *bags]) == 0
    for name in ("model.safetensors", "settings.yaml", "data.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert [row["lm"] for row in rows(tmp_path / "cut")] == [row["lm"] for row in rows(tmp_path / "whole")]
    signal.signal(signal.SIGINT, handled)


def test_a_finished_fit_is_lengthened_from_its_last_step(
    small_bags: Path, small_settings: list[str], tmp_path: Path
) -> None:
    """With a constant rate and no λ, where a length changes nothing else, it is the fit that was longer at once."""
    constant = [part for value in ("minimum_rate=1", "warmup=0", "gaze=none", "keep=last") for part in ("--set", value)]
    common = [*small_settings, *constant, "--cache", str(tmp_path / "cache")]
    bags = [str(small_bags / f"s{seed}") for seed in range(3)]
    for name, steps in (("long", 6), ("short", 4)):
        assert fit.main([*common, "--set", f"steps={steps}", "--out", str(tmp_path / name), *bags]) == 0
    again = [*common, "--resume", "--out", str(tmp_path / "short"), *bags]
    with pytest.raises(run_folder.CannotResume, match="has finished its 4 steps; --set steps=N lengthens it"):
        fit.main([*again, "--set", "steps=4"])
    with pytest.raises(run_folder.CannotResume, match="steps was 4 and is 3"):
        fit.main([*again, "--set", "steps=3"])
    assert fit.main([*again, "--set", "steps=6"]) == 0
    for name in ("model.safetensors", "settings.yaml"):
        assert (tmp_path / "short" / name).read_bytes() == (tmp_path / "long" / name).read_bytes()
    assert [row["lm"] for row in rows(tmp_path / "short")] == [row["lm"] for row in rows(tmp_path / "long")]


def test_lora_trains_the_language_model_and_leaves_plain_weights(
    small_bags: Path, small_settings: list[str], tmp_path: Path
) -> None:
    from peft import PeftModel
    from safetensors.torch import load_file

    from gaze_vlm_ros.vlm.loading import load_vlm

    bags = [str(small_bags / f"s{seed}") for seed in range(3)]
    arguments = [
        "--set",
        "train=lora",
        "--set",
        "lora_rank=4",
        "--set",
        "steps=3",
        "--set",
        "gradient_checkpointing=true",
    ]
    assert fit.main([*small_settings, *arguments, "--out", str(tmp_path / "lora"), *bags]) == 0
    settings = load_settings(tmp_path / "lora" / run_folder.SETTINGS_FILE)
    metadata = read_checkpoint_metadata(tmp_path / "lora")
    before, _ = load_vlm(
        settings.model, texts=[metadata.question, *metadata.labels], seed=settings.seed, **settings.model_options
    )
    after = load_file(tmp_path / "lora" / "model.safetensors")
    old = {name: tensor for name, tensor in before.state_dict().items() if name in after}
    assert set(old) == set(after)
    changed = {name for name in after if not torch.equal(after[name], old[name])}
    assert changed
    assert all("text_model" in name and name.split(".")[-2] in settings.lora_targets for name in changed)
    # The adapters alone, as peft puts them on what was fine-tuned, are the same model.
    merged = PeftModel.from_pretrained(before, tmp_path / "lora" / fitting.ADAPTER).merge_and_unload().state_dict()
    assert all(torch.allclose(merged[name], after[name], rtol=0, atol=1e-6) for name in after)


def test_controls_differ_in_gaze_alone(small_bags: Path, small_settings: list[str], tmp_path: Path) -> None:
    bags = [str(small_bags / f"s{seed}") for seed in range(3)]
    common = [*small_settings, "--set", "steps=2", "--cache", str(tmp_path / "cache")]
    for arm in ("real", "none", "shuffled"):
        assert fit.main([*common, "--gaze", arm, "--out", str(tmp_path / arm), *bags]) == 0
    real, none, shuffled = (rows(tmp_path / arm) for arm in ("real", "none", "shuffled"))
    assert real[0]["lm"] == none[0]["lm"] == shuffled[0]["lm"]  # same windows, same weights to begin with
    assert real[0]["kl"] != shuffled[0]["kl"]
    assert none[0]["kl_weight"] == 0.0
    assert read_checkpoint_metadata(tmp_path / "none").gaze_use == "none"
    assert len(list((tmp_path / "cache" / "images").glob("*.arrow"))) == len(bags)  # once for all three


@pytest.mark.parametrize(
    ("made", "arguments", "line"),
    [
        ({}, ["absent"], "no such bag: .*absent"),
        ({}, ["."], "no bag in"),
        ({"gaze": False}, ["bag"], "has no gaze"),
        ({"labels": False}, ["bag"], "has no labels"),
        ({}, ["bag", "--set", "observation_s=500"], "give no window: .* with too few frames before them"),
        ({}, ["bag", "--set", "model=tiny:nonsense"], "no tiny model 'tiny:nonsense'"),
        ({}, ["bag", "--set", "model=./nowhere/model", "--set", "model_options={}"], "no such model folder"),
        ({}, ["bag", "--set", "model_options={image_size: 50}"], "image_size"),
        ({}, ["bag", "--set", "train=lora", "--set", "lora_targets=[nothing]"], "no layer of .* is called nothing"),
        ({}, ["bag", "--set", "kl_layers=[9]"], "kl_layers"),
        ({}, ["bag", "--resume"], "no interrupted fit in"),
        ({}, ["bag", "--set", "validation=0.5"], "no session is left to train on"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    made: dict[str, Any], arguments: list[str], line: str, small_settings: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "bag":
        write_small_bag(tmp_path / "bag", 0, takes=4, **made)
    out = tmp_path / "out"
    with pytest.raises(GazeVlmError, match=line) as caught:
        fit.main([*small_settings, "--set", "validation=0", "--set", "steps=1", "--out", str(out), *arguments])
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_a_bag_that_was_cut_off_is_one_line_that_says_what_to_do(
    small_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gaze_vlm_ros.errors import exit_code

    bag = write_small_bag(tmp_path / "bag", 0, takes=4)
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes()[:-5000])
    arguments = [*small_settings, "--out", str(tmp_path / "out"), str(bag)]
    assert exit_code("fit.py", lambda: fit.main(arguments)) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("fit.py: error: ")
    assert "was cut off while it was written" in line
    assert "`gaze-vlm bag recover`" in line
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(
    small_bags: Path, small_settings: list[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(run_folder.WillNotOverwrite, match="is not empty"):
        fit.main([*small_settings, "--out", str(tmp_path), str(small_bags / "s0")])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_learning_rate_rises_and_falls() -> None:
    settings = Settings(steps=100, warmup=0.1, minimum_rate=0.05)
    factors = [optimizer.rate_factor(step, settings) for step in range(101)]
    assert factors[0] == pytest.approx(1 / 11)
    assert max(factors) == pytest.approx(1.0, abs=1e-3)
    assert np.argmax(factors) == 10
    assert factors[100] == pytest.approx(0.05)
    assert all(a > b for a, b in itertools.pairwise(factors[10:]))
