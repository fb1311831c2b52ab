from modules.tracking.parameters import MAX_NAME, MAX_VALUE, flatten


def test_nested_configuration_becomes_dotted_names():
    config = {
        "model": {"num_filters": [6, 16], "activation": "tanh", "blocks": [{"size": 3}, {"size": 5}]},
        "runtime": {"num_threads": None, "empty": {}, "none": []},
        "seed": 0,
        "exact": True,
    }
    assert flatten(config) == {
        "model.num_filters": "[6, 16]",
        "model.activation": "tanh",
        "model.blocks.0.size": "3",
        "model.blocks.1.size": "5",
        "runtime.num_threads": "null",
        "runtime.empty": "{}",
        "runtime.none": "[]",
        "seed": "0",
        "exact": "true",
    }


def test_what_is_over_mlflows_limits_is_cut_with_an_ellipsis():
    (name, value), *rest = flatten({"k" * 300: "v" * 7000}).items()
    assert not rest
    assert len(name) == MAX_NAME and name.endswith("...")
    assert len(value) == MAX_VALUE and value.endswith("...")


def test_names_that_mlflow_refuses_are_fixed():
    assert flatten({"a+b@c": 1}) == {"a_b_c": "1"}
