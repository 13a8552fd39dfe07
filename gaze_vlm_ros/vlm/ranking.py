"""Rank a closed set of answers by the probability that the model gives each of them, token by token."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gaze_vlm_ros.vlm.answer_tree import PROMPT, AnswerTree, split_answers
from gaze_vlm_ros.vlm.attention_tap import KEYWORD, AttentionTap, enable_tap
from gaze_vlm_ros.vlm.cross_attention import crossing_layers
from gaze_vlm_ros.vlm.observation import Encoded
from gaze_vlm_ros.vlm.prompt import Prompt, copied, read_prompt, rounding_nats

# Memory that one pass may take beside the model; a closed set that needs more is ranked in several passes.
PASS_BYTES = 256 << 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ranking:
    """Scores of A answers to one question."""

    log_likelihoods: NDArray[np.float64]  # (A,) nats, of each complete answer including its end token
    # (C, V) over the visual tokens while giving each of C answers (their numbers); rows sum to one, or are 0 where no
    # token of the answer sees any. Computed when it is called: who ranks mostly wants that of the best answer
    attention_of: Callable[[Sequence[int]], NDArray[np.float64]] | None

    @property
    def attention(self) -> NDArray[np.float64] | None:
        """(A, V) attention_of all answers; None where no layer was to be read."""
        return None if self.attention_of is None else self.attention_of(range(len(self.log_likelihoods)))


class Ranker:
    """Ranks one closed set of answers for one model.

    All answers go through the model as one prefix tree: mask and positions let a token see the prompt and the tokens
    that it follows. A model that cannot read a tree (a convolution over neighbouring tokens) gets each answer as a row
    of a batch. The ranker finds out which of the two holds by comparing both on its first pass, and again when passes
    get longer, so keep it for further prompts. Sets that would take more than PASS_BYTES are ranked in several passes.

    answers: token ids of each answer, from observation.answer_tokens. layers: decoder layers whose attention is read;
    None = no attention.
    """

    def __init__(self, model: Any, answers: Sequence[Sequence[int]], layers: tuple[int, ...] | None = None) -> None:
        self._model, self._answers, self._layers = model, list(answers), layers
        self._in_rows = False  # the model cannot read a tree
        self._checked_tokens = 0  # length of the longest tree pass that was found right
        self._trees: dict[int, list[tuple[list[int], AnswerTree]]] = {}  # by the most nodes of a pass

    def rank(self, encoded: Encoded) -> Ranking:
        """Score every answer to the same question. Raises CannotTap."""
        return self.rank_after(read_prompt(self._model, encoded, self._layers))

    @torch.inference_mode()
    def rank_after(self, prompt: Prompt) -> Ranking:
        """Score every answer after a prompt that was read with the same layers."""
        log_likelihoods = np.zeros(len(self._answers))
        parts: list[tuple[list[int], Ranking]] = []
        for group, tree in self._groups(_most_nodes(self._model, prompt)):
            chosen = [self._answers[index] for index in group]
            if self._reads_trees(prompt, tree, chosen):
                part = _rank_tree(self._model, prompt, tree, self._layers)
            else:
                part = _rank_rows(self._model, prompt, chosen, self._layers)
            log_likelihoods[group] = part.log_likelihoods
            parts.append((group, part))
        return Ranking(log_likelihoods, _of_groups(parts) if self._layers else None)

    def _groups(self, most_nodes: int) -> list[tuple[list[int], AnswerTree]]:
        """Return the answers of each pass, and their tree."""
        if most_nodes not in self._trees:
            groups = split_answers(self._answers, most_nodes)
            of_groups = [(group, AnswerTree.of([self._answers[index] for index in group])) for group in groups]
            self._trees = {most_nodes: of_groups}
        return self._trees[most_nodes]

    def _reads_trees(self, prompt: Prompt, tree: AnswerTree, answers: Sequence[Sequence[int]]) -> bool:
        """Whether a pass of this length over a tree gives the same scores as rows; tried where it is not known yet."""
        if self._in_rows:
            return False
        tokens = prompt.length + sum(map(len, answers))
        if tokens <= self._checked_tokens:
            return True
        if problem := _tree_problem(self._model, prompt, tree, answers):
            _log.warning(
                "%s ranks its answers in rows, not as a tree, which takes longer (%s)",
                type(self._model).__name__,
                problem,
            )
            self._in_rows = True
            return False
        self._checked_tokens = tokens
        return True


def rank(
    model: Any, encoded: Encoded, answers: Sequence[Sequence[int]], layers: tuple[int, ...] | None = None
) -> Ranking:
    """Score every answer to one question; see Ranker, which is quicker for several questions. Raises CannotTap."""
    return Ranker(model, answers, layers).rank(encoded)


def _of_groups(parts: Sequence[tuple[list[int], Ranking]]) -> Callable[[Sequence[int]], NDArray[np.float64]]:
    """Return Ranking.attention_of for the answers of several passes. parts: numbers of the answers of each."""
    place = {index: (part, row) for group, part in parts for row, index in enumerate(group)}

    def attention_of(answers: Sequence[int]) -> NDArray[np.float64]:
        found: dict[int, NDArray[np.float64]] = {}
        for _, part in parts:
            own = [index for index in answers if place[index][0] is part]
            if own and part.attention_of is not None:
                found |= zip(own, part.attention_of([place[index][1] for index in own]), strict=True)
        return np.stack([found[index] for index in answers])

    return attention_of


def _most_nodes(model: Any, prompt: Prompt) -> int:
    """Return how many tokens of a tree one pass reads: those that fit into PASS_BYTES, and on a CPU fewer."""
    text = model.config.get_text_config()
    heads = text.num_attention_heads
    per_node = 8 * len(prompt.log_probabilities)  # logits, in the model's precision and in float32
    per_node += 8 * heads * (prompt.length + 1000)  # attention scores, where they are formed
    most = max(16, int(PASS_BYTES // per_node))
    if prompt.log_probabilities.device.type != "cpu":
        return most
    # Attention within a tree takes the square of its size: 1120 tokens in four passes of 300 take 0.78 of the time.
    return min(most, max(300, prompt.length // 2))


def _tree_problem(model: Any, prompt: Prompt, whole: AnswerTree, answers: Sequence[Sequence[int]]) -> str:
    """Return why a pass over a tree does not give what rows give, on the longest answers; empty where it does."""
    sample = sorted(answers, key=len)[-4:]
    try:
        tree = _rank_tree(model, prompt, whole, None).log_likelihoods
        rows = _rank_rows(model, prompt, sample, None).log_likelihoods
        off = np.abs(tree[[list(answers).index(answer) for answer in sample]] - rows).max()
        if not off <= rounding_nats(model) and np.isfinite(rows).all():
            return f"they would be off by {off:.2g} nats"
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return ""


def _rank_tree(model: Any, prompt: Prompt, tree: AnswerTree, layers: tuple[int, ...] | None) -> Ranking:
    device = prompt.log_probabilities.device
    count = len(tree.tokens)
    tap = None
    logits = prompt.log_probabilities.new_zeros(0, len(prompt.log_probabilities))
    if count:
        depths = torch.from_numpy(tree.depths).to(device)
        last = torch.tensor([prompt.length - 1], device=device)[None] if prompt.positions is None else prompt.positions
        dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
        mask = torch.zeros(count, prompt.length + count, dtype=dtype, device=device)
        mask[:, prompt.length :].masked_fill_(~torch.from_numpy(tree.sees()).to(device), torch.finfo(dtype).min)
        tap, options = tap_for(model, prompt, layers, torch.arange(count, device=device)[None], count)
        logits = model(
            input_ids=torch.from_numpy(tree.tokens).to(device)[None],
            position_ids=last + 1 + depths,
            attention_mask=mask[None, None],
            past_key_values=copied(prompt.cache),
            use_cache=True,
            **carried_on(prompt, 1, count),
            **options,
        ).logits[0]
    of_node = torch.cat([logits, prompt.log_probabilities[None]])  # answer_tree.PROMPT, -1, is the last row
    nodes, tokens = (torch.from_numpy(array).to(device) for array in (tree.edge_nodes, tree.edge_tokens))
    normalizers = torch.cat([logits.float().logsumexp(dim=-1), logits.new_zeros(1, dtype=torch.float32)]).double()
    edges = (of_node[nodes, tokens].double() - normalizers[nodes]).cpu().numpy()
    return Ranking(tree.sums(edges), functools.partial(_tree_attention, prompt, tree, tap) if layers else None)


@torch.inference_mode()
def _tree_attention(
    prompt: Prompt, tree: AnswerTree, tap: AttentionTap | None, answers: Sequence[int]
) -> NDArray[np.float64]:
    """Return Ranking.attention_of for a pass over a tree. tap: None = the tree has no node."""
    assert prompt.attention is not None
    edges = [np.array(tree.paths[index]) for index in answers]
    nodes = np.unique(tree.edge_nodes[np.concatenate(edges)])
    nodes = nodes[nodes != PROMPT]
    rows = np.zeros((len(tree.tokens) + 1, len(prompt.visual)))  # the last row is the prompt's
    rows[PROMPT] = prompt.attention.double().cpu().numpy()
    if tap is not None and len(nodes):
        chosen = torch.from_numpy(nodes).to(tap.rows.device)
        rows[nodes] = tap.at_rows(chosen).log_attention()[0].double().exp().cpu().numpy()
    return summing_to_one(np.stack([rows[tree.edge_nodes[path]].sum(axis=0) for path in edges]))


def _rank_rows(model: Any, prompt: Prompt, answers: Sequence[Sequence[int]], layers: tuple[int, ...] | None) -> Ranking:
    """Rank with one answer per row, each row with a copy of the prompt's keys and values."""
    kept = sum(t.nbytes for layer in prompt.cache.layers for t in vars(layer).values() if isinstance(t, Tensor))
    longest = max(map(len, answers))
    size = max(1, PASS_BYTES // (kept + 8 * longest * len(prompt.log_probabilities)))
    if not all(hasattr(layer, "batch_repeat_interleave") for layer in prompt.cache.layers):
        size = 1  # a memory that cannot be repeated, of linear attention
    parts = [_rank_batch(model, prompt, answers[at : at + size], layers) for at in range(0, len(answers), size)]
    log_likelihoods = np.concatenate([likelihoods for likelihoods, _ in parts])
    if not layers:
        return Ranking(log_likelihoods, None)
    attention = np.concatenate([rows for _, rows in parts if rows is not None])
    return Ranking(log_likelihoods, lambda answers: attention[list(answers)])


def _rank_batch(
    model: Any, prompt: Prompt, answers: Sequence[Sequence[int]], layers: tuple[int, ...] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return (B,) log-likelihoods and (B, V) attention of some answers; None without layers."""
    device = prompt.log_probabilities.device
    targets, present = _padded(answers, device)
    first = prompt.log_probabilities[targets[:, :1]]
    attention = None
    if layers:
        assert prompt.attention is not None
        attention = prompt.attention.double().expand(len(answers), 1, -1)
    if targets.shape[1] > 1:
        cache = copied(prompt.cache)
        if len(answers) > 1:
            cache.batch_repeat_interleave(len(answers))
        rows = torch.arange(targets.shape[1] - 1, device=device).expand(len(answers), -1)
        tap, options = tap_for(model, prompt, layers, rows, rows.shape[1])
        logits = model(
            input_ids=targets[:, :-1],
            # No mask: padding follows an answer, where no token that counts looks at it.
            past_key_values=cache,
            use_cache=True,
            **carried_on(prompt, len(answers), targets.shape[1] - 1),
            **options,
        ).logits
        later = logits.float().log_softmax(dim=-1).gather(2, targets[:, 1:, None])[:, :, 0].double()
        first = torch.cat([first, later], dim=1)
        if tap is not None and attention is not None:
            attention = torch.cat([attention, tap.log_attention().double().exp()], dim=1)
    log_likelihoods = (first * present).sum(dim=1).cpu().numpy()
    if attention is None:
        return log_likelihoods, None
    return log_likelihoods, summing_to_one((attention * present[:, :, None]).sum(dim=1).cpu().numpy())


def tap_for(
    model: Any, prompt: Prompt, layers: tuple[int, ...] | None, rows: Tensor, fresh: int
) -> tuple[AttentionTap | None, dict[str, Any]]:
    """Return a tap for one forward pass, and the keyword arguments that carry it; none without `layers`.

    rows: (B, R) tokens of the pass whose attention is read. fresh: tokens that follow the prompt when it ends. Raises
    CannotTap.
    """
    if not layers:
        return None, {}
    enable_tap(model)
    tap = AttentionTap(rows, prompt.visual, layers, None if crossing_layers(model) else prompt.length + fresh)
    return tap, {KEYWORD: tap}


def summing_to_one(attention: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (..., V) sums of attention over tokens as means over those that see a visual token; 0 where none does."""
    total = attention.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(attention, total, out=np.zeros_like(attention), where=total > 0))


def carried_on(prompt: Prompt, rows: int, tokens: int) -> dict[str, Tensor]:
    """Return the inputs about images that later tokens need beside the cache: those of the prompt's last token."""
    return {name: row.expand(rows, tokens, *row.shape[2:]) for name, row in prompt.carried.items()}


def _padded(answers: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (A, L) token ids, and a mask that is 1 on an answer's own tokens."""
    longest = max(map(len, answers))
    targets = torch.tensor([[*answer, *[0] * (longest - len(answer))] for answer in answers], device=device)
    lengths = torch.tensor([len(answer) for answer in answers], device=device)
    return targets, (torch.arange(longest, device=device) < lengths[:, None]).double()
