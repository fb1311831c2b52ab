"""A plan: one training whose configuration is resolved, checked and costed; frozen, parsed once.

The verbs read it from a file (`modules.configuration.plans.plan_files`) or make it of overrides
(`modules.shapes.make_plan`), and hand its sections on: what needs the trainer's settings gets
`plan.trainer`, not the plan. Imports no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.plans.training_cost import Cost, read_cost
from modules.configuration.schema.expected_settings import without_what_was_seen
from modules.configuration.schema.phases import named_phases
from modules.configuration.schema.settings import Settings, construct

ADDED = ("code", "cost")
"""What a plan's file holds besides the configuration; and so does each of its phases."""


@dataclass(frozen=True)
class Code:
    """The code that decides a training's result.

    Attributes:
        fingerprint: sha256 over `files`.
        files: sha256 of the syntax tree of each file, by its path.
        environment: sha256 of the pinned packages.
    """

    fingerprint: str
    files: dict[str, str] = field(default_factory=dict)
    environment: str = ""


@dataclass(frozen=True)
class Pretrained:
    """What a run begins from besides its own plan, found and pinned by content.

    Attributes:
        weights: file of the initial weights.
        weights_sha256: of a file that `init_from` names; empty for those of an earlier phase, whose identity
            stands for them.
        teacher_answers: file of the soft targets of every training sample.
        teacher_answers_sha256: of teachers and shards.
    """

    weights: Path | None = None
    weights_sha256: str = ""
    teacher_answers: Path | None = None
    teacher_answers_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan(Settings):
    """One training.

    Attributes:
        code: that decides its result.
        cost: of the network and a step.
        configuration: the same settings as plain containers, to be written, hashed and shown.
        before: the plans of its phases by name, in the order in which they are trained.
        pretrained: the files that it begins from; looked up by the verb that trains.
    """

    code: Code
    cost: Cost
    configuration: dict[str, Any] = field(repr=False)
    before: Mapping[str, "Plan"] = field(default_factory=dict, repr=False)
    pretrained: Pretrained = Pretrained()

    @property
    def all_runs(self) -> list["Plan"]:
        """All that it trains, in that order: its phases, then itself."""
        return [*self.before.values(), self]

    @property
    def dataset(self) -> str:
        """The name of its dataset."""
        return self.data.name

    @property
    def shards(self) -> Path:
        """The folder of its dataset's shards."""
        return self.storage / "data" / "shards" / self.dataset

    @property
    def storage(self) -> Path:
        """The folder that holds runs, sweeps and shards."""
        return Path(self.runtime.storage)

    def with_pretrained(self, pretrained: Pretrained) -> "Plan":
        """The plan with the files that it begins from; in its phases too."""
        weights = replace(pretrained, teacher_answers=None, teacher_answers_sha256="")
        before = {name: replace(phase, pretrained=weights) for name, phase in self.before.items()}
        return replace(self, before=before, pretrained=pretrained)

    def begins_from(self, weights: Path | None) -> "Plan":
        """The plan with the file of weights of an earlier phase; None leaves its own."""
        if weights is None:
            return self
        return replace(
            self, pretrained=replace(self.pretrained, weights=weights.absolute(), weights_sha256="")
        )

    def changed(self, **sections: Any) -> "Plan":
        """The plan with other values of sections, given as plain values, in its phases as well."""
        return replace(parse_plan({**self.to_plain(), **sections}), pretrained=self.pretrained)

    def to_plain(self) -> dict[str, Any]:
        """Plain containers, as a plan's file holds them."""
        phases = {
            name: {**changes, **_facts(self.before[name])}
            for name, changes in (self.configuration.get("phases") or {}).items()
        }
        return {**self.configuration, "phases": phases or self.configuration.get("phases"), **_facts(self)}


def _facts(plan: Plan) -> dict[str, Any]:
    code = plan.code
    return {
        "code": {"fingerprint": code.fingerprint, "files": code.files, "environment": code.environment},
        "cost": plan.cost.to_plain(),
    }


def make_plan_of(
    configuration: Mapping[str, Any], code: Code, cost: Cost, before: Mapping[str, Plan] | None = None
) -> Plan:
    """A plan of a checked configuration.

    Args:
        configuration: plain and resolved; `sweep` is left out, as a plan is the same however it is searched,
            and so is what was seen of the expected score.
        code: that decides the result.
        cost: of the network.
        before: plans of its phases.
    """
    own = without_what_was_seen({key: value for key, value in configuration.items() if key != "sweep"})
    settings = construct(Settings, own)
    sections = {section.name: getattr(settings, section.name) for section in fields(Settings)}
    return Plan(**sections, code=code, cost=cost, configuration=own, before=before or {})


def parse_plan(plain: Mapping[str, Any]) -> Plan:
    """The plan that `Plan.to_plain` gave; its keys were checked before.

    Raises:
        UserError: its code or cost is not whole.
    """
    phases = plain.get("phases")
    facts = {name: _read_facts(changes, f"phases.{name}") for name, changes in (phases or {}).items()}
    configuration = {key: value for key, value in plain.items() if key not in ADDED}
    if phases:
        configuration["phases"] = {
            name: {key: value for key, value in changes.items() if key not in ADDED}
            for name, changes in phases.items()
        }
    before = {name: make_plan_of(phase, *facts[name]) for name, phase in named_phases(configuration).items()}
    return make_plan_of(configuration, *_read_facts(plain, "the plan"), before)


def _read_facts(plain: Mapping[str, Any], where: str) -> tuple[Code, Cost]:
    code, cost = plain.get("code"), plain.get("cost")
    if (
        not isinstance(code, dict)
        or not isinstance(code.get("fingerprint"), str)
        or not isinstance(cost, dict)
    ):
        raise UserError(f"{where} has no code and cost", "Write it: python -m pipelines.plan --all")
    files, environment = code.get("files", {}), code.get("environment", "")
    if not isinstance(files, dict) or not all(
        isinstance(text, str) for text in (*files.values(), environment)
    ):
        raise UserError(f"the code of {where} is not whole", "Write it: python -m pipelines.plan --all")
    return Code(code["fingerprint"], files, environment), read_cost(cost)
