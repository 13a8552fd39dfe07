"""Measure the time of an answer: streamed and ranked, against the plain way, with the same model and frames.

python benchmark/prediction.py [--device cuda --dtype bfloat16] [--size large] [--options] [--json FILE]

The plain way is what tutorials show: the processor on the whole window, then `generate`, for each prediction. Ours
keeps the vision features of frames that the last window had, reads the prompt once and ranks the closed set in one pass
over its prefix tree. A second table shows what a second question about the same window adds: what begins next, in four
parts of the horizon, and what goes on now. A third shows how ours grows with label set, frames per window and image
size. With --options, a fourth compares the predictor's quantization and compile.

The models have a real architecture (SmolVLM's) and random weights, so nothing is downloaded. `small` is what the demo
trains, `medium` takes a few tenths of a second on one core, `large` has about the sizes of SmolVLM-500M. Needs torch,
transformers and numpy, but neither ROS nor bags.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.labels.answer_words import AnswerWords, now_answers
from gaze_vlm_ros.vlm.acceleration import compile_vision, quantize
from gaze_vlm_ros.vlm.attention_tap import enable_tap, middle_layers
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.observation import answer_tokens, encode
from gaze_vlm_ros.vlm.ranking import Ranker
from gaze_vlm_ros.vlm.streaming import Stream

QUESTION, NOW_QUESTION = "What will the person do next?", "What is the person doing now?"
WORDS = AnswerWords(("immediately", "shortly", "soon", "later"), "nothing yet")
VERBS = ("take", "place", "open", "close", "pour", "cut", "turn", "push", "hold", "wipe")
COLOURS = ("red", "blue", "green", "yellow", "white", "black", "grey", "orange", "brown", "pink")
OBJECTS = ("mug", "plate", "screw", "jar", "bottle", "knife", "board", "lid", "cloth", "box")
SIZES: dict[str, dict[str, int]] = {
    "small": {"image_size": 96, "patch_size": 8, "merge": 2, "hidden": 96, "vision_layers": 2, "text_layers": 4},
    "medium": {"image_size": 192, "patch_size": 8, "merge": 2, "hidden": 192, "vision_layers": 6, "text_layers": 8},
    "large": {
        "image_size": 512, "patch_size": 16, "merge": 4, "hidden": 960, "vision_layers": 12, "text_layers": 32,
        "heads": 15, "key_value_heads": 5, "vocabulary": 2048,
    },
}  # fmt: skip
FRAME_PX = (640, 480)  # width, height of the camera
LABELS, FRAMES = 10, 4


def labels(count: int) -> list[str]:
    """Return `count` actions, spread evenly over all combinations."""
    every = [f"{verb} the {colour} {thing}" for verb, thing, colour in itertools.product(VERBS, OBJECTS, COLOURS)]
    return every[:: len(every) // count][:count]


def frames(count: int, size: tuple[int, int] = FRAME_PX) -> list[np.ndarray]:
    """Return (H, W, 3) frames of a camera that moves over a picture of blobs. size: (width, height) px."""
    draw = np.random.default_rng(0)
    world = np.kron(draw.integers(0, 256, (40, 60, 3), np.uint8), np.ones((32, 32, 1), np.uint8))
    width, height = size
    return [np.ascontiguousarray(world[3 * n : 3 * n + height, 5 * n : 5 * n + width]) for n in range(count)]


class Trial:
    """A loaded model and the two ways to query it."""

    def __init__(
        self,
        options: argparse.Namespace,
        sizes: dict[str, int],
        texts: Sequence[str],
        quantization: str = "none",
        compiled: bool = False,
    ) -> None:
        self.device, self.texts = options.device, list(texts)
        self.model, self.processor = load_vlm(
            "tiny:smolvlm",
            device=options.device,
            dtype=getattr(torch, options.dtype),
            texts=[QUESTION, NOW_QUESTION, *WORDS.when, WORDS.nothing, "nothing", *texts],
            seed=0,
            **sizes,
        )
        self.model.eval()
        quantize(self.model, quantization)
        if compiled:
            compile_vision(self.model)
        enable_tap(self.model)
        self.layers = middle_layers(self.model)
        self.answers = [answer_tokens(self.processor, text) for text in texts]
        self.parameters = sum(weight.numel() for weight in self.model.parameters())

    def stream(self) -> Callable[[Sequence[np.ndarray], Sequence[int]], dict[str, float]]:
        """Return our way: a function that answers a window and returns the seconds of each stage."""
        stream = Stream(self.model, self.processor, QUESTION, self.layers)
        ranker = Ranker(self.model, self.answers, self.layers)

        def query(window: Sequence[np.ndarray], stamps: Sequence[int]) -> dict[str, float]:
            prompt = stream.read(window, stamps)
            began = time.perf_counter()
            ranking = ranker.rank_after(prompt)
            assert ranking.attention_of is not None
            ranking.attention_of([int(ranking.log_likelihoods.argmax())])
            return stream.stages | {"ranking": time.perf_counter() - began}

        return query

    def both_questions(self) -> Callable[[Sequence[np.ndarray], Sequence[int]], dict[str, float]]:
        """Return a function that answers both questions about a window and returns the seconds of each."""
        stream = Stream(self.model, self.processor, QUESTION, self.layers)
        following, present = (
            [answer_tokens(self.processor, text) for text in texts]
            for texts in (WORDS.texts(self.texts), now_answers(self.texts, "nothing"))
        )
        first = Ranker(self.model, following, self.layers)
        rankers: dict[tuple[int, ...], Ranker] = {}

        def query(window: Sequence[np.ndarray], stamps: Sequence[int]) -> dict[str, float]:
            began = time.perf_counter()
            first.rank_after(stream.read(window, stamps))
            first_by = time.perf_counter()
            prompt, before = stream.shared(NOW_QUESTION) or (stream.ask(NOW_QUESTION), [])
            if tuple(before) not in rankers:
                rankers[tuple(before)] = Ranker(self.model, [[*before, *answer] for answer in present])
            rankers[tuple(before)].rank_after(prompt)
            return {"first": first_by - began, "second": time.perf_counter() - first_by}

        return query

    def scores(self, window: Sequence[np.ndarray]) -> np.ndarray:
        """(A,) log-likelihoods of the answers, nats."""
        prompt = Stream(self.model, self.processor, QUESTION).read(window, range(len(window)))
        return Ranker(self.model, self.answers).rank_after(prompt).log_likelihoods

    @torch.inference_mode()
    def plain(self, window: Sequence[np.ndarray], _stamps: Sequence[int]) -> dict[str, float]:
        """Run processor and generate on the whole window, up to the length of the longest answer."""
        encoded = encode(self.processor, window, QUESTION)
        inputs = {name: tensor.to(self.device) for name, tensor in encoded.inputs.items()}
        tokens = self.model.generate(**inputs, max_new_tokens=max(map(len, self.answers)), do_sample=False)
        self.processor.batch_decode(tokens[:, encoded.length :], skip_special_tokens=True)
        return {}


def measure(
    ways: dict[str, Callable[..., dict[str, float]]], video: Sequence[np.ndarray], window: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Median time of each way and of its stages, ms. The ways take turns; each window has one new frame."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for number in range(rounds + 2):  # the first windows warm up
        shown = range(number, number + window)
        for name, query in ways.items():
            began = time.perf_counter()
            stages = query([video[n] for n in shown], list(shown))
            found[name].append({"total": time.perf_counter() - began, **stages})
    return {
        name: {key: 1e3 * statistics.median(row.get(key, 0.0) for row in rows[2:]) for key in rows[-1]}
        for name, rows in found.items()
    }


def compare_options(
    plain: Trial, options: argparse.Namespace, sizes: dict[str, int], video: Sequence[np.ndarray]
) -> dict[str, Any]:
    """Time of each option (ms), and the largest difference of its log-likelihoods from those of `plain` (nats)."""
    ways = {"as it is": plain}
    ways["int8"] = Trial(options, sizes, plain.texts, quantization="int8")
    ways["compiled"] = Trial(options, sizes, plain.texts, compiled=True)
    ways["int8, compiled"] = Trial(options, sizes, plain.texts, quantization="int8", compiled=True)
    found: dict[str, Any] = measure({name: way.stream() for name, way in ways.items()}, video, FRAMES, options.rounds)
    exact = plain.scores(video[:FRAMES])
    print(f"\n{'option':>16}{'ms':>9}{'of plain':>10}{'nats off, at most':>19}   preprocess, vision, language, ranking")
    for name, row in found.items():
        row["off_nats"] = float(np.abs(ways[name].scores(video[:FRAMES]) - exact).max())
        stages = ", ".join(f"{row.get(stage, 0.0):.1f}" for stage in ("preprocess", "vision", "language", "ranking"))
        share = row["total"] / found["as it is"]["total"]
        print(f"{name:>16}{row['total']:>9.1f}{share:>10.2f}{row['off_nats']:>19.2g}   {stages}", flush=True)
    return found


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=15, help="windows per measurement (default: 15)")
    parser.add_argument("--threads", type=int, default=0, help="threads on a CPU (default: all cores)")
    parser.add_argument("--options", action="store_true", help="compare quantization and compile; needs torchao")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    figures: dict[str, Any] = {"options": {key: str(value) for key, value in vars(options).items()}, "rows": []}
    sizes = SIZES[options.size]

    def trial(count: int, **changed: int) -> Trial:
        return Trial(options, sizes | changed, labels(count))

    first = trial(LABELS)
    where = torch.cuda.get_device_name() if options.device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    print(
        f"{options.size}: {first.parameters / 1e6:.0f} M weights, {options.dtype}, {where}, torch {torch.__version__}"
    )
    figures |= {"parameters": first.parameters, "device": where, "torch": torch.__version__}

    video = frames(options.rounds + 20)
    both = measure({"streamed and ranked": first.stream(), "plain": first.plain}, video, FRAMES, options.rounds)
    ours, plain = both["streamed and ranked"]["total"], both["plain"]["total"]
    size = "x".join(map(str, FRAME_PX))
    print(f"\n{FRAMES} frames of {size}, {LABELS} labels: ms per prediction, medians of {options.rounds}")
    print(f"  plain: processor + generate  {plain:9.1f}   {1e3 / plain:7.1f} per second")
    print(
        f"  streamed and ranked          {ours:9.1f}   {1e3 / ours:7.1f} per second   {plain / ours:.1f} times as many"
    )
    print("    " + ", ".join(f"{name} {ms:.1f}" for name, ms in both["streamed and ranked"].items() if name != "total"))
    figures["against_plain"] = both

    two = measure({"both": first.both_questions()}, video, FRAMES, options.rounds)["both"]
    print(f"\n{LABELS} labels in {WORDS.parts} parts of the horizon, and now: ms of each, medians of {options.rounds}")
    print(f"  what begins next  {two['first']:9.1f}")
    print(f"  what goes on now  {two['second']:9.1f}   {two['second'] / two['first']:.2f} of the first")
    figures["both_questions"] = two

    if options.options:
        figures["options"] = compare_options(first, options, sizes, video)
    print(f"\n{'labels':>7}{'frames':>8}{'image side':>12}{'ms':>9}   of which preprocess, vision, language, ranking")
    side = sizes["image_size"]
    cases = [(count, FRAMES, side) for count in (10, 100, 1000)] + [(LABELS, count, side) for count in (1, 8)]
    cases += [(LABELS, FRAMES, side // 2)]
    for count, window, image in cases:
        chosen = first if (count, image) == (LABELS, side) else trial(count, image_size=image)
        row = measure({"ours": chosen.stream()}, video, window, options.rounds)["ours"]
        stages = ", ".join(f"{row.get(name, 0.0):.1f}" for name in ("preprocess", "vision", "language", "ranking"))
        print(f"{count:>7}{window:>8}{image:>12}{row['total']:>9.1f}   {stages}", flush=True)
        figures["rows"].append({"labels": count, "frames": window, "image_side": image, **row})
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
