"""Query a model about each window of a data set as the predictor does: with only frames and question."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from gaze_vlm_ros.vlm.observation import decode_answer
from gaze_vlm_ros.vlm.ranking import Ranker
from training.data.dataset import Dataset
from training.model.gaze_block import gaze_block_of
from training.model.supervision import supervised_layers
from training.settings import Settings


@dataclass(frozen=True)
class Answers:
    """Answers to N windows, over a closed set of A labels."""

    log_likelihoods: NDArray[np.float64]  # (N, A) log-likelihood of each complete answer, nats
    generated: list[str]  # greedy free generation: any text
    attention: NDArray[np.float64]  # (N, V) attention to the visual tokens for the answer ranked first; rows sum to 1
    seconds: NDArray[np.float64]  # (N,) time to rank each window on its own, attention included


def rank_windows(model: Any, data: Dataset, rows: NDArray[np.int64], device: str) -> NDArray[np.float64]:
    """Return (len(rows), A) log-likelihoods of the complete answers of the label set, nats."""
    ranker = Ranker(model, data.answer_tokens)
    ranked = [ranker.rank(data.encoded(row, device)) for row in _progress(rows)]
    return np.stack([ranking.log_likelihoods for ranking in ranked])


@torch.no_grad()
def generate_windows(
    model: Any, processor: Any, data: Dataset, rows: NDArray[np.int64], device: str, batch_size: int
) -> list[str]:
    """Return the greedily generated text for each of `rows`, at most twice as long as the longest label."""
    texts: list[str] = []
    longest = 2 * max(map(len, data.answer_tokens))
    for start in range(0, len(rows), batch_size):
        inputs = data.questions(rows[start : start + batch_size], device)
        tokens = model.generate(**inputs, max_new_tokens=longest, do_sample=False)
        texts += [decode_answer(processor, said) for said in tokens[:, inputs["input_ids"].shape[1] :].tolist()]
    return texts


def answer_windows(model: Any, processor: Any, data: Dataset, settings: Settings, device: str) -> Answers:
    """Rank and generate answers to all windows, and read the attention behind them."""
    model.eval()
    rows = np.arange(len(data.windows))
    # The decoder's tokens have no place where gaze is put on patches: then it is the block that looks.
    block = gaze_block_of(model) if data.patches else None
    ranker = Ranker(model, data.answer_tokens, None if block else supervised_layers(model, settings))
    log_likelihoods, attention, seconds = [], [], []
    for row in _progress(rows):
        encoded = data.encoded(row, device)
        began = time.perf_counter()
        ranking = ranker.rank(encoded)
        log_likelihoods.append(ranking.log_likelihoods)
        if block is not None:
            assert block.log_attention is not None
            attention.append(block.log_attention[0].double().exp().detach().cpu().numpy())
        else:
            assert ranking.attention_of is not None
            attention.append(ranking.attention_of([int(ranking.log_likelihoods.argmax())])[0])
        seconds.append(time.perf_counter() - began)
    generated = generate_windows(model, processor, data, rows, device, settings.batch_size)
    return Answers(np.stack(log_likelihoods), generated, np.stack(attention), np.array(seconds))


def _progress(rows: NDArray[np.int64]) -> Iterable[int]:
    return tqdm(rows.tolist(), desc="answers", unit="window", mininterval=0.5, leave=False)
