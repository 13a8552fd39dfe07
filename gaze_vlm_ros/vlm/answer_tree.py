"""The prefix tree of a closed set of answers: a common beginning of answers is computed once. Pure numpy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
PROMPT = -1  # the parent of the first tokens


@dataclass(frozen=True)
class AnswerTree:
    """N nodes, one per token that is followed by another; an answer's last token is predicted but never read.

    An edge is a token predicted at a node, and a step of one or more of the A answers.
    """

    tokens: Ints  # (N,) parents before children
    parents: Ints  # (N,) node, or PROMPT
    depths: Ints  # (N,) tokens between prompt and node
    edge_nodes: Ints  # (E,) where an edge starts: node, or PROMPT
    edge_tokens: Ints  # (E,)
    paths: tuple[tuple[int, ...], ...]  # (A,) edges of each answer, first to last

    @classmethod
    def of(cls, answers: Sequence[Sequence[int]]) -> AnswerTree:
        """Build the tree of answers (token ids, one or more each); an answer may occur twice."""
        nodes: dict[tuple[int, ...], int] = {(): PROMPT}
        edges: dict[tuple[int, int], int] = {}
        parents: list[int] = []
        paths = []
        for answer in answers:
            path = []
            for length, token in enumerate(answer):
                node = nodes[tuple(answer[:length])]
                path.append(edges.setdefault((node, token), len(edges)))
                if length + 1 < len(answer) and tuple(answer[: length + 1]) not in nodes:
                    nodes[tuple(answer[: length + 1])] = len(parents)
                    parents.append(node)
            paths.append(tuple(path))
        prefixes = list(nodes)[1:]
        return cls(
            tokens=np.array([prefix[-1] for prefix in prefixes], np.int64),
            parents=np.array(parents, np.int64),
            depths=np.array([len(prefix) - 1 for prefix in prefixes], np.int64),
            edge_nodes=np.array([node for node, _ in edges], np.int64),
            edge_tokens=np.array([token for _, token in edges], np.int64),
            paths=tuple(paths),
        )

    def sees(self) -> NDArray[np.bool_]:
        """Return (N, N): which nodes a node sees, its ancestors and itself."""
        seen = np.eye(len(self.tokens), dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent != PROMPT:
                seen[node] |= seen[parent]
        return seen

    def sums(self, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (A, ...) sums of the edge values (E, ...) along each answer."""
        steps = np.fromiter(itertools.chain.from_iterable(self.paths), np.int64)
        begins = np.cumsum([0, *(len(path) for path in self.paths[:-1])])
        return np.asarray(np.add.reduceat(edges[steps], begins, axis=0))


def split_answers(answers: Sequence[Sequence[int]], most_nodes: int) -> Iterator[list[int]]:
    """Yield groups of answer indices whose trees have at most `most_nodes` nodes, or that hold a single answer.

    Answers with a common beginning stay together where possible.
    """
    group: list[int] = []
    prefixes: set[tuple[int, ...]] = set()
    for index in sorted(range(len(answers)), key=lambda index: tuple(answers[index])):
        own = {tuple(answers[index][:length]) for length in range(1, len(answers[index]))}
        if group and len(prefixes | own) > most_nodes:
            yield group
            group, prefixes = [], set()
        group.append(index)
        prefixes |= own
    if group:
        yield group
