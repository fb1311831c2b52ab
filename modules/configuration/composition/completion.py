"""Tab completion of overrides in bash, for `python -m pipelines.<verb>` too, which Hydra's own does not know.

eval "$(python -m pipelines.train -sc install=bash)"
"""

import os
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from modules.configuration.composition.conf_contents import groups
from modules.configuration.composition.hydra_errors import HYDRA_ERRORS
from modules.configuration.composition.hydra_loader import load
from modules.configuration.composition.key_locations import CONF
from modules.configuration.composition.recipes import recipe_files

_INSTALL = r"""
_trainyard_complete() {
    COMPREPLY=()
    local line="${COMP_LINE:0:$COMP_POINT}"
    if [[ "$line" =~ ^[^\ ]*python[0-9.]*\ +-m\ +pipelines\.train(\ .*)?$ ]]; then
        local word="${line##* }"
        mapfile -t COMPREPLY < <(
            COMP_LINE="$line" "${COMP_WORDS[0]}" -m pipelines.train -sc query=bash 2>/dev/null
        )
        # Readline takes `=` for the start of a word: what it has already must not come twice.
        if [[ "$COMP_WORDBREAKS" == *=* && "$word" == *=* ]]; then
            COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
        fi
    fi
}
complete -o nospace -o default -F _trainyard_complete python python3 python3.11 python3.12
"""
_UNINSTALL = """
complete -r python python3 python3.11 python3.12
unset -f _trainyard_complete
"""


def complete(requests: list[str]) -> bool:
    """Answers bash's requests: install=bash, uninstall=bash, query=bash.

    Returns:
        Whether it did; other shells are Hydra's.
    """
    match requests:
        case ["install=bash"]:
            print(_INSTALL)
        case ["uninstall=bash"]:
            print(_UNINSTALL)
        case ["query=bash"]:
            # python -m pipelines.train WORDS: the last may be empty.
            words = os.environ.get("COMP_LINE", "").split(" ")[3:]
            print("\n".join(candidates(words[-1] if words else "", [w for w in words[:-1] if w])))
        case _:
            return False
    return True


def candidates(word: str, before: list[str], conf: Path = CONF) -> list[str]:
    """The overrides that a word may become.

    Args:
        word: what is typed of it.
        before: the words before it: they decide which keys there are.
        conf: the folder of the configuration.
    """
    prefix = word[: len(word) - len(word.lstrip("+~"))]
    name, equals, _ = word.lstrip("+~").partition("=")
    if equals and (conf / name).is_dir():
        files = sorted((conf / name).rglob("*.yaml"))
        paths = [file.relative_to(conf / name).with_suffix("").as_posix() for file in files]
        found = [f"{name}={path}" for path in (recipe_files(conf) if name == "recipe" else paths)]
    else:
        config = _composed([w for w in before if not w.startswith("-")], conf)
        found = _groups(conf) + _keys(config, name.rpartition(".")[0])
        if equals:
            value = _select(config, name)
            found = [] if value is None or isinstance(value, dict | list) else [f"{name}={value}"]
    return sorted({prefix + candidate for candidate in found if (prefix + candidate).startswith(word)})


def _composed(overrides: list[str], conf: Path) -> dict[str, Any]:
    for chosen in (overrides, []):
        try:
            composed = OmegaConf.to_container(load(chosen, conf), resolve=False)
        except HYDRA_ERRORS:
            continue
        if isinstance(composed, dict):
            return {str(key): value for key, value in composed.items()}
    return {}


def _groups(conf: Path) -> list[str]:
    return [f"{path.name}=" for path in groups(conf)]


def _keys(config: dict[str, Any], parent: str) -> list[str]:
    inside = _select(config, parent) if parent else config
    if not isinstance(inside, dict):
        return []
    start = f"{parent}." if parent else ""
    return [
        f"{start}{key}{'.' if isinstance(value, dict) else '='}"
        for key, value in inside.items()
        if not key.startswith("_")
    ]


def _select(config: dict[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
