"""Models by name, from folders and from the hub's cache; what is said about those that are not there or damaged."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, LlamaConfig, LlamaForCausalLM

from gaze_vlm_ros.vlm.image_processors import BadPictureOption, set_picture_options
from gaze_vlm_ros.vlm.loading import ModelTooLarge, UnknownModel, load_vlm
from gaze_vlm_ros.vlm.observation import answer_tokens, encode
from gaze_vlm_ros.vlm.tiny import TINY_MODELS, build_tiny

QUESTION = "What will the person do next?"
A_WEIGHT = "model.text_model.layers.1.mlp.up_proj.weight"
WEIGHTS, CONFIG = "model.safetensors", "config.json"
SIZES = {"hidden": 64, "image_size": 64}


@pytest.fixture
def saved(tiny, tmp_path) -> Path:
    model, processor = tiny
    model.save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def attempts(monkeypatch) -> list[Any]:
    """Hosts that somebody tried to reach; none can be."""
    tried: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> None:
        tried.append(arguments)
        raise OSError("no network in this test")

    # Once a process the hub's client sends for what it names itself by, model or no model.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


def assert_same_model(model: Any, expected: Any) -> None:
    assert type(model) is type(expected)
    ours, theirs = model.state_dict(), expected.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype
        assert torch.equal(ours[name], tensor), name
    assert not model.training


def test_tiny_models_come_by_name_with_their_options(tiny_name):
    model, processor = load_vlm(tiny_name, texts=[QUESTION], seed=3, text_layers=2, **SIZES)
    expected, expected_processor = build_tiny(tiny_name, [QUESTION], 3, text_layers=2, **SIZES)
    assert_same_model(model, expected)
    assert processor.tokenizer.get_vocab() == expected_processor.tokenizer.get_vocab()
    assert model.config.get_text_config().num_hidden_layers == 2
    half, _ = load_vlm(tiny_name, texts=[QUESTION], dtype=torch.bfloat16, **SIZES)
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}


def test_a_folder_gives_the_same_bits_and_asks_no_network(tiny, saved, pictures, monkeypatch, attempts):
    model, processor = tiny
    before = {path: path.read_bytes() for path in saved.iterdir()}
    loaded, loaded_processor = load_vlm(saved)
    assert_same_model(loaded, model)
    monkeypatch.chdir(saved.parent)
    for name in ("saved", "./saved", "saved/", str(saved)):
        assert_same_model(load_vlm(name)[0], model)
    ours, theirs = encode(loaded_processor, pictures(2), QUESTION), encode(processor, pictures(2), QUESTION)
    assert ours.inputs.keys() == theirs.inputs.keys()
    assert all(torch.equal(ours.inputs[name], theirs.inputs[name]) for name in theirs.inputs)
    assert {path: path.read_bytes() for path in saved.iterdir()} == before
    assert not attempts


def test_a_folder_in_another_precision(tiny, saved):
    loaded, _ = load_vlm(saved, dtype=torch.bfloat16)
    for name, tensor in tiny[0].state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.to(torch.bfloat16)), name


def test_a_model_saved_again_loads_again(saved, tmp_path):
    model, processor = load_vlm(saved)
    model.save_pretrained(tmp_path / "again")
    processor.save_pretrained(tmp_path / "again")
    assert_same_model(load_vlm(tmp_path / "again")[0], model)
    for name in ("processor_config.json", "tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / "again" / name).read_text() == (saved / name).read_text()


def test_what_was_downloaded_before_loads_without_a_network(tiny, saved, tmp_path, monkeypatch, attempts):
    """As on a robot. The hub's cache is laid out by hand."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--somebody--some-vlm"
    shutil.copytree(saved, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert_same_model(load_vlm("somebody/some-vlm")[0], tiny[0])
    assert not attempts


# What is not there.


def refused(*arguments: Any, **options: Any) -> str:
    """The one line that is said."""
    with pytest.raises(UnknownModel) as caught:
        load_vlm(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert str(arguments[0]) in text
    return text


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "../nothing", "a/b/c", "models/", "~/models/vlm"])
def test_a_folder_that_is_not_there(name, attempts):
    assert refused(name) == f"no such model folder: {name}"
    assert not attempts


def test_a_file_and_an_empty_folder_are_no_models(tmp_path):
    (tmp_path / "file").write_text("hello")
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "file") == f"no such model folder: {tmp_path / 'file'}"
    assert "holds no vision-language model that loads: Unrecognized model" in refused(tmp_path / "empty")


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no-such-model"])
def test_a_hub_name_that_is_not_there_while_offline(name, tmp_path, monkeypatch, attempts):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    text = refused(name)
    assert text.startswith(f"no vision-language model '{name}': there is no such folder, and from the hub: ")
    assert "couldn't find them in the cached files" in text
    assert not attempts


def test_a_name_that_no_hub_takes(attempts):
    text = refused("no such: model")
    assert text.startswith(
        "no vision-language model 'no such: model': there is no such folder, and from the hub: Repo id"
    )
    assert not attempts


@pytest.mark.parametrize("name", ["somebody/some-vlm", "/some/folder"])
def test_options_of_tiny_models_are_refused_for_others(name, attempts):
    text = refused(name, hidden=64, text_layers=2)
    assert text == f"model options hidden, text_layers are for tiny models, and {name} has sizes of its own"
    assert not attempts


def test_a_model_that_only_reads_text(tmp_path):
    config = LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=32
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    expected = f"the folder {tmp_path} holds a llama model; expected one that answers questions about images"
    assert refused(tmp_path) == expected


# What is damaged.


def edit_config(part: str | None = None, **values: Any) -> Callable[[Path], None]:
    """Set values in config.json or in one part of it."""

    def edit(folder: Path) -> None:
        settings = json.loads((folder / CONFIG).read_text())
        (settings[part] if part else settings).update(values)
        (folder / CONFIG).write_text(json.dumps(settings))

    return edit


def overwrite(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut_off(name: str) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


def without_a_weight(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    del weights[A_WEIGHT]
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


LOADS = "holds no vision-language model that loads"
LOADS_NOT = "holds no vision-language model that transformers can build from these files;"
DAMAGES = {
    "config cut off": (cut_off(CONFIG), f"{LOADS}: .*config.json' is not a valid JSON file"),
    "config of bytes": (overwrite(CONFIG, b"\x00\xff\xfe" * 9), f"{LOADS}: .*config.json' is not a valid JSON file"),
    "config of nothing": (overwrite(CONFIG, b"{}"), f"{LOADS}: Unrecognized model"),
    "config is a list": (overwrite(CONFIG, b"[1, 2]"), f"{LOADS}: Unrecognized model"),
    "unknown kind": (edit_config(model_type="nosuch"), f"{LOADS}: .* model type `nosuch`"),
    "text for a number": (edit_config(image_token_id="a"), f"{LOADS}: .*'image_token_id'.* got str .*'a'"),
    "zero": (edit_config("vision_config", num_attention_heads=0), f"{LOADS_NOT} it ends in ZeroDivision"),
    "weights cut off": (cut_off(WEIGHTS), r"the weights of .* are damaged \(.*not fully covered\); get them again"),
    "weights empty": (overwrite(WEIGHTS, b""), r"the weights of .* are damaged \(.*header too small\); get them again"),
    "weights of text": (overwrite(WEIGHTS, b"text" * 99), r"the weights of .* are damaged \(.*\); get them again"),
    "no weights": (remove(WEIGHTS), f"{LOADS}: Error no file named model.safetensors"),
    "one weight less": (without_a_weight, f"{LOADS}: .* 1 missing or of another shape, first {A_WEIGHT}; get"),
    "other sizes": (edit_config("vision_config", intermediate_size=99), f"{LOADS}: .* 6 missing or of another shape"),
    "no processor": (remove("processor_config.json"), f"{LOADS}: Can't load image processor"),
    "processor cut off": (cut_off("processor_config.json"), f"{LOADS}: .*processor_config.json' is not a valid JSON"),
    "tokenizer is a list": (overwrite("tokenizer.json", b"[]"), f"{LOADS_NOT} it ends in TypeError"),
    "no chat template": (remove("chat_template.jinja"), "holds a model without a chat template, .*; use its instr"),
}


@pytest.mark.parametrize("tiny_name", ["tiny:smolvlm"])
@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_folder_is_one_clear_line(saved, damage, message, attempts):
    damage(saved)
    assert re.search(message, refused(saved))
    assert not attempts


# torchvision.


def run_with_torchvision(folder: Path, its_source: str, source: str) -> subprocess.CompletedProcess[str]:
    """Run Python `source` where a torchvision is installed whose import runs `its_source`."""
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(its_source)
    (folder / "torchvision-0.28.0.dist-info").mkdir()
    (folder / "torchvision-0.28.0.dist-info" / "METADATA").write_text("Name: torchvision\nVersion: 0.28.0\n")
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{root}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", source], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


BROKEN = "raise RuntimeError('operator torchvision::nms\\n does not exist')"
WARNING = (
    "torchvision is installed and does not import (operator torchvision::nms does not exist); going on without it. "
    "Uninstall it, or install the build that belongs to this torch\n"
)
LOOK = """
from gaze_vlm_ros.vlm.broken_torchvision import hide_broken_torchvision
hide_broken_torchvision()
hide_broken_torchvision()  # a second call changes and says nothing
from transformers.utils import import_utils
print(import_utils.is_torchvision_available(), import_utils.is_torch_available())
"""


def some_logits(name: str) -> list[float]:
    import numpy as np
    import torch

    from gaze_vlm_ros.vlm.loading import load_vlm
    from gaze_vlm_ros.vlm.observation import encode

    model, processor = load_vlm(name, texts=["hello"], hidden=64, image_size=64)
    frame = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    with torch.inference_mode():
        return model(**encode(processor, [frame], "hello").inputs).logits[0, -1, :100].tolist()


def test_a_broken_torchvision_alone_breaks_transformers(tmp_path):
    """What is hidden below is there."""
    done = run_with_torchvision(tmp_path, BROKEN, "from transformers import Qwen2_5_VLProcessor")
    assert done.returncode == 1
    assert "Could not import module 'Qwen2_5_VLProcessor'" in done.stderr


def test_models_work_beside_a_broken_torchvision(tmp_path):
    source = f"{inspect.getsource(some_logits)}\nfor name in {TINY_MODELS}: print(*some_logits(name))"
    done = run_with_torchvision(tmp_path, BROKEN, source)
    assert done.returncode == 0, done.stderr
    assert done.stderr == WARNING
    theirs = np.array([line.split() for line in done.stdout.splitlines()], dtype=float)
    np.testing.assert_allclose(theirs, [some_logits(name) for name in TINY_MODELS], atol=1e-5)


@pytest.mark.parametrize(
    ("its_source", "seen", "said"),
    [
        ("", "True True\n", ""),
        (BROKEN, "False True\n", WARNING),
        ("import nothing_of_that_name", "False True\n", "No module named 'nothing_of_that_name'"),
        ("import ctypes; ctypes.CDLL('libcudart.so.99')", "False True\n", "libcudart.so.99"),
    ],
)
def test_only_a_broken_torchvision_is_hidden(tmp_path, its_source, seen, said):
    done = run_with_torchvision(tmp_path, its_source, LOOK)
    assert done.returncode == 0, done.stderr
    assert done.stdout == seen
    assert said in done.stderr
    assert done.stderr.count("\n") == (1 if said else 0)


def test_a_loaded_processor_goes_to_other_processes(saved: Path) -> None:
    """As `fit.py --workers 2` sends it."""
    _, processor = load_vlm(saved)
    received = pickle.loads(pickle.dumps(processor))
    assert type(received).__name__ == type(processor).__name__
    pictures = [np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)] * 2
    sent, there = (encode(one, pictures, QUESTION).inputs for one in (processor, received))
    assert set(sent) == set(there)
    for name, tensor in sent.items():
        assert torch.equal(tensor, there[name])


@pytest.mark.parametrize(
    "name",
    ["Gemma4Processor", "VideoLlavaProcessor", "PerceptionLMProcessor", "Molmo2Processor", "Qwen3VLProcessor"],
)
def test_a_processor_without_its_video_part_gets_all_its_other_parts(name):
    """Wherever the video part stands among its parameters, and whether or not it has a default."""
    import transformers

    from gaze_vlm_ros.vlm.image_processors import images_only

    class Unchecked(images_only(getattr(transformers, name))):
        def check_argument_for_proper_class(self, *_):
            return None

        def __repr__(self):
            return name

    kept = [part for part in getattr(transformers, name).get_attributes() if part != "video_processor"]
    parts = [MagicMock(image_token="<image>", image_token_id=5, merge_size=2, size={}, init_kwargs={}) for _ in kept]
    processor = Unchecked.from_args_and_dict(parts, {"chat_template": "a template"})
    assert [getattr(processor, part) for part in kept] == parts
    assert (processor.chat_template, processor.video_processor) == ("a template", None)
    assert type(processor).get_attributes() == processor.get_attributes() == kept


def test_a_processor_that_needs_its_video_part_says_so():
    import transformers

    from gaze_vlm_ros.vlm.image_processors import images_only

    class Unchecked(images_only(transformers.MiniCPMV4_6Processor)):
        def check_argument_for_proper_class(self, *_):
            return None

    with pytest.raises(ImportError, match="MiniCPMV4_6Processor needs its video part, which needs torchvision"):
        Unchecked.from_args_and_dict([MagicMock(), MagicMock()], {})


def test_settings_of_the_image_processor_change_the_number_of_tokens_and_are_saved(tmp_path, pictures):
    _, processor = build_tiny("tiny:smolvlm", [QUESTION], hidden=32, image_size=32, tiles=4)
    before = len(encode(processor, pictures(2), QUESTION).visual)
    set_picture_options(processor, {"do_image_splitting": False})
    after = encode(processor, pictures(2), QUESTION).visual
    assert len(after) == 2 * (32 // 8 // 2) ** 2 < before
    processor.save_pretrained(tmp_path)
    assert not json.loads((tmp_path / "processor_config.json").read_text())["image_processor"]["do_image_splitting"]
    with pytest.raises(BadPictureOption, match=r"no setting tiles; it has .*do_image_splitting.*size"):
        set_picture_options(processor, {"tiles": 1})
    with pytest.raises(BadPictureOption, match=r"does not take .*size"):
        set_picture_options(processor, {"size": {"widest": 3}})


def test_paligemma_without_a_template_gets_the_form_that_it_was_trained_on(tmp_path, pictures):
    """As its checkpoints come."""
    model, processor = build_tiny("tiny:paligemma2", ["Next?"], hidden=32, image_size=32)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    _, again = load_vlm(tmp_path)
    encoded = encode(again, pictures(2), "Next?")
    bos, images = again.tokenizer.bos_token, "<image>" * len(encoded.visual)
    assert again.tokenizer.decode(encoded.inputs["input_ids"][0]) == f"{images}{bos}Next?\n"
    assert again.tokenizer.decode(answer_tokens(again, "go")) == f"go{again.tokenizer.eos_token}"


def test_an_encoder_and_a_decoder_of_their_own_are_refused_by_the_reason(tmp_path):
    from transformers import Pix2StructConfig

    Pix2StructConfig(is_encoder_decoder=True).save_pretrained(tmp_path)
    said = refused(tmp_path)
    assert "holds a pix2struct model: its encoder sees the picture, and its decoder writes without" in said


def test_a_model_that_no_memory_holds_is_one_line() -> None:
    with pytest.raises(
        ModelTooLarge, match=r"tiny:smolvlm does not fit into memory on cpu \(.+\); .* a smaller model"
    ) as caught:
        load_vlm("tiny:smolvlm", hidden=2**40)  # petabytes, which no allocator begins with
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["from_pretrained", "to"])
def test_memory_that_runs_out_over_a_saved_model_is_not_taken_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    saved = tmp_path / "saved"
    for part in build_tiny("tiny:smolvlm", [QUESTION], **SIZES):
        part.save_pretrained(saved)

    def too_much(*_: Any, **__: Any) -> None:
        if where == "to":  # as CUDA says it
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB"
            )
        torch.empty(2**62, dtype=torch.uint8)

    owner = torch.nn.Module if where == "to" else AutoModelForImageTextToText
    monkeypatch.setattr(owner, where, too_much)
    with pytest.raises(ModelTooLarge, match=re.escape(f"the model {saved} does not fit into memory on cpu (")):
        load_vlm(saved)


@pytest.mark.parametrize("file", ["config.json", "processor_config.json", "tokenizer_config.json"])
def test_code_in_a_checkpoint_is_never_run(saved, tmp_path, monkeypatch, file):
    """Neither at once nor after a question at the terminal, whose answer here would be yes."""
    marker = tmp_path / "it ran"
    code = f"from pathlib import Path\nPath({str(marker)!r}).touch()\nclass Own:\n    pass\n"
    (saved / "own.py").write_text(code)
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda prompt="": asked.append(prompt) or "y")
    path = saved / file
    values = json.loads(path.read_text()) if path.exists() else {}
    classes = ("AutoConfig", "AutoModelForImageTextToText", "AutoProcessor", "AutoImageProcessor", "AutoTokenizer")
    values["auto_map"] = dict.fromkeys(classes, "own.Own")
    if file == "config.json":
        values["model_type"] = "own"
    path.write_text(json.dumps(values))
    with contextlib.suppress(UnknownModel):  # or it loads by transformers' own classes
        load_vlm(saved)
    if file == "config.json":
        with pytest.raises(UnknownModel, match="a model with code of its own, which is never run"):
            load_vlm(saved)
    assert asked == []
    assert not marker.exists()
