"""Forms of sequence learning: which recipes learn one value or many of one or many.

The forms are those of a task, see `modules.tasks.task`; captions of images would be one to many.
"""

from dataclasses import dataclass

from modules.report.results import Recipe

FORMS = ("one to many", "many to one", "many to many", "synchronised many to many")
"""In the order of the table."""


@dataclass(frozen=True)
class Ends:
    """What goes in and comes out, and the recipes that learn it."""

    goes_in: str
    comes_out: str
    recipes: list[Recipe]


def sequence_forms(recipes: list[Recipe]) -> list[tuple[str, list[Ends]]]:
    """Each form that a recipe has, trained or not, with what goes in and comes out of its tasks."""
    found: dict[str, dict[tuple[str, str], list[Recipe]]] = {form: {} for form in FORMS}
    for recipe in recipes:
        if learned := recipe.sequence_form:
            form, goes_in, comes_out = learned
            found[form].setdefault((goes_in, comes_out), []).append(recipe)
    return [
        (form, [Ends(*words, some) for words, some in by_ends.items()])
        for form, by_ends in found.items()
        if by_ends
    ]
