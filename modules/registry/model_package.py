"""An exported program as an MLflow model: what `mlflow models serve` and `mlflow.pytorch.load_model` take.

Two flavours lie side by side. `pytorch` (PT2) is MLflow's own; it exports a module as it saves it, and the
vetted file with its description takes the place of what that gives. `python_function`, which the server
asks, is a script (MLflow's models from code): MLflow's PyTorch flavour takes neither texts nor sounds nor
named inputs. The script is a copy of `modules.registry.answering`: it needs nothing of this repository.
"""

import inspect
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy
import torch
import yaml
from torch import Tensor
from torch.export import ExportedProgram

from modules.configuration.bounded_yaml import read_bounded
from modules.configuration.plans.run_plan import Plan
from modules.registry import answering
from modules.registry.export import DESCRIPTION, Description, save_program
from modules.registry.versions import PLAN, PROGRAM, WEIGHTS, file_hashes

SCRIPT = "answering.py"
_MLFLOW_MODEL = """

from mlflow.models import set_model  # noqa: E402
from mlflow.pyfunc import PythonModel  # noqa: E402


class _Model(Answering, PythonModel):
    pass


set_model(_Model())
"""


def package(
    program: ExportedProgram,
    weights: Mapping[str, Tensor],
    description: Description,
    examples: Mapping[str, numpy.ndarray],
    plan: Plan,
    run_id: str,
    model_id: str,
    folder: Path,
) -> str:
    """Write the folder of an MLflow model.

    Args:
        program: the exported program.
        weights: of the model by name, also those that serving does not need; kept as `weights.pt` for
            trainings that begin from them.
        description: what it takes and gives.
        examples: two real samples of each argument; those of a single tensor are kept as input example.
        plan: the resolved configuration, kept as `plan.yaml`.
        run_id: MLflow's id of the run that trained it.
        model_id: MLflow's id of the model.
        folder: a folder that does not exist yet.

    Returns:
        Hashes of all its files.
    """
    from mlflow import pytorch
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    example = next(iter(examples.values()))
    # MLflow wants a tensor's here; what holds is written below.
    stand_in = Schema([TensorSpec(example.dtype, (-1, *example.shape[1:]))])
    kinds = {one.kind for one in description.inputs}
    needed = ["torch", "mlflow", "numpy"]
    needed += ["soundfile"] if "sound" in kinds else []
    needed += ["tokenizers"] if any(one.vocabulary for one in description.inputs) else []
    pytorch.save_model(
        torch.nn.Identity(),
        str(folder),
        mlflow_model=Model(run_id=run_id, model_id=model_id),
        signature=ModelSignature(inputs=stand_in, outputs=stand_in),
        input_example=example,
        # Named here: MLflow would find them by loading the model in a process of its own, for many seconds.
        pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in needed],
        metadata=_metadata(description),
        serialization_format="pt2",
    )
    _answer_by_script(folder, ModelSignature(*_schemas(description)), with_example=len(examples) == 1)
    save_program(program, description, folder / PROGRAM)
    (folder / DESCRIPTION).write_text(json.dumps(description.to_plain(), indent=1, ensure_ascii=False) + "\n")
    torch.save(dict(weights), folder / WEIGHTS)
    (folder / PLAN).write_text(yaml.safe_dump(plan.to_plain(), sort_keys=False, allow_unicode=True))
    return file_hashes(folder)


def _metadata(description: Description) -> dict[str, Any]:
    """What MLflow's pages show of it; vocabularies stay in the program's file."""
    plain = description.to_plain()
    for one in (*plain["inputs"], *plain["outputs"]):
        one.pop("vocabulary")
    return plain


def _schemas(description: Description) -> tuple[Any, Any]:
    """MLflow's schemas of inputs and outputs; a single tensor has no name, as callers send it as it is."""
    from mlflow.types import ColSpec, Schema, TensorSpec

    def tensor(one: Any, name: str | None) -> Any:
        shape = tuple(size if isinstance(size, int) else -1 for size in one.shape)
        return TensorSpec(numpy.dtype("float32"), (-1, *shape), name=name)

    inputs, (first, *others) = description.inputs, description.outputs
    in_words = [one.kind in ("text", "sound") for one in inputs]
    if all(in_words):
        schema = Schema([ColSpec("string", name=one.name) for one in inputs])
    elif len(inputs) == 1:
        schema = Schema([tensor(inputs[0], None)])
    else:
        strings = numpy.dtype("str")
        schema = Schema(
            [
                TensorSpec(strings, (-1,), name=one.name) if words else tensor(one, one.name)
                for one, words in zip(inputs, in_words, strict=True)
            ]
        )
    rows = not any(in_words) and not others and first.kind in ("classes", "values")
    return schema, Schema([tensor(first, "outputs")]) if rows else None


def _answer_by_script(folder: Path, signature: Any, with_example: bool) -> None:
    """Makes the script what MLflow's server asks, and takes away an example that is not what one asks it."""
    source = inspect.getsource(answering)
    (folder / SCRIPT).write_text(source + _MLFLOW_MODEL, encoding="utf-8")
    file = folder / "MLmodel"
    model = yaml.safe_load(read_bounded(file))
    model["signature"] = signature.to_dict()
    flavour = model["flavors"]["python_function"]
    # By its name: MLflow looks for the script in the model's folder.
    flavour |= {
        "loader_module": "mlflow.pyfunc.loaders.code_model",
        "model_code_path": SCRIPT,
        "artifacts": {"program": {"path": PROGRAM, "uri": PROGRAM}},
        "streamable": False,
    }
    for key in ("data", "code", "config", "pickle_module_name"):
        flavour.pop(key, None)
    if not with_example:
        model.pop("saved_input_example_info")
        for name in ("input_example.json", "serving_input_example.json"):
            (folder / name).unlink()
    file.write_text(yaml.safe_dump(model, sort_keys=False, allow_unicode=True), encoding="utf-8")


def serve(folder: Path, arguments: Sequence[Tensor]) -> list[Tensor]:
    """What the registered files give for tensors, loaded as MLflow's scoring server loads them.

    Raises:
        ValueError: it is not what their description says.
    """
    from mlflow import pyfunc

    model: Any = pyfunc.load_model(str(folder)).unwrap_python_model()
    outputs = answering.run(model.program, arguments)
    answering.check_outputs(model.description, outputs, len(arguments[0]))
    return outputs
