"""Evaluators of images and texts, of models that know everything and of some that do not, on plain
colours."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.samples import ArraySamples
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import END, Vocabulary
from modules.evaluation.captioning_evaluator import CaptioningEvaluator
from modules.evaluation.exhibits import Animation, Gallery, ImageStrips, TextTable
from modules.evaluation.joint_embedding_evaluator import JointEmbeddingEvaluator
from modules.evaluation.text_to_image_evaluator import TextToImageEvaluator
from modules.models.convolutional.resnet import ResNet
from modules.models.multimodal.captioner import Captioner
from modules.models.multimodal.joint_embedding import JointEmbedding as JointModel
from modules.models.multimodal.text_image_generator import TextImageGenerator as Generator
from modules.tasks.captioning import Captioning
from modules.tasks.image_text_matching import ImageTextMatching
from modules.tasks.text_to_image import TextToImage
from tests.plans import plan_of
from tests.written_shards import write_samples

COLOURS = {"red": (250, 0, 0), "green": (0, 250, 0), "blue": (0, 0, 250)}
NOUNS = ["background", "square"]
SIZE = 16


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[ShardSet, Plan]:
    """A square in the top left quarter of an image in one colour: `a red square`, or `see a red square`."""
    config = compose(["recipe=show_attend_and_tell"])
    fields = config["data"]["fields"]
    fields["image"]["shape"], fields["mask"]["shape"] = [3, SIZE, SIZE], [SIZE, SIZE]
    fields["mask"]["classes"] = NOUNS
    fields["caption"]["vocabulary"] = {"kind": "words", "size": 4 + 6}
    fields["references"]["vocabulary"] = {"kind": "words", "size": 4 + 7}
    plan = plan_of(config)
    plan.data.splits.clear()
    samples = {}
    for split, number in {"train": 9, "validation": 3, "test": 6, "test_unseen": 3}.items():
        names = [list(COLOURS)[n % 3] for n in range(number)]
        images = np.zeros((number, 3, SIZE, SIZE), np.uint8)
        images[:, :, :8, :8] = np.array([COLOURS[name] for name in names])[:, :, None, None]
        mask = np.zeros((number, SIZE, SIZE), np.uint8)
        mask[:, :8, :8] = 1
        captions = [f"see a {name} square" if n % 2 else f"a {name} square" for n, name in enumerate(names)]
        references = [f"a {name} square | see a {name} square" for name in names]
        columns = {"image": images, "mask": mask, "caption": captions, "references": references}
        samples[split] = ArraySamples([str(n) for n in range(number)], columns)
    folder = tmp_path_factory.mktemp("coloured") / "data"
    write_samples(samples, plan.data, folder)
    return ShardSet.open(folder, plan.data), plan


class Decoder(nn.Module):
    attention = None


class Describes(nn.Module):
    """Says of which colour the square is; `mistaken` takes one colour for another."""

    def __init__(self, vocabulary: Vocabulary, mistaken: dict[str, str] | None = None) -> None:
        super().__init__()
        self.decoder = Decoder()
        said = [(mistaken or {}).get(name, name) for name in COLOURS]
        self.sentences = torch.tensor([[*vocabulary.encode(f"a {name} square"), END] for name in said])
        self.size = len(vocabulary)

    def start(self, images: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        sentences = self.sentences[images.flatten(2).sum(2).argmax(1)]
        return (sentences,), (torch.zeros(len(images), 1, dtype=torch.int64),)

    def step(self, token: Tensor, state: Any) -> tuple[Tensor, Any]:
        (sentences,), (place,) = state
        following = sentences.gather(1, place.clamp(max=sentences.shape[1] - 1))[:, 0]
        return 20 * nn.functional.one_hot(following, self.size).float(), ((sentences,), (place + 1,))

    def places(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.flatten(2).transpose(1, 2), torch.ones(len(images), SIZE * SIZE, dtype=torch.bool)


def test_right_captions_are_those_of_any_wording(made: tuple[ShardSet, Plan]) -> None:
    data, plan = made
    vocabulary = data.vocabularies["caption"]
    task = Captioning(Describes(vocabulary), "image", "caption", 8).eval()
    found = CaptioningEvaluator(4, other_splits=["test_unseen"]).evaluate(task, data, plan)
    ones = ("exact", "beam_exact", "nearest_exact", "test_unseen_exact")
    assert [found.metrics[name] for name in ones] == [1.0] * 4
    # Three words have no 4-grams: BLEU takes the closest reference, which is whole.
    assert found.metrics["bleu"] == found.metrics["beam_bleu"]
    assert "attention_mass" not in found.metrics
    gallery, table = found.exhibits
    assert isinstance(gallery, Gallery) and isinstance(table, TextTable)
    assert {image.label for image in gallery.images} == {f"a {name} square" for name in COLOURS}
    assert found.charts[0].series[0].points == [(3.0, 1.0)]


def test_a_mistake_is_shown_first(made: tuple[ShardSet, Plan]) -> None:
    data, plan = made
    model = Describes(data.vocabularies["caption"], {"green": "blue"})
    task = Captioning(model, "image", "caption", 8).eval()
    found = CaptioningEvaluator(4).evaluate(task, data, plan)
    assert found.metrics["exact"] == pytest.approx(4 / 6)
    table = found.exhibits[1]
    assert isinstance(table, TextTable)
    assert table.rows[0][:2] == ["a green square", "a blue square"]


def test_attention_is_measured_within_what_is_named(
    made: tuple[ShardSet, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a net whose attention is the same everywhere its share is that of the pixels: a quarter."""
    data, plan = made
    vocabulary = data.vocabularies["caption"]
    backbone = ResNet((3, SIZE, SIZE), None, 1, (4,), stem="large")
    model = Captioner((3, SIZE, SIZE), backbone, len(vocabulary), 4, "additive", None, 5, 6)  # pyright: ignore
    task = Captioning(model, "image", "caption", 8).eval()
    assert model.decoder.attention is not None
    nn.init.zeros_(model.decoder.attention.values.weight)
    sentence = torch.tensor([[*vocabulary.encode("a red square"), END]])
    monkeypatch.setattr(task, "written", lambda batch, *rest: sentence.expand(len(batch["image"]), -1))
    found = CaptioningEvaluator(4).evaluate(task, data, plan)
    assert found.metrics["attention_mass"] == pytest.approx(0.25)
    assert found.metrics["attention_chance"] == pytest.approx(0.25)
    maps = found.exhibits[1]
    assert isinstance(maps, Gallery) and maps.name == "attention"
    assert [image.label for image in maps.images[:3]] == ["a", "red", "square"]
    heat = maps.images[0].heat
    assert heat is not None and heat.shape == (SIZE, SIZE)


class KnowsColours(JointModel):
    """An image's vector is its colour, a text's that of its second word but one."""

    def __init__(self, vocabulary: Vocabulary, blind: bool = False) -> None:
        nn.Module.__init__(self)
        self.blind = blind
        self.table = torch.zeros(len(vocabulary), 3)
        for number, name in enumerate(COLOURS):
            self.table[vocabulary.encode(name)[0], number] = 1.0

    def of_images(self, images: Tensor) -> Tensor:
        return nn.functional.normalize(images.flatten(2).sum(2) * (not self.blind) + 0.01, dim=1)

    def of_texts(self, texts: Tensor, length: Tensor) -> Tensor:
        return nn.functional.normalize(self.table[texts].sum(1) + 0.01, dim=1)


def test_images_and_texts_find_each_other(made: tuple[ShardSet, Plan]) -> None:
    """Each colour is there twice, so that the right one is never alone: one of two others is before it."""
    data, plan = made
    vocabulary = data.vocabularies["caption"]
    evaluator = JointEmbeddingEvaluator(4, ["test_unseen"], [["red", "blue"]])
    found = evaluator.evaluate(ImageTextMatching(KnowsColours(vocabulary)).eval(), data, plan)
    assert found.metrics["image_recall_at_1"] == 0.0
    assert found.metrics["image_recall_at_5"] == found.metrics["text_recall_at_5"] == 1.0
    assert found.metrics["image_median_rank"] == 2.0
    assert found.metrics["test_unseen_image_recall_at_1"] == 1.0
    assert found.metrics["num_candidates"] == 6.0
    images, texts, arithmetic = found.exhibits
    assert isinstance(images, ImageStrips) and isinstance(texts, TextTable)
    assert isinstance(arithmetic, ImageStrips)
    # Less red, plus blue: blue squares come first.
    assert all(strip.images[1][0, 0].tolist() == [0, 0, 250] for strip in arithmetic.strips)
    blind = evaluator.evaluate(ImageTextMatching(KnowsColours(vocabulary, True)).eval(), data, plan)
    assert blind.metrics["text_recall_at_5"] < 1


def test_arithmetic_with_unknown_words_is_refused(made: tuple[ShardSet, Plan]) -> None:
    data, plan = made
    task = ImageTextMatching(KnowsColours(data.vocabularies["caption"])).eval()
    with pytest.raises(UserError, match="'brown' has words that the model does not know"):
        JointEmbeddingEvaluator(4, arithmetic=[["brown", "red"]]).evaluate(task, data, plan)
    with pytest.raises(UserError, match="Write rows of two texts"):
        JointEmbeddingEvaluator(arithmetic=[["brown"]])


class Paints(Generator):
    """Paints the square of the colour that a text names; `noisy` by how much the noise shows."""

    def __init__(self, vocabulary: Vocabulary, noisy: float = 0.0) -> None:
        nn.Module.__init__(self)
        self.noise_size, self.noisy = 1, noisy
        known = KnowsColours(vocabulary)
        self.text = lambda texts, length: known.of_texts(texts, length)  # pyright: ignore

    def of_vectors(self, vectors: Tensor, noise: Tensor | None = None) -> Tensor:
        images = torch.zeros(len(vectors), 3, SIZE, SIZE)
        images[:, :, :8, :8] = vectors[:, :, None, None]
        assert noise is not None
        return (images + self.noisy * noise.abs()[:, :, None, None]).clamp(0, 1)


def test_a_judge_finds_the_text_of_a_right_image(made: tuple[ShardSet, Plan]) -> None:
    data, plan = made
    vocabulary = data.vocabularies["caption"]
    judge = ImageTextMatching(KnowsColours(vocabulary)).eval()
    evaluator = TextToImageEvaluator("judge", 4, ["test_unseen"])
    evaluator.take(judge, data.vocabularies)
    found = evaluator.evaluate(TextToImage(Paints(vocabulary)).eval(), data, plan)
    assert found.metrics["right_of_100"] == found.metrics["real_right_of_100"] == 1.0
    assert found.metrics["variety"] == 0.0
    assert found.metrics["num_texts"] == 3.0
    beside, unseen, turning = found.exhibits
    assert isinstance(beside, ImageStrips) and isinstance(unseen, ImageStrips)
    assert isinstance(turning, Animation)
    evaluator.take(ImageTextMatching(KnowsColours(vocabulary, blind=True)).eval(), data.vocabularies)
    blind = evaluator.evaluate(TextToImage(Paints(vocabulary)).eval(), data, plan)
    assert blind.metrics["right_of_100"] == 0.0


def test_another_judge_is_refused(made: tuple[ShardSet, Plan]) -> None:
    data, plan = made
    vocabulary = data.vocabularies["caption"]
    evaluator = TextToImageEvaluator("runs/other")
    with pytest.raises(UserError, match="Name a joint embedding"):
        evaluator.take(TextToImage(Paints(vocabulary)), data.vocabularies)
    evaluator.take(ImageTextMatching(KnowsColours(vocabulary)), {"caption": data.vocabularies["references"]})
    with pytest.raises(UserError, match="trained on other tokens"):
        evaluator.evaluate(TextToImage(Paints(vocabulary)).eval(), data, plan)


def test_a_folder_of_exhibits_can_be_written(made: tuple[ShardSet, Plan], tmp_path: Path) -> None:
    data, plan = made
    vocabulary = data.vocabularies["caption"]
    evaluator = TextToImageEvaluator("judge", 4)
    evaluator.take(ImageTextMatching(KnowsColours(vocabulary)).eval(), data.vocabularies)
    for exhibit in evaluator.evaluate(TextToImage(Paints(vocabulary, 0.1)).eval(), data, plan).exhibits:
        assert exhibit.write(tmp_path)
    assert len(list(tmp_path.glob("turning-*.png"))) == 24
