"""Distillation: what a teacher that saw gaze says of the answers, as targets for each token of the true answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.batch import NextTokens


def next_tokens(
    shares: NDArray[np.float32], answers: NDArray[np.int64], answer_tokens: Sequence[Sequence[int]]
) -> NextTokens:
    """Return the teacher's distribution over the next token at each position of B true answers.

    Given the tokens before it, the next token's share is that of all answers that begin with these and it: so teacher
    and student need no common tokenizer. Only prefixes of the true answer are asked for.

    shares: (B, L) of each answer, by the teacher; a row of zeros = not taught. answers: (B,) index of the true answer.
    answer_tokens: of each of the L answers, for the student.
    """
    tokens = sorted({token for answer in answer_tokens for token in answer})
    place = {token: number for number, token in enumerate(tokens)}
    longest = max(len(answer_tokens[answer]) for answer in answers)
    target = np.zeros((len(answers), longest, len(tokens)), np.float32)
    for row, answer in enumerate(answers.tolist()):
        true = list(answer_tokens[answer])
        for position in range(len(true)):
            for number, other in enumerate(answer_tokens):
                if len(other) > position and list(other[:position]) == true[:position]:
                    target[row, position, place[other[position]]] += shares[row, number]
    sums = target.sum(axis=-1, keepdims=True)
    return NextTokens(torch.tensor(tokens), torch.from_numpy(target / np.maximum(sums, 1e-9)))


def teacher_divergence(logits: Tensor, taught: NextTokens) -> Tensor:
    """Return the mean KL(teacher ‖ student) over the answer tokens of taught windows, nats; 0 if there are none.

    logits: (B, A, vocabulary) of the student at the positions that predict the answer. Hinton et al. 2015, with
    privileged information at the teacher's side (Lopez-Paz et al. 2016).
    """
    said = logits.float().log_softmax(dim=-1)[..., taught.tokens]
    kl = (torch.xlogy(taught.shares, taught.shares) - taught.shares * said).sum(dim=-1)
    counts = taught.shares.any(dim=-1)
    per_window = (kl * counts).sum(dim=-1) / counts.sum(dim=-1).clamp(min=1)
    return per_window.sum() / counts.any(dim=-1).sum().clamp(min=1)
