"""What an evaluation says of an autoencoder, against scikit-learn and sums by hand."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from modules.bricks.noise import GaussianNoise
from modules.configuration.schema.data_settings import DataSettings
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.evaluator import evaluate
from modules.models.feedforward.autoencoder import Autoencoder
from modules.tasks.reconstruction import Reconstruction
from tests.training.small import small_plan, write_small_shards


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    out = tmp_path_factory.mktemp("data") / "shards" / "fashion_mnist"
    write_small_shards(out)
    return ShardSet.open(Path(out))


@pytest.fixture(scope="module")
def settings() -> DataSettings:
    return PLAN.data


PLAN = small_plan("autoencoder_2", "seed=3")


def autoencoder(code_size: int = 2, **keywords: object) -> Reconstruction:
    torch.manual_seed(0)
    return Reconstruction(Autoencoder((1, 28, 28), code_size, [32]), **keywords)  # type: ignore[arg-type]


def whole(task: Reconstruction, data: ShardSet, split: str) -> tuple[Tensor, Tensor]:
    (batch,) = EvaluationLoader(data.split(split), 2000)
    return task.inputs(batch), batch["label"]


def test_figures_are_those_of_scikit_learn(data: ShardSet, settings: DataSettings) -> None:
    task = autoencoder(code_size=6)
    found = evaluate(task, data, PLAN).metrics
    (train, known), (test, truth) = whole(task, data, "train"), whole(task, data, "test")
    judge = PCA(6, svd_solver="full").fit(train.flatten(1).numpy())

    def accuracy(encode) -> float:
        neighbours = KNeighborsClassifier(5, algorithm="brute").fit(encode(train), known.numpy())
        return float((neighbours.predict(encode(test)) == truth.numpy()).mean())

    of_codes = accuracy(lambda images: task.model.encode(images).detach().numpy())
    of_components = accuracy(lambda images: judge.transform(images.flatten(1).numpy()))
    assert found["code_accuracy"] == pytest.approx(of_codes)
    assert found["pca_accuracy"] == pytest.approx(of_components, abs=0.011)  # one of 100 at a near draw
    assert found["gain_over_pca"] == found["code_accuracy"] - found["pca_accuracy"]
    error = (task.model(test).sigmoid() - test).square().mean().item()
    reconstructed = torch.tensor(judge.inverse_transform(judge.transform(test.flatten(1).numpy())))
    pca_error = (reconstructed - test.flatten(1)).square().mean().item()
    variance = (test - train.mean(0)).square().mean().item()
    assert found["reconstruction_error"] == pytest.approx(error, rel=1e-5)
    assert found["pca_reconstruction_error"] == pytest.approx(pca_error, rel=1e-3)
    assert found["explained_variance"] == pytest.approx(1 - error / variance, rel=1e-3, abs=1e-4)
    assert found["loss"] == pytest.approx(task.loss({"image": test, "label": truth}).value, rel=1e-5)
    assert found["num_samples"] == 100


def test_two_codes_are_scattered_by_class(data: ShardSet, settings: DataSettings) -> None:
    task = autoencoder()
    found = evaluate(task, data, PLAN)
    test, truth = whole(task, data, "test")
    (chart,) = found.charts
    assert [one.name for one in chart.series] == settings.fields["label"].classes
    codes = task.model.encode(
        test
    )  # all at once, as the evaluation does: batches of other sizes round otherwise
    for number, one in enumerate(chart.series):
        assert [list(point) for point in one.points] == codes[truth == number].tolist()
    assert [image.name for image in found.images] == ["reconstructions", "between"]
    assert not evaluate(autoencoder(code_size=3), data, PLAN).charts


def test_images_that_cannot_be_shown_are_measured_all_the_same(
    data: ShardSet, settings: DataSettings, tmp_path: Path
) -> None:
    class TwoChannels(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.expand(-1, 2, -1, -1)

    task = Reconstruction(Autoencoder((2, 28, 28), 2, [32]), preprocessing=TwoChannels())
    found = evaluate(task, data, PLAN)
    found.save(tmp_path)
    assert not found.images and [chart.name for chart in found.charts] == ["codes"]


def test_noise_is_laid_on_and_taken_away_the_same_at_every_evaluation(
    data: ShardSet, settings: DataSettings
) -> None:
    task = autoencoder(noise=GaussianNoise(0.5))
    before = torch.get_rng_state()
    found, again = (evaluate(task, data, PLAN).metrics for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert found == again
    assert found["noisy_error"] == pytest.approx(0.25, rel=0.02)
    assert found["denoised_error"] != found["reconstruction_error"]
    assert found["noise_removed"] == 1 - found["denoised_error"] / found["noisy_error"]
    assert found["pca_reconstruction_error"] < found["pca_denoised_error"] < found["noisy_error"]


def test_samples_without_classes_have_errors_alone(data: ShardSet, settings: DataSettings) -> None:
    fields = {name: replace(field, classes=None) for name, field in settings.fields.items()}
    found = evaluate(autoencoder(), data, replace(PLAN, data=replace(settings, fields=fields)))
    assert "reconstruction_error" in found.metrics and "code_accuracy" not in found.metrics
    assert [image.name for image in found.images] == ["reconstructions"]
    assert not found.charts
