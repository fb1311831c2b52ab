"""An exported program as an MLflow model: what `mlflow models serve` and `mlflow.pytorch.load_model` take.

The flavour is MLflow's own (`pytorch`, PT2). MLflow exports the module once more as it saves it; the vetted
file with its description takes the place of that. The input tensor has no name in the signature, because
MLflow's PyTorch flavour cannot be served with named inputs (its wrapper refuses the dictionary that such a
signature asks for); name and meaning are in the metadata.
"""

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy
import torch
import yaml
from torch import Tensor
from torch.export import ExportedProgram

from modules.configuration.plans.run_plan import Plan
from modules.registry.export import Description, save_program
from modules.registry.versions import PLAN, PROGRAM, WEIGHTS, file_hashes


def package(
    program: ExportedProgram,
    weights: Mapping[str, Tensor],
    description: Description,
    example: numpy.ndarray,
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
        example: two real samples, [2, *input_shape], kept as input example.
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

    float32 = numpy.dtype("float32")
    meaning = "probability of each class" if description.output_kind == "classes" else "values by name"
    outputs = TensorSpec(float32, (-1, len(description.outputs)), name="outputs")
    pytorch.save_model(
        program.module(),
        str(folder),
        mlflow_model=Model(run_id=run_id, model_id=model_id),
        signature=ModelSignature(
            inputs=Schema([TensorSpec(float32, (-1, *description.input_shape))]), outputs=Schema([outputs])
        ),
        input_example=example.astype(float32),
        # Named here: MLflow would find them by loading the model in a process of its own, for many seconds.
        pip_requirements=[
            f"{name}=={version(name).partition('+')[0]}" for name in ("torch", "mlflow", "numpy")
        ],
        metadata={"input": "values in 0..1", "output": meaning, **asdict(description)},
        serialization_format="pt2",
    )
    save_program(program, description, folder / PROGRAM)
    torch.save(dict(weights), folder / WEIGHTS)
    (folder / PLAN).write_text(yaml.safe_dump(plan.to_plain(), sort_keys=False, allow_unicode=True))
    return file_hashes(folder)


def serve(folder: Path, inputs: numpy.ndarray) -> numpy.ndarray:
    """What MLflow's scoring server answers for these inputs."""
    from mlflow import pyfunc

    return pyfunc.load_model(str(folder)).predict(inputs)
