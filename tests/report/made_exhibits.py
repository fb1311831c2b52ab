"""One exhibit of every kind, as evaluators may leave them."""

import math

import numpy

from modules.evaluation.exhibits import (
    Animation,
    AnnotatedImage,
    Box,
    Exhibit,
    Gallery,
    ImageStrips,
    Mask,
    Sound,
    SoundPlayers,
    Strip,
    TextTable,
)

SIDE = 48


def exhibits() -> list[Exhibit]:
    """A table, sounds, strips, an animation and a gallery."""
    row, column = numpy.indices((SIDE, SIDE))
    grey = (80 + 100 * numpy.sin(row / 7) * numpy.cos(column / 9)).clip(0, 255).astype(numpy.uint8)
    round_ = (row - 24) ** 2 + (column - 30) ** 2 < 120
    square = (row > 6) & (row < 20) & (column > 4) & (column < 18)
    scene = numpy.stack([grey, grey // 2 + 60, grey // 3 + 90], axis=-1)
    scene[round_], scene[square] = (230, 120, 60), (70, 150, 220)
    heat = numpy.exp(-((row - 24) ** 2 + (column - 30) ** 2) / 150).astype(numpy.float32)
    time = numpy.arange(4000) / 8000
    tone = 0.6 * numpy.sin(2 * math.pi * 440 * time) * numpy.exp(-4 * time)
    spoken = numpy.random.default_rng(0).normal(0, 0.2, 6000) * numpy.sin(numpy.arange(6000) / 6000 * 9) ** 2
    boxes = [Box(21, 15, 40, 34, "ball", 0.98), Box(5, 1, 18, 20, "crate", 0.71)]
    return [
        TextTable(
            "answers",
            "Answers",
            "Sentences of the test split, what stands there, and what the model says.",
            ["source", "truth", "answer"],
            [
                ["the quick brown fox", "le rapide renard brun", "le renard brun et rapide"],
                ["what a day", "quelle journée", "quelle journée"],
                ["two\nlines", "deux\nlignes", "deux lignes"],
                ["صباح الخير", "bonjour", "bonsoir"],
            ],
        ),
        SoundPlayers(
            "sounds",
            "Sounds",
            "A tone that fades, and noise that comes and goes.",
            [
                Sound("a tone", tone.astype(numpy.float32), 8000),
                Sound("noise", spoken.astype(numpy.float32), 8000),
            ],
        ),
        ImageStrips(
            "stages",
            "Stages",
            "Each row is a sample: the image, its maps and what comes back.",
            ["image", "edges", "reconstructed"],
            [
                Strip(
                    "first",
                    [grey, numpy.abs(numpy.diff(grey.astype(int), prepend=0)).astype(numpy.uint8), grey],
                ),
                Strip("second", [scene, 255 - scene, scene[::-1].copy()]),
            ],
        ),
        Animation(
            "course",
            "Course",
            "A bright bar that wanders from left to right.",
            [numpy.roll(grey, 6 * number, axis=1) for number in range(8)],
            6.0,
        ),
        Gallery(
            "scenes",
            "Scenes",
            "What was found: boxes, regions, and where the model looks.",
            [
                AnnotatedImage("boxes", scene, boxes=boxes),
                AnnotatedImage("regions", scene, masks=[Mask("ball", round_), Mask("crate", square)]),
                AnnotatedImage("heat", scene, heat=heat),
                AnnotatedImage("all of it", grey, boxes, [Mask("ball", round_)], heat),
            ],
        ),
    ]
