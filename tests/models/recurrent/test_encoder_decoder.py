"""Encoder and decoder: a whole target at once and step by step, in all forms; padding counts nowhere."""

from typing import Any

import pytest
import torch

from modules.models.recurrent.encoder_decoder import EncoderDecoder

FORMS: dict[str, dict[str, Any]] = {
    "none": {"attention": "none", "directions": "forwards", "reverse_source": True, "num_layers": 2},
    "dot": {"attention": "dot", "directions": "forwards", "cell": "gru"},
    "general": {"attention": "general", "num_layers": 2},
    "additive": {"attention": "additive", "cell": "elman"},
    "fed": {"attention": "general", "input_feeding": True, "num_layers": 2},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_target_at_once_is_the_same_step_by_step(form: str) -> None:
    torch.manual_seed(0)
    model = EncoderDecoder(9, 7, 4, 6, **FORMS[form]).eval()
    source, length = torch.randint(4, 9, (3, 8)), torch.tensor([8, 5, 1])
    target = torch.randint(2, 7, (3, 6))
    whole = model(source, length, target)
    state = model.start(source, length)
    for place, token in enumerate(target.unbind(1)):
        logits, state = model.step(token, state)
        torch.testing.assert_close(logits, whole[:, place])
    # What stands in the padding, and how much of it there is, changes nothing.
    other = torch.where(torch.arange(8) < length[:, None], source, 0)
    longer = torch.cat([other, torch.zeros(3, 2, dtype=torch.int64)], 1)
    torch.testing.assert_close(model(longer, length, target), whole)


@pytest.mark.parametrize("form", FORMS)
def test_attention_is_a_distribution_over_what_was_read(form: str) -> None:
    model = EncoderDecoder(9, 7, 4, 6, **FORMS[form]).eval()
    given = torch.randint(4, 9, (2, 5)), torch.tensor([5, 2]), torch.randint(2, 7, (2, 4))
    logits, weights = model.attended(*given)
    torch.testing.assert_close(logits, model(*given))
    if form == "none":
        assert weights is None
    else:
        assert weights is not None and weights.shape == (2, 4, 5)
        torch.testing.assert_close(weights.sum(2), torch.ones(2, 4))
        assert (weights[1, :, 2:] == 0).all()


def test_input_feeding_without_attention_is_refused() -> None:
    with pytest.raises(ValueError, match="attention is none"):
        EncoderDecoder(9, 7, attention="none", input_feeding=True)
