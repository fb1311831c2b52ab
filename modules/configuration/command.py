"""What every command does alike: `key=value` arguments, one line for a user's mistake, exit statuses.

For a command that takes Hydra's overrides instead (`recipe=lenet model.dropout=0`), see
`modules.configuration.composition.hydra_command.compose_and_run`.
"""

import dataclasses
import inspect
import io
import os
import re
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from modules.configuration.errors import UserError
from modules.configuration.names import nearest, suggest
from modules.configuration.process_environment import prepare
from modules.configuration.refused_access import access_error

Spec = TypeVar("Spec")

INTERRUPTED = 130
REFUSED = 2


def run(main: Callable[[list[str]], object]) -> NoReturn:
    """Runs a command as a program: a user's mistake is one line on stderr and exit status 2, and so is a file
    that the user may not read or write.

    With HYDRA_FULL_ERROR=1, Hydra's own switch, it is shown with its traceback.

    Args:
        main: takes the command line without the program's name; an int that it returns is the exit status.
    """
    # Read when torch is loaded. Threads that wait for each other sleep: beside any other busy process on the
    # same cores, spinning made two threads ten times slower than one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        # A console of ASCII, or a file name that is no UTF-8, must not end a command that did its work.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    before, warnings.formatwarning = warnings.formatwarning, _plain
    try:
        prepare()
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        for fault in (error, *error.others):
            print(one_line(fault), file=sys.stderr)
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; Python must not complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        refusal = access_error(error)
        if refusal is None or os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(one_line(refusal), file=sys.stderr)
        sys.exit(REFUSED)
    finally:
        warnings.formatwarning = before
    sys.exit(status if isinstance(status, int) else 0)


def _plain(message: Warning | str, *place: object) -> str:
    """A library's warning as one line, without the library's path and code."""
    return f"warning: {' '.join(str(message).split())}\n"


def one_line(error: UserError) -> str:
    """How a user's mistake is shown."""
    return f"error: {' '.join(str(error).split())}"


def arguments(argv: list[str], spec: type[Spec], help: str) -> Spec:
    """Reads a command line of `key=value` into a dataclass.

    A field of type bool may be written `--key`; a value of the only Literal field that has it, bare.

    Args:
        argv: the command line without the program's name.
        spec: a dataclass; its docstring's `Args:` or `Attributes:` say what each field means.
        help: what `--help` shows above the fields.

    Raises:
        UserError: an argument is unknown, missing, given twice, or of the wrong type.
        SystemExit: `--help` was asked for.
    """
    if {"--help", "-h"} & set(argv):
        print(_help(spec, help))
        sys.exit(0)
    hints = get_type_hints(spec)
    fields = {field.name: field for field in dataclasses.fields(spec)}  # pyright: ignore[reportArgumentType]
    given: dict[str, Any] = {}
    for argument in argv:
        name, value = _split(argument, hints)
        if name not in fields:
            raise UserError(f"there is no argument {name!r}", suggest(name, fields) or "See --help")
        if name in given:
            raise UserError(f"{name} is given twice")
        given[name] = _convert(name, value, hints[name])
    for name, field in fields.items():
        if name not in given and field.default is field.default_factory is dataclasses.MISSING:
            raise UserError(f"{name}=... is missing", "See --help")
    return spec(**given)


def _split(argument: str, hints: dict[str, Any]) -> tuple[str, str]:
    name, equals, value = argument.partition("=")
    if equals:
        return name.removeprefix("--"), value
    flag = name.removeprefix("--").replace("-", "_")
    if name.startswith("--"):
        if hints.get(flag, bool) is not bool:
            raise UserError(f"{argument} needs a value", f"Write {flag}=...")
        return flag, "true"
    owners = [key for key, hint in hints.items() if argument in _choices(hint)]
    if len(owners) == 1:
        return owners[0], argument
    words = [choice for hint in hints.values() for choice in _choices(hint)]
    near = nearest(argument, words)
    raise UserError(f"{argument!r} is no key=value", f"Did you mean {near}?" if near else "See --help")


def _convert(name: str, text: str, hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        alternatives = get_args(hint)
        if type(None) in alternatives and text == "null":
            return None
        hint = next(kind for kind in alternatives if kind is not type(None))
    if get_origin(hint) is Literal:
        if text in get_args(hint):
            return text
        near = nearest(text, get_args(hint))
        spoken = ", ".join(get_args(hint))
        raise UserError(f"{name}={text} is none of {spoken}", f"Did you mean {near}?" if near else "")
    if get_origin(hint) is list:
        return [
            _convert(name, item, get_args(hint)[0]) for item in text.strip("[]").split(",") if item.strip()
        ]
    if hint is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise UserError(f"{name}={text} is neither true nor false")
    if hint in (str, Path):
        if not text or "\0" in text:
            raise UserError(f"{name}= has no value", "Leave it out or give one")
        return hint(text)
    try:
        return hint(text)
    except ValueError:
        raise UserError(f"{name}={text} is no {hint.__name__}") from None


def _choices(hint: Any) -> tuple[str, ...]:
    return get_args(hint) if get_origin(hint) is Literal else ()


def _help(spec: type, text: str) -> str:
    hints = get_type_hints(spec)
    documented = _documented(inspect.getdoc(spec) or "")
    rows = []
    for field in dataclasses.fields(spec):  # pyright: ignore[reportArgumentType]
        hint = hints[field.name]
        left = f"--{field.name}" if hint is bool else f"{field.name}={'|'.join(_choices(hint)) or '...'}"
        about = documented.get(field.name, "")
        if hint is not bool and field.default not in (dataclasses.MISSING, None):
            about = f"{about} [{field.default}]".strip()
        rows.append((left, about))
    width = max((len(left) for left, _ in rows), default=0)
    return "\n".join([text.strip(), "", *(f"  {left:<{width}}  {about}".rstrip() for left, about in rows)])


def _documented(docstring: str) -> dict[str, str]:
    """The descriptions under `Args:` or `Attributes:`, by name."""
    _, _, section = re.sub(r"^Attributes:", "Args:", docstring, flags=re.MULTILINE).partition("Args:\n")
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(about.split()) for name, about in entries}
