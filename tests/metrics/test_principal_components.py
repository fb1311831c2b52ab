import torch
from sklearn.decomposition import PCA

from modules.metrics.principal_components import principal_components


def test_they_are_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(900, 30, generator=generator) @ torch.randn(30, 30, generator=generator) + 3
    found = principal_components(data.split(128), 4)
    judge = PCA(4, svd_solver="full").fit(data.numpy())
    expected = torch.tensor(judge.components_)
    signs = (found.directions * expected).sum(1, keepdim=True).sign()
    torch.testing.assert_close(found.directions * signs, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.mean, torch.tensor(judge.mean_), atol=1e-4, rtol=0)
    drawn = torch.tensor(judge.inverse_transform(judge.transform(data.numpy())))
    torch.testing.assert_close(found.reconstruct(data), drawn, atol=1e-3, rtol=0)


def test_all_of_them_lose_nothing():
    data = torch.rand(50, 6)
    found = principal_components([data], 6)
    torch.testing.assert_close(found.reconstruct(data), data)
