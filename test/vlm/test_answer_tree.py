import itertools

import numpy as np

from gaze_vlm_ros.vlm.answer_tree import PROMPT, AnswerTree, split_answers

ANSWERS = [[5, 6, 1], [5, 7, 1], [5, 6, 8, 1], [1], [5, 6, 1]]


def test_what_answers_begin_with_is_there_once() -> None:
    tree = AnswerTree.of(ANSWERS)
    # 5, 5 6, 5 7, 5 6 8: ends are predicted, not read.
    assert sorted(zip(tree.tokens.tolist(), tree.depths.tolist(), strict=True)) == [(5, 0), (6, 1), (7, 1), (8, 2)]
    assert all(parent < node for node, parent in enumerate(tree.parents))
    assert len(tree.edge_tokens) == len(set(zip(tree.edge_nodes.tolist(), tree.edge_tokens.tolist(), strict=True))) == 8
    assert [[int(tree.edge_tokens[edge]) for edge in path] for path in tree.paths] == ANSWERS
    for path in tree.paths:
        assert tree.edge_nodes[path[0]] == PROMPT
        for before, edge in itertools.pairwise(path):
            node = tree.edge_nodes[edge]
            assert (tree.parents[node], tree.tokens[node]) == (tree.edge_nodes[before], tree.edge_tokens[before])


def test_a_node_sees_itself_and_what_it_follows() -> None:
    tree = AnswerTree.of(ANSWERS)
    for node in range(len(tree.tokens)):
        line, up = set(), node
        while up != PROMPT:
            line.add(up)
            up = int(tree.parents[up])
        assert set(np.flatnonzero(tree.sees()[node]).tolist()) == line


def test_sums_along_the_answers() -> None:
    tree = AnswerTree.of(ANSWERS)
    edges = np.arange(len(tree.edge_tokens), dtype=np.float64)
    expected = [sum(edges[edge] for edge in path) for path in tree.paths]
    np.testing.assert_array_equal(tree.sums(edges), expected)
    np.testing.assert_array_equal(tree.sums(np.stack([edges, 2 * edges], axis=1))[:, 1], 2 * np.array(expected))


def test_groups_hold_every_answer_once_and_stay_small() -> None:
    rng = np.random.default_rng(0)
    answers = [[*rng.integers(2, 6, rng.integers(0, 6)).tolist(), 1] for _ in range(200)]
    for most in (1, 5, 40, 10_000):
        groups = list(split_answers(answers, most))
        assert sorted(index for group in groups for index in group) == list(range(200))
        for group in groups:
            tree = AnswerTree.of([answers[index] for index in group])
            assert len(tree.tokens) <= most or len(group) == 1 or len({tuple(answers[i]) for i in group}) == 1
    assert len(groups) == 1
