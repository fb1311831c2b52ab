"""A whole configuration: what is refused, and by which hint."""

import copy

import pytest

from modules.configuration.composition.compose import compose
from modules.configuration.errors import ConfigError
from modules.configuration.schema.config_check import check


def test_a_model_of_fixed_size_refuses_data_of_any_size() -> None:
    config = copy.deepcopy(compose(["recipe=lenet"]))
    config["data"]["fields"]["image"]["shape"] = config["model"]["input_shape"] = [1, "height", "width"]
    config["data"]["typical_sizes"] = {"height": 28, "width": 28}
    with pytest.raises(ConfigError, match="'height' where a fixed size is expected") as caught:
        check(config)
    assert caught.value.key == "model.input_shape[1]"
    assert "take a model of any size, or data of one size" in str(caught.value.hint)
    config["data"]["typical_sizes"] = {}
    with pytest.raises(ConfigError, match=r"'height' \(str\) where int is expected|names \[\]"):
        check(config)
