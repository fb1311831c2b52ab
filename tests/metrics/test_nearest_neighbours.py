import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from modules.metrics.nearest_neighbours import nearest_neighbour_classes


@pytest.mark.parametrize("num_neighbours", [1, 5, 12])
def test_it_says_what_scikit_learn_says(num_neighbours):
    generator = torch.Generator().manual_seed(num_neighbours)
    known, asked = torch.randn(700, 10, generator=generator), torch.randn(260, 10, generator=generator)
    classes = torch.randint(4, (700,), generator=generator)
    judge = KNeighborsClassifier(num_neighbours, algorithm="brute").fit(known.numpy(), classes.numpy())
    found = nearest_neighbour_classes(known, classes, asked, num_neighbours)
    assert found.tolist() == judge.predict(asked.numpy()).tolist()


def test_points_far_from_the_origin_keep_their_neighbours():
    known = torch.tensor([[10000.0], [10000.01], [10000.05]])
    asked = torch.tensor([[10000.012], [10000.04]])
    assert nearest_neighbour_classes(known, torch.tensor([0, 1, 2]), asked, 1).tolist() == [1, 2]


def test_fewer_points_than_neighbours_all_vote_and_the_lower_class_wins_a_draw():
    known = torch.tensor([[0.0], [1.0]])
    assert nearest_neighbour_classes(known, torch.tensor([2, 1]), torch.tensor([[0.1]])).tolist() == [1]
