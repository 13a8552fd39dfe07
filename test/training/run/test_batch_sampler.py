import numpy as np

from training.run.batch_sampler import batch_rows, batch_rows_by_class


def test_every_window_comes_once_before_any_comes_again() -> None:
    draws = np.concatenate([batch_rows(draw, 7, 50, seed=3) for draw in range(50)])
    for epoch in range(7):
        assert sorted(draws[epoch * 50 : (epoch + 1) * 50]) == list(range(50))
    assert draws[:50].tolist() != draws[50:100].tolist()
    assert draws[:7].tolist() != batch_rows(0, 7, 50, seed=4).tolist()


def test_rare_answers_come_as_often_as_frequent_ones() -> None:
    classes = np.array([4] * 40 + [7] * 8 + [9] * 2)
    draws = np.concatenate([batch_rows_by_class(draw, 10, classes, seed=3) for draw in range(15)])
    for epoch in range(3):
        counts = np.unique(classes[draws[epoch * 50 : (epoch + 1) * 50]], return_counts=True)[1]
        assert sorted(counts) == [16, 17, 17]
    of_frequent = draws[:50][classes[draws[:50]] == 4]
    assert len(set(of_frequent)) == len(of_frequent)  # none twice while others have not come
    assert {48, 49} <= set(draws[:50])
    again = np.concatenate([batch_rows_by_class(draw, 5, classes, seed=3) for draw in range(30)])
    np.testing.assert_array_equal(again, draws)  # however they are divided
