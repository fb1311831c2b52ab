"""Prefix beam search through the outputs of connectionist temporal classification, on one thread of a CPU.

Hannun, Maas, Jurafsky & Ng (2014), *First-pass large vocabulary continuous speech recognition using
bi-directional recurrent DNNs*, algorithm 1, arXiv 1408.2873; Graves (2012), *Supervised sequence labelling
with recurrent neural networks*, section 7.5. Called by `modules.generation.ctc_decoding`.

Of each prefix there are two probabilities, of paths that end with a blank and of paths that end with its last
label, in logarithms. Prefixes are nodes of a tree; node 0 is the empty one. A prefix that was dropped and
comes back begins from its parent alone, where algorithm 1 still knows what it was worth when it was dropped.
"""

from functools import cache

import numpy as np

from modules.kernels.compiled import compiled, part

NODE, BEAM = "i8[:,::1]", "f8[:,::1]"
PARENT, LABEL, CHILD, SIBLING, PLACE = range(5)
"""Of a node: parent, last label, newest child, the child before it of its parent, place in the beam."""
BLANK_END, LABEL_END, EXTRA = range(3)
"""Of a prefix in the beam: ln p of its paths, and what the language model adds."""


@cache
def advance():
    """The kernel for one frame."""
    return compiled(_advance.py_func, f"UniTuple(i8,2)(f8[::1],{BEAM},i8,i8,i8[::1],i8,{BEAM},{NODE},i8)")


@cache
def search():
    """The kernel for all frames, without a language model."""
    return compiled(_search, f"i8({BEAM},i8,i8,f8,i8[::1],{BEAM},{NODE})")


@part()
def _sum(a, b):
    """ln(e^a + e^b)."""
    if a < b:
        a, b = b, a
    return a if b == -np.inf else a + np.log1p(np.exp(b - a))


@part()
def _child(nodes, parent, label, count):
    """The node of a longer prefix, an old one or the one that comes next."""
    node = nodes[CHILD, parent]
    while node >= 0 and nodes[LABEL, node] != label:
        node = nodes[SIBLING, node]
    if node >= 0:
        return node
    nodes[PARENT, count], nodes[LABEL, count], nodes[CHILD, count] = parent, label, -1
    nodes[SIBLING, count], nodes[PLACE, count] = nodes[CHILD, parent], -1
    nodes[CHILD, parent] = count
    return count


@part()
def _advance(chances, bonus, blank, width, members, size, beam, nodes, count):
    """One frame further.

    Args:
        chances: ln p of each label in it.
        bonus: [width, labels], what the language model adds for a prefix's next label; or one row for all.
        blank: its label.
        width: most prefixes that are kept.
        members: [width], the nodes of the prefixes; replaced.
        size: how many there are.
        beam: [3, width], by `BLANK_END`...; replaced.
        nodes: [5, capacity], the tree.
        count: of its nodes.

    Returns:
        How many prefixes and nodes there are now.
    """
    num_labels = len(chances)
    found = np.full(
        (size, num_labels), -np.inf
    )  # a longer prefix each; beneath the blank the prefix as it is
    both, blank_end, label_end = np.empty(size), np.empty(size), np.empty(size)
    for place in range(size):
        nodes[PLACE, members[place]] = place
        both[place] = _sum(beam[BLANK_END, place], beam[LABEL_END, place])
    for place in range(size):
        node = members[place]
        row = place if len(bonus) > 1 else 0
        for label in range(num_labels):
            before = beam[BLANK_END, place] if label == nodes[LABEL, node] else both[place]
            found[place, label] = before + chances[label] + beam[EXTRA, place] + bonus[row, label]
        blank_end[place] = both[place] + chances[blank]
        label_end[place] = beam[LABEL_END, place] + chances[nodes[LABEL, node]] if node else -np.inf
    for place in range(size):
        node = members[place]
        if node and nodes[PLACE, nodes[PARENT, node]] >= 0:  # its paths join those of the prefix in the beam
            parent, label = nodes[PLACE, nodes[PARENT, node]], nodes[LABEL, node]
            before = beam[BLANK_END, parent] if label == nodes[LABEL, members[parent]] else both[parent]
            label_end[place] = _sum(label_end[place], before + chances[label])
            found[parent, label] = -np.inf
    for place in range(size):
        found[place, blank] = _sum(blank_end[place], label_end[place]) + beam[EXTRA, place]
        nodes[PLACE, members[place]] = -1

    scores = found.reshape(-1)
    least = -np.inf
    if len(scores) > width:
        least = np.partition(scores, len(scores) - width)[len(scores) - width]
    old_members, old = members[:size].copy(), beam[:, :size].copy()
    better = 0
    for score in scores:
        better += score > least
    ties, kept = width - better, 0
    for place in range(size):
        for label in range(num_labels):
            score = found[place, label]
            if not score >= least or score == -np.inf or (score == least and ties == 0):
                continue  # nan too
            ties -= score == least
            if label == blank:
                members[kept] = old_members[place]
                beam[BLANK_END, kept], beam[LABEL_END, kept] = blank_end[place], label_end[place]
                beam[EXTRA, kept] = old[EXTRA, place]
            else:
                extra = old[EXTRA, place] + bonus[place if len(bonus) > 1 else 0, label]
                members[kept] = _child(nodes, old_members[place], label, count)
                count += members[kept] == count
                beam[BLANK_END, kept], beam[LABEL_END, kept], beam[EXTRA, kept] = (
                    -np.inf,
                    score - extra,
                    extra,
                )
            kept += 1
    return kept, count


def _search(chances, blank, width, beta, members, beam, nodes):
    size, count = 1, 1
    bonus = np.full((1, chances.shape[1]), beta)
    for t in range(len(chances)):
        size, count = _advance(chances[t], bonus, blank, width, members, size, beam, nodes, count)
    return size
