"""From the frames of connectionist temporal classification to labels: the best path, or the best labelling.

Graves, Fernández, Gomez & Schmidhuber (2006), *Connectionist temporal classification*, section 3.2: the
labelling of the likeliest path is found at once (`best_path`), yet another one may be likelier, whose
probability is shared out among many paths. Prefix beam search (`beam_search`) adds up the paths of each
beginning: Hannun, Maas, Jurafsky & Ng (2014), *First-pass large vocabulary continuous speech recognition
using bi-directional recurrent DNNs*, algorithm 1, arXiv 1408.2873; the language model's part as in Hannun et
al. (2014), *Deep Speech*, section 2.2, arXiv 1412.5567, label by label.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from modules.configuration.errors import UserError

LanguageModel = Callable[[tuple[int, ...]], Float[np.ndarray, " labels"]]
"""ln p of each label after a prefix; what it says of the blank does not matter."""


class BestPath(NamedTuple):
    """Labels of a batch, padded by 0, and where each was seen.

    Attributes:
        tokens: labels, none of them the blank.
        lengths: labels of each sample.
        starts: the first frame of each label.
        ends: the frame after its last one.
    """

    tokens: Int[Tensor, "batch tokens"]
    lengths: Int[Tensor, " batch"]
    starts: Int[Tensor, "batch tokens"]
    ends: Int[Tensor, "batch tokens"]


class Labelling(NamedTuple):
    """What a beam search found.

    Attributes:
        tokens: labels, none of them the blank.
        log_probability: ln p of the paths that were followed; never above that of the labelling.
        score: by which it was ranked: with the language model's part and `beta` for each label.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float


def best_path(
    logits: Float[Tensor, "batch time labels"], frames: Int[Tensor, " batch"], blank: int = 0
) -> BestPath:
    """The likeliest label of each frame; repeats are merged, then blanks removed.

    Args:
        logits: or probabilities, or their logarithms.
        frames: of each sample.
        blank: the label that says none.

    Returns:
        As many places as the longest sample has labels; in an exported program as many as there are frames.
    """
    time = logits.shape[1]
    best = logits.argmax(dim=2)
    place = torch.arange(time, device=logits.device)
    best = best.masked_fill(place >= frames[:, None], blank)
    padded = functional.pad(best, (1, 1), value=blank)
    begins = (best != blank) & (best != padded[:, :time])
    ends = (best != blank) & (best != padded[:, 2:])
    lengths = begins.sum(dim=1)
    number = begins.cumsum(dim=1) - 1  # which label a frame belongs to
    places = place.expand_as(best)

    def gathered(values: Tensor, where: Tensor) -> Tensor:
        """What is not wanted is written behind the last place, and cut off."""
        return torch.zeros_like(padded).scatter(1, number.masked_fill(~where, time), values)[:, :time]

    found = gathered(best, begins), gathered(places, begins), gathered(places + 1, ends)
    if not torch.compiler.is_exporting() and not logits.is_meta:
        longest = int(lengths.max()) if len(lengths) else 0
        found = tuple(one[:, :longest] for one in found)
    tokens, starts, stops = found
    return BestPath(tokens, lengths, starts, stops)


def beam_search(
    logits: Float[Tensor, "batch time labels"],
    frames: Int[Tensor, " batch"],
    beam: int,
    blank: int = 0,
    language_model: LanguageModel | None = None,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> list[list[Labelling]]:
    """The best labellings of each sample, the best first.

    Args:
        logits: before the softmax.
        frames: of each sample.
        beam: prefixes that are kept after each frame, and labellings that are given at most.
        blank: the label that says none.
        language_model: asked once for each prefix that is kept.
        alpha: weight of its logarithms.
        beta: added for each label, against a model's liking for short texts.

    Raises:
        UserError: `beam` is below 1.
    """
    num_labels = logits.shape[2]
    if not 0 <= blank < num_labels:
        raise ValueError(f"blank={blank} is none of the {num_labels} labels")
    if beam < 1:
        raise UserError(f"beam={beam} keeps no prefix", "Give at least 1, such as beam=16")
    chances = logits.detach().cpu().double().log_softmax(dim=2).numpy()
    return [
        _search(np.ascontiguousarray(sample[:time]), beam, blank, language_model, alpha, beta)
        for sample, time in zip(chances, frames.tolist(), strict=True)
    ]


def _search(
    chances: Float[np.ndarray, "time labels"],
    width: int,
    blank: int,
    language_model: LanguageModel | None,
    alpha: float,
    beta: float,
) -> list[Labelling]:
    from modules.kernels import ctc_prefixes as prefixes  # numba takes half a second to import

    nodes = np.full((5, 2 + len(chances) * width), -1)
    beam, members = np.full((3, width), -np.inf), np.zeros(width, np.int64)
    beam[prefixes.BLANK_END, 0] = beam[prefixes.EXTRA, 0] = 0.0
    if language_model is None:
        size = prefixes.search()(chances, blank, width, beta, members, beam, nodes)
    else:
        size = count = 1
        asked: dict[int, Float[np.ndarray, " labels"]] = {}
        bonus = np.zeros((max(2, width), chances.shape[1]))
        for frame in chances:
            for place, node in enumerate(members[:size].tolist()):
                if node not in asked:
                    asked[node] = alpha * np.asarray(language_model(_tokens(nodes, node))) + beta
                bonus[place] = asked[node]
            size, count = prefixes.advance()(frame, bonus, blank, width, members, size, beam, nodes, count)
    found = []
    for place, node in enumerate(members[:size].tolist()):
        chance = float(np.logaddexp(beam[prefixes.BLANK_END, place], beam[prefixes.LABEL_END, place]))
        found.append(Labelling(_tokens(nodes, node), chance, chance + float(beam[prefixes.EXTRA, place])))
    return sorted(found, key=lambda one: -one.score)


def _tokens(nodes: Int[np.ndarray, "5 nodes"], node: int) -> tuple[int, ...]:
    """Of a prefix, from its end to its begin and turned around."""
    tokens = []
    while node:
        tokens.append(int(nodes[1, node]))
        node = int(nodes[0, node])
    return tuple(reversed(tokens))
