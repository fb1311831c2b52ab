"""The pages' templates."""

from collections.abc import Callable
from pathlib import Path

import jinja2

HERE = Path(__file__).parent


def template(name: str, **filters: Callable[..., str]) -> jinja2.Template:
    """A template of this folder. Every name in it came from somebody's data: autoescape keeps it text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(name)
