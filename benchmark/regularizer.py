"""Measure what the gaze regularizer costs in fine-tuning: time of a step and peak memory.

python benchmark/regularizer.py [--model smolvlm-256m] [--tokens 1000] [--device cuda --dtype bfloat16] [--json FILE]

Three ways to train the same model on the same batch take turns, one step each, so that a slow machine slows all of
them: only SDPA (or Flash); the same with the regularizer; and the regularizer from `output_attentions=True`, which
forces eager attention in the language model. Times are medians, with the quartiles of the ratios within a round.
Memory is the peak of a step: of allocations on CUDA, of resident memory on a CPU, where each way runs in a process of
its own. Before that, the KL of both regularizers is computed in float32, without training, and compared.

The models have the architecture and sizes of the checkpoints that they are named after, and random weights: nothing
is downloaded. On a CPU only the language model is timed, on random embeddings, because the vision tower, whose cost
is the same in all three, would hide the difference. Requires torch, transformers, peft, PyYAML, numpy and psutil;
neither ROS nor anything that reads bags.
"""

from __future__ import annotations

import argparse
import gc
import inspect
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.vlm.attention_tap import AttentionTap, enable_tap, middle_layers
from training.model.device_memory import peak_bytes
from training.model.loss import gaze_regularizer
from training.model.trainable import autocast, make_trainable, weights_dtype
from training.settings import Settings

PLAIN, LED, EAGER = "plain attention", "with the regularizer", "output_attentions=True"
WAYS = (PLAIN, LED, EAGER)
ANSWER = 8  # tokens in an action such as "take the red mug from the shelf"
QUESTION = 16  # least number of text tokens before the answer
MIB = 2**20


# Models of real sizes.


@dataclass(frozen=True)
class Frame:
    """Inputs and tokens of frames for one model."""

    tokens: int
    image: Callable[[int], dict[str, Tensor]]  # number of frames -> inputs that hold them


def smolvlm(text: dict[str, int]) -> tuple[type, Any, Frame]:
    """SmolVLM: the sizes of HuggingFaceTB/SmolVLM-256M-Instruct and -500M-Instruct."""
    config = transformers.Idefics3Config(
        vision_config={
            "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "image_size": 512, "patch_size": 16,
        },
        text_config={
            "model_type": "llama", "vocab_size": 49280, "max_position_embeddings": 8192, "head_dim": 64,
            "tie_word_embeddings": False, "pad_token_id": 2, **text,
        },
        scale_factor=4, image_token_id=49190, tie_word_embeddings=False, pad_token_id=2,
    )  # fmt: skip
    frame = Frame(64, lambda count: {"pixel_values": torch.randn(1, count, 3, 512, 512)})
    return transformers.Idefics3ForConditionalGeneration, config, frame


def qwen(kind: type, config: Any) -> tuple[type, Any, Frame]:
    """Return frames of 28 x 28 patches, four of which make a token."""
    entries = 3 * config.vision_config.temporal_patch_size * config.vision_config.patch_size**2

    def image(count: int) -> dict[str, Tensor]:
        return {
            "pixel_values": torch.randn(count * 28 * 28, entries),
            "image_grid_thw": torch.tensor([[1, 28, 28]] * count),
        }

    return kind, config, Frame(14 * 14, image)


def qwen2_5_vl_3b() -> tuple[type, Any, Frame]:
    """The sizes of Qwen/Qwen2.5-VL-3B-Instruct."""
    config = transformers.Qwen2_5_VLConfig(
        vision_config={
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 2048,
            "patch_size": 14, "spatial_merge_size": 2, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
        },
        text_config={
            "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
            "num_key_value_heads": 2, "vocab_size": 151936, "max_position_embeddings": 32768,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        tie_word_embeddings=True,
    )  # fmt: skip
    return qwen(transformers.Qwen2_5_VLForConditionalGeneration, config)


def qwen3_vl_2b() -> tuple[type, Any, Frame]:
    """The sizes of Qwen/Qwen3-VL-2B-Instruct."""
    config = transformers.Qwen3VLConfig(
        vision_config={
            "depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "out_hidden_size": 2048,
            "patch_size": 16, "spatial_merge_size": 2, "deepstack_visual_indexes": [5, 11, 17],
            "num_position_embeddings": 2304,
        },
        text_config={
            "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16,
            "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 262144,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20], "mrope_interleaved": True,
            },
        },
        tie_word_embeddings=True,
    )  # fmt: skip
    return qwen(transformers.Qwen3VLForConditionalGeneration, config)


SMOL_135M = {
    "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3,
}  # fmt: skip
SMOL_360M = {
    "hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 15,
    "num_key_value_heads": 5,
}  # fmt: skip
MODELS: dict[str, Callable[[], tuple[type, Any, Frame]]] = {
    "smolvlm-256m": lambda: smolvlm(SMOL_135M),
    "smolvlm-500m": lambda: smolvlm(SMOL_360M),
    "qwen3-vl-2b": qwen3_vl_2b,
    "qwen2.5-vl-3b": qwen2_5_vl_3b,
}


# One step.


@dataclass(frozen=True)
class Batch:
    """Windows of one training step."""

    frames: int  # number in each of the B windows
    inputs: dict[str, Tensor]
    rows: Tensor  # (B, R) positions that predict the answer
    visual: Tensor  # (B, V)
    answer: Tensor  # (B, R) token ids
    gaze: Tensor  # (B, V)


class Trial:
    """A model with its optimizer and batches, which takes training steps in any of the ways."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.device = options, options.device
        self.settings = Settings(
            device=self.device,
            dtype=options.dtype,
            train="lora" if options.lora else "full",
            gradient_checkpointing=options.gradient_checkpointing,
        )
        kind, config, frame = MODELS[options.model]()
        torch.manual_seed(0)
        with torch.device(self.device):
            self.model = kind(config)
        _look_somewhere(self.model)
        self.layers = middle_layers(self.model)
        self.batches = [self._make_batch(frame, tokens) for tokens in options.tokens]
        self.parameters = sum(weight.numel() for weight in self.model.parameters())
        self.optimizer: torch.optim.Optimizer | None = None

    def _make_batch(self, frame: Frame, tokens: int) -> Batch:
        image_id, size = self.model.config.image_token_id, (self.options.batch, tokens)
        frames = (tokens - QUESTION - ANSWER) // (frame.tokens + 1)
        token_ids = torch.randint(300, 1000, size)
        place = torch.arange(frame.tokens)
        spans = [number * (frame.tokens + 1) + 1 + place for number in range(frames)]  # one token before each frame
        visual = torch.cat(spans).expand(self.options.batch, -1)
        token_ids.scatter_(1, visual, image_id)
        if self.options.language_only:
            width = self.model.config.get_text_config().hidden_size
            inputs = {"inputs_embeds": torch.randn(*size, width)}
        else:
            image = frame.image(frames)
            repeated = {
                name: tensor.repeat(self.options.batch, *[1] * (tensor.ndim - 1)) for name, tensor in image.items()
            }
            inputs = {"input_ids": token_ids, "mm_token_type_ids": (token_ids == image_id).int(), **repeated}
            known = inspect.signature(self.model.forward).parameters
            inputs = {name: tensor for name, tensor in inputs.items() if name in known}
        rows = torch.arange(tokens - ANSWER - 1, tokens - 1).expand(self.options.batch, -1)
        gaze = torch.softmax(3 * torch.randn(self.options.batch, visual.shape[1]), dim=-1)
        moved = [tensor.to(self.device) for tensor in (rows, visual, token_ids[:, -ANSWER:], gaze)]
        return Batch(frames, {name: tensor.to(self.device) for name, tensor in inputs.items()}, *moved)

    def prepare(self) -> None:
        """Turn the float32 model into one that is trained as `fit` trains it."""
        for weight in self.model.parameters():
            weight.data = weight.data.to(weights_dtype(self.settings))
        for batch in self.batches:
            for name, tensor in batch.inputs.items():
                if tensor.is_floating_point():
                    batch.inputs[name] = tensor.to(weights_dtype(self.settings))
        make_trainable(self.model, self.settings)
        self.model.train()
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, 1e-6)

    def choose(self, way: str) -> None:
        """Prepare the model for one of the ways to train."""
        self.model.set_attn_implementation(self.options.attention)
        if way == LED:
            enable_tap(self.model)
        elif way == EAGER:
            self.model.get_decoder().set_attn_implementation("eager")  # the vision tower keeps its own

    def losses(self, way: str, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the language loss of the answer, and the KL divergence of gaze from the attention of its rows."""
        tap: AttentionTap | None = None
        options: dict[str, Any] = {}
        if way == LED:
            tap = options["attention_tap"] = AttentionTap(batch.rows, batch.visual, self.layers)
        elif way == EAGER:
            options["output_attentions"] = True
        with autocast(self.model, self.settings) if self.optimizer else nullcontext():
            output = self.model(**batch.inputs, logits_to_keep=ANSWER + 1, use_cache=False, **options)
        logits = output.logits[:, -ANSWER - 1 : -1]
        lm = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), batch.answer.flatten())
        if way == PLAIN:
            return lm, None
        log_attention = tap.log_attention() if tap else self._log_attention(output.attentions, batch)
        return lm, gaze_regularizer(log_attention, batch.gaze)

    def _log_attention(self, attentions: tuple[Tensor, ...], batch: Batch) -> Tensor:
        """Return log attention (B, R, V) from the eager attention (B, H, S, S) of every layer."""
        count = len(batch.rows)
        picked = []
        for layer in self.layers:
            of_rows = torch.stack([attentions[layer][b][:, batch.rows[b]] for b in range(count)])
            seen = torch.stack([of_rows[b][:, :, batch.visual[b]] for b in range(count)]).float()
            picked.append(seen / seen.sum(dim=-1, keepdim=True))
        return torch.cat(picked, dim=1).mean(dim=1).log()

    def kl(self, way: str, number: int) -> float:
        """Return the KL of batch `number` in nats, without training."""
        self.choose(way)
        with torch.inference_mode():
            _, kl = self.losses(way, self.batches[number])
        assert kl is not None
        return kl.item()

    def peakedness(self, number: int) -> float:
        """Return the strongest attention as a multiple of uniform attention."""
        batch = self.batches[number]
        self.choose(LED)
        tap = AttentionTap(batch.rows, batch.visual, self.layers)
        with torch.inference_mode():
            self.model(**batch.inputs, logits_to_keep=1, use_cache=False, attention_tap=tap)
        return tap.log_attention().exp().max().item() * batch.visual.shape[1]

    def step(self, way: str, number: int) -> tuple[float, int]:
        """Run one training step; return (ms, peak bytes)."""
        assert self.optimizer is not None
        self.choose(way)
        gc.collect()
        self._synchronize()
        with peak_bytes(self.device) as peak:
            began = time.perf_counter()
            lm, kl = self.losses(way, self.batches[number])
            (lm if kl is None else lm + kl).backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self._synchronize()
            took = time.perf_counter() - began
        return 1e3 * took, peak[0]

    def facts(self, number: int) -> dict[str, int]:
        """Return the size of the model and of batch `number`."""
        batch = self.batches[number]
        return {"parameters": self.parameters, "frames": batch.frames, "visual": batch.visual.shape[1]}

    def _synchronize(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


def _look_somewhere(model: Any) -> None:
    """Enlarge queries and keys until logits spread by about 3: the attention of fresh weights is flat."""
    config = model.config.get_text_config()
    factor = (3 / (config.hidden_size * config.initializer_range**2)) ** 0.5
    with torch.no_grad():
        for layer in model.get_decoder().layers:
            attention = layer.self_attn
            normed = hasattr(attention, "q_norm")
            for part in (attention.q_norm, attention.k_norm) if normed else (attention.q_proj, attention.k_proj):
                part.weight.mul_(3**0.5 if normed else factor)


# Turns.


def serve(connection: Connection, options: argparse.Namespace) -> None:
    """Run requested methods of a Trial in this process until None is requested."""
    torch.set_num_threads(options.threads)
    trial = Trial(options)
    while (asked := connection.recv()) is not None:
        connection.send(getattr(trial, asked[0])(*asked[1:]))


class Remote:
    """A Trial in another process."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.connection, theirs = multiprocessing.get_context("spawn").Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, options), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, *what: Any) -> Any:
        """Call a method of the Trial by name and return its result."""
        self.connection.send(what)
        return self.connection.recv()

    def end(self) -> None:
        """End the process."""
        self.connection.send(None)
        self.process.join()


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return all figures, ready for JSON, with one entry per number of tokens."""
    remotes: dict[str, Remote] = {}
    if options.device.startswith("cuda"):
        trial = Trial(options)
        asks: dict[str, Any] = dict.fromkeys(WAYS, lambda name, *rest: getattr(trial, name)(*rest))
        models = [asks[PLAIN]]
    else:
        remotes = {way: Remote(options) for way in WAYS}
        asks = {way: remote.ask for way, remote in remotes.items()}
        models = list(asks.values())
    results = []
    for number, tokens in enumerate(options.tokens):
        kl = {"tap": asks[LED]("kl", LED, number), "eager": asks[EAGER]("kl", EAGER, number)}
        kl |= {"difference": kl["tap"] - kl["eager"], "strongest_times_uniform": asks[LED]("peakedness", number)}
        results.append({**setup(options), "tokens": tokens, **asks[PLAIN]("facts", number), "kl_float32": kl})
    for ask in models:
        ask("prepare")
    for number, result in enumerate(results):
        result["ways"] = take_turns(asks, number, options)
    for remote in remotes.values():
        remote.end()
    return results


def take_turns(asks: dict[str, Any], number: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of each way; None where memory did not suffice."""
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    memory: dict[str, list[int]] = {way: [] for way in WAYS}
    going = list(WAYS)
    for turn in range(options.warmup + options.rounds):
        for way in (*WAYS[turn % len(WAYS) :], *WAYS[: turn % len(WAYS)]):
            if way not in going:
                continue
            try:
                took, peak = asks[way]("step", way, number)
            except torch.OutOfMemoryError:
                going.remove(way)
                torch.cuda.empty_cache()
                continue
            if turn >= options.warmup:
                times[way].append(took)
                memory[way].append(peak)
    if PLAIN not in going:
        sys.exit(f"{options.model} does not fit into the memory of {options.device}, even with {PLAIN}")
    return {
        way: {
            "step_ms": statistics.median(times[way]),
            "peak_mib": statistics.median(memory[way]) / MIB,
            "time_ratio": quartiles([own / plain for own, plain in zip(times[way], times[PLAIN], strict=True)]),
            "memory_ratio": statistics.median(memory[way]) / statistics.median(memory[PLAIN]),
        }
        if way in going
        else None
        for way in WAYS
    }


def setup(options: argparse.Namespace) -> dict[str, Any]:
    """Return what was measured, for the JSON file."""
    return {
        "model": options.model, "device": device_name(options.device), "torch": torch.__version__,
        "transformers": transformers.__version__, "dtype": options.dtype, "attention": options.attention,
        "train": "lora" if options.lora else "full", "gradient_checkpointing": options.gradient_checkpointing,
        "language_only": options.language_only, "batch": options.batch, "answer_rows": ANSWER,
        "rounds": options.rounds,
    }  # fmt: skip


def quartiles(values: list[float]) -> list[float]:
    """Return lower quartile, median and upper quartile."""
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3


def device_name(device: str) -> str:
    """Return the name of the GPU or CPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    names = [line.split(":", 1)[1].strip() for line in _cpu_info() if line.startswith("model name")]
    return names[0] if names else device


def _cpu_info() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    part = "only its language model" if result["language_only"] else "all of it"
    checkpointing = ", gradient checkpointing" if result["gradient_checkpointing"] else ""
    print(
        f"{result['model']} ({result['parameters'] / 1e6:.0f} M parameters, random; {part}), {result['train']}, "
        f"{result['dtype']}, {result['attention']}{checkpointing}\n"
        f"{result['batch']} x {result['tokens']} tokens, {result['visual']} of them visual ({result['frames']} "
        f"frames), {result['answer_rows']} answer rows; {result['rounds']} rounds on {result['device']}, "
        f"torch {result['torch']}, transformers {result['transformers']}"
    )
    kl = result["kl_float32"]
    print(
        f"KL in float32: tap {kl['tap']:.7f}, eager {kl['eager']:.7f}, difference {kl['difference']:+.1e} nats "
        f"(strongest attention {kl['strongest_times_uniform']:.0f} times uniform)"
    )
    print(f"{'':<24}{'step ms':>10}{'/ plain':>9}{'quartiles':>16}{'peak MiB':>10}{'/ plain':>9}")
    for way, figures in result["ways"].items():
        if figures is None:
            print(f"{way:<24}out of memory")
            continue
        low, middle, high = figures["time_ratio"]
        print(
            f"{way:<24}{figures['step_ms']:>10.1f}{middle:>9.3f}{f'{low:.3f} to {high:.3f}':>16}"
            f"{figures['peak_mib']:>10.0f}{figures['memory_ratio']:>9.3f}"
        )
    print()


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="smolvlm-256m", help="(default: smolvlm-256m)")
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[1000], help="tokens per window, answer included (default: 1000)"
    )
    parser.add_argument("--batch", type=int, default=1, help="windows per step (default: 1)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="(default: float32)")
    parser.add_argument("--attention", choices=("sdpa", "flash_attention_2"), default="sdpa", help="(default: sdpa)")
    parser.add_argument("--lora", action="store_true", help="train adapters on the language model, not all weights")
    parser.add_argument("--gradient-checkpointing", action="store_true", help="recompute activations")
    parser.add_argument("--language-only", action="store_true", help="leave out the vision tower, as on a CPU")
    parser.add_argument("--rounds", type=int, help="steps of each way (default: 20 on CUDA, 5 on a CPU)")
    parser.add_argument("--warmup", type=int, help="rounds before the measurement (default: 5 on CUDA, 1 on a CPU)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads (default: all cores)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()  # it warns about vision towers that return no attention
    cuda = options.device.startswith("cuda")
    if min(options.tokens) < QUESTION + ANSWER + 250:
        parser.error(f"--tokens {min(options.tokens)} leaves no place for a frame; give 300 or more")
    options.language_only |= not cuda
    options.rounds = (20 if cuda else 5) if options.rounds is None else options.rounds
    options.warmup = (5 if cuda else 1) if options.warmup is None else options.warmup
    results = measure(options)
    for result in results:
        show(result)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
