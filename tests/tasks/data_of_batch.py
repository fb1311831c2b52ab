"""Settings of a dataset whose batches are like a given one."""

from torch import Tensor

from modules.configuration.schema.data_settings import DataSettings, FieldSettings


def settings_of(batch: dict[str, Tensor], classes: list[str] | None = None) -> DataSettings:
    """Fields of the batch's shapes and types; `classes` are those of the field `label`."""
    fields = {
        name: FieldSettings(
            dtype=str(values.dtype).removeprefix("torch."),  # type: ignore[arg-type]
            shape=list(values.shape[1:]),
            axes=[f"axis {number}" for number in range(values.ndim - 1)],
            units="",
            classes=classes if name == "label" else None,
        )
        for name, values in batch.items()
    }
    return DataSettings("made", "Made", {}, {}, fields, {}, 1)
