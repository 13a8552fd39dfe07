"""Rank a closed set of answers to many questions at a time, all of the same length: what evaluation does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gaze_vlm_ros.vlm.answer_tree import AnswerTree, split_answers
from gaze_vlm_ros.vlm.observation import Encoded
from gaze_vlm_ros.vlm.prompt import copied, replaced, rounding_nats
from gaze_vlm_ros.vlm.ranking import PASS_BYTES, Ranker

_log = logging.getLogger(__name__)


class BatchRanker:
    """Ranks one closed set of answers for one model, several questions in a pass.

    The first batch is compared with `Ranker`, question by question; a model for which both do not agree is ranked one
    question at a time from then on. answers: token ids of each answer, from observation.label_tokens.
    """

    def __init__(self, model: Any, answers: Sequence[Sequence[int]]) -> None:
        self._model, self._answers = model, list(answers)
        self._single = Ranker(model, answers)
        self._in_batches: bool | None = None  # not known before the first

    def rank(self, inputs: Mapping[str, Tensor], singles: Sequence[Encoded]) -> NDArray[np.float64]:
        """Return the log-likelihood of each complete answer to each of B questions, (B, A), nats.

        inputs: the B questions in one batch. singles: called upon where the model cannot be ranked in batches; each of
        the questions by itself.
        """
        if self._in_batches is None:
            self._in_batches = not (problem := self._problem(inputs, singles[0]))
            if problem:
                _log.warning(
                    "%s ranks one window at a time, which takes longer (%s)", type(self._model).__name__, problem
                )
        if self._in_batches:
            return _rank(self._model, inputs, self._answers)
        return np.stack([self._single.rank(encoded).log_likelihoods for encoded in singles])

    def _problem(self, inputs: Mapping[str, Tensor], first: Encoded) -> str:
        """Return why a batch does not give what the first question gives by itself; "" where it does."""
        expected = self._single.rank(first).log_likelihoods
        try:
            off = np.abs(_rank(self._model, inputs, self._answers)[0] - expected).max()
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            return " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return "" if off <= rounding_nats(self._model) else f"they would be off by {off:.2g} nats"


@torch.inference_mode()
def _rank(model: Any, inputs: Mapping[str, Tensor], answers: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    positions: list[Tensor | None] = []

    def decode(forward: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        found = keywords.get("position_ids")
        positions.append(found[..., -1:] if isinstance(found, Tensor) else None)
        return forward(*arguments, **keywords)

    with replaced(model.get_decoder(), "forward", decode):
        output = model(**inputs, use_cache=True, logits_to_keep=1)
    batch, length = inputs["input_ids"].shape
    first = output.logits[:, -1].double().log_softmax(dim=-1)
    carried = {name: tensor[:, -1:] for name, tensor in inputs.items() if tensor.ndim > 2 and tensor.shape[1] == length}
    last = torch.tensor([[length - 1]], device=first.device) if positions[-1] is None else positions[-1]
    text = model.config.get_text_config()
    per_node = batch * 8 * (2 * first.shape[1] + text.num_attention_heads * (length + 1000))
    scores = np.empty((batch, len(answers)))
    for group in split_answers(answers, max(16, PASS_BYTES // per_node)):
        tree = AnswerTree.of([answers[index] for index in group])
        scores[:, group] = _rank_tree(model, tree, output.past_key_values, length, last, first, carried)
    return scores


def _rank_tree(
    model: Any, tree: AnswerTree, cache: Any, length: int, last: Tensor, first: Tensor, carried: Mapping[str, Tensor]
) -> NDArray[np.float64]:
    """Return (B, A) log-likelihoods of the answers of a tree. first: (B, vocabulary) of the first token."""
    device, batch, count = first.device, len(first), len(tree.tokens)
    logits = first.new_zeros(batch, 0, first.shape[1])
    if count:
        dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
        mask = torch.zeros(count, length + count, dtype=dtype, device=device)
        mask[:, length:].masked_fill_(~torch.from_numpy(tree.sees()).to(device), torch.finfo(dtype).min)
        places = last + 1 + torch.from_numpy(tree.depths).to(device)
        logits = model(
            input_ids=torch.from_numpy(tree.tokens).to(device).expand(batch, -1),
            position_ids=places.expand(*places.shape[:-2], batch, -1),
            attention_mask=mask.expand(batch, 1, -1, -1),
            past_key_values=copied(cache),
            use_cache=True,
            **{name: row.expand(batch, count, *row.shape[2:]) for name, row in carried.items()},
        ).logits.double()
    of_node = torch.cat([logits.log_softmax(dim=-1), first[:, None]], dim=1)  # answer_tree.PROMPT, -1, is the last row
    nodes, tokens = (torch.from_numpy(array).to(device) for array in (tree.edge_nodes, tree.edge_tokens))
    edges = of_node[:, nodes, tokens].cpu().numpy()
    return np.asarray(tree.sums(edges.T).T)
