"""Joint embedding: vectors of length 1, padding counts nowhere, cells tell where something lies."""

import pytest
import torch

from modules.models.convolutional.resnet import ResNet
from modules.models.multimodal.joint_embedding import JointEmbedding

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def embedding(pooling: str, reading: str = "recurrent") -> JointEmbedding:
    torch.manual_seed(0)
    backbone = ResNet((3, 32, 32), None, 1, (4, 6), stem="large")
    model = JointEmbedding((3, 32, 32), backbone, 9, 5, pooling, 4, 3, reading=reading)  # pyright: ignore
    return model.eval()


@pytest.mark.parametrize("reading", ["recurrent", "average"])
def test_vectors_have_length_one_and_padding_counts_nowhere(reading: str) -> None:
    model = embedding("cells", reading)
    texts, length = torch.tensor([[2, 5, 3, 0], [2, 6, 7, 3], [2, 3, 0, 0]]), torch.tensor([3, 4, 2])
    for vectors in model(IMAGES, texts, length):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    longer = torch.cat([texts, torch.zeros(3, 2, dtype=torch.int64)], 1)
    torch.testing.assert_close(model.of_texts(longer, length), model.of_texts(texts, length))
    for number in range(3):
        alone = model.of_texts(texts[number : number + 1, : length[number]], length[number : number + 1])
        torch.testing.assert_close(alone[0], model.of_texts(texts, length)[number])


def test_a_text_is_read_as_torch_reads_it() -> None:
    text = embedding("cells").text
    assert text.layer is not None
    tokens, length = torch.tensor([[2, 5, 4, 3]]), torch.tensor([4])
    lstm = torch.nn.LSTM(4, 3, batch_first=True, bidirectional=True)
    state = {}
    for name, layer in {"": text.layer.forwards, "_reverse": text.layer.backwards}.items():
        state |= {f"{key}_l0{name}": value for key, value in layer.cell.state_dict().items()}
    lstm.load_state_dict(state)
    _, (last, _) = lstm(text.embedding(tokens))
    torch.testing.assert_close(text(tokens, length), text.output(torch.cat([last[0], last[1]], 1)))


def test_an_average_knows_no_order() -> None:
    texts, length = torch.tensor([[2, 5, 4, 3], [4, 3, 2, 5]]), torch.tensor([4, 4])
    averaged = embedding("mean", "average").of_texts(texts, length)
    torch.testing.assert_close(averaged[0], averaged[1])
    text = embedding("mean", "average").text
    torch.testing.assert_close(text(texts, length), text.output(text.embedding(texts).mean(dim=1)))
    read = embedding("mean").of_texts(texts, length)
    assert not torch.allclose(read[0], read[1])


def test_cells_tell_left_from_right_and_their_mean_does_less() -> None:
    """Of maps that are mirrored the mean is the same."""
    maps = torch.rand(1, 6, 4, 4, generator=torch.Generator().manual_seed(1))
    for pooling, same in (("cells", False), ("mean", True)):
        model = embedding(pooling)
        found = []
        for shown in (maps, maps.flip(3)):
            model.backbone.feature_maps = lambda images, shown=shown: {"maps": shown}  # pyright: ignore
            found.append(model.of_images(IMAGES[:1]))
        assert torch.allclose(found[0], found[1], atol=1e-6) == same
