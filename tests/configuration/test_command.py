"""Command lines of `key=value`, and how a program ends."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from modules.configuration.command import arguments, run
from modules.configuration.errors import UserError


@dataclass(frozen=True)
class Spec:
    """
    Args:
        plan: the recipe's plan,
            wherever it lies.
        show: what to show.
    """

    plan: Path
    count: int = 3
    share: float | None = None
    names: list[str] | None = None
    dry: bool = False
    show: Literal["all", "table"] = "all"


def test_arguments_are_typed() -> None:
    argv = ["plan=a=b.yaml", "count=4", "share=0.5", "names=[a,b]", "--dry", "table"]
    assert arguments(argv, Spec, "") == Spec(Path("a=b.yaml"), 4, 0.5, ["a", "b"], True, "table")
    assert arguments(["plan=x", "share=null", "dry=false"], Spec, "") == Spec(Path("x"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "plan=... is missing"),
        (["plan="], "plan= has no value"),
        (["plan=a\0b"], "plan=.* has no value|no value"),
        (["plan=x", "plan=y"], "plan is given twice"),
        (["plan=x", "cuont=1"], "no argument 'cuont'. Did you mean count"),
        (["plan=x", "--dri"], "no argument 'dri'. Did you mean dry"),
        (["plan=x", "--count"], "--count needs a value"),
        (["plan=x", "count=many"], "count=many is no int"),
        (["plan=x", "share=much"], "share=much is no float"),
        (["plan=x", "dry=perhaps"], "neither true nor false"),
        (["plan=x", "show=tabel"], "is none of all, table. Did you mean table"),
        (["plan=x", "tabel"], "'tabel' is no key=value. Did you mean table"),
        (["plan=x", "zzz"], "'zzz' is no key=value. See --help"),
    ],
)
def test_mistakes_are_one_line(argv: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        arguments(argv, Spec, "")
    assert "\n" not in str(caught.value)


def test_help_shows_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(["--help"], Spec, "What it does.")
    shown = capsys.readouterr().out
    assert ended.value.code == 0 and shown.startswith("What it does.")
    assert "plan=..." in shown and "the recipe's plan, wherever it lies." in shown
    assert "show=all|table" in shown and "--dry" in shown and "count=..." in shown


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (UserError("it is\nbroken", "Fix it"), 2, "error: it is broken. Fix it\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_a_program_ends_in_one_line(
    raised: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(argv: list[str]) -> None:
        raise raised

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == status and capsys.readouterr().err == line


def test_a_warning_is_one_line_without_the_place_that_gave_it() -> None:
    lines: list[str] = []

    def main(argv: list[str]) -> None:
        told = UserWarning("Palette images\n  with Transparency")
        lines.append(warnings.formatwarning(told, UserWarning, "/lib/PIL/Image.py", 3))

    before = warnings.formatwarning
    with pytest.raises(SystemExit):
        run(main)
    assert lines == ["warning: Palette images with Transparency\n"]
    assert warnings.formatwarning is before


def test_what_main_returns_is_the_status() -> None:
    for returned, status in ((None, 0), (0, 0), (3, 3)):
        with pytest.raises(SystemExit) as ended:
            run(lambda argv, returned=returned: returned)
        assert ended.value.code == status


def test_a_mistake_can_be_shown_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def main(argv: list[str]) -> None:
        raise UserError("it is broken")

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(UserError):
        run(main)


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda argv: 1 / 0)
