"""The speech recogniser: frames by strides; neither padding nor loudness changes what is said."""

import torch

from modules.models.recurrent.speech_recogniser import SpeechRecogniser, normalised


def test_padding_and_loudness_change_nothing() -> None:
    torch.manual_seed(0)
    model = SpeechRecogniser(8000, 5, 20, num_filters=[3, 4], hidden_size=6).eval()
    sounds = 0.1 * torch.randn(3, 2400)
    length = torch.tensor([2400, 1601, 790])
    logits, frames = model(sounds, length)  # what follows a sound is noise here
    assert frames.tolist() == [8, 6, 3] and logits.shape[0] == 3 and logits.shape[2] == 5
    for number, (samples, steps) in enumerate(zip(length.tolist(), frames.tolist(), strict=True)):
        alone, of_alone = model(sounds[number : number + 1, :samples])
        assert of_alone.tolist() == [steps]
        torch.testing.assert_close(logits[number, :steps], alone[0, :steps], atol=1e-5, rtol=1e-5)
    louder, _ = model(3.0 * sounds, length)
    torch.testing.assert_close(louder[0], logits[0], atol=1e-3, rtol=1e-3)


def test_each_band_has_mean_0_and_deviation_1_over_the_frames_of_its_sound() -> None:
    features = 5.0 + 2.0 * torch.randn(2, 50, 3)
    found = normalised(features, torch.tensor([50, 20]))
    for sample, frames in ((0, 50), (1, 20)):
        own = found[sample, :frames]
        torch.testing.assert_close(own.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(own.std(dim=0, correction=0), torch.ones(3), atol=2e-3, rtol=0)
    assert (found[1, 20:] == 0).all()
