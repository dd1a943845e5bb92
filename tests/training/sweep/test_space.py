"""The values of a sweep: lists at commas, lists and ranges in a file, and what is refused."""

import pytest

from expnet.errors import ConfigError
from expnet.training.sweep.space import Choices, Range, combinations, read_space, split_choices, split_sweep


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1e-3,3e-4", ["1e-3", "3e-4"]),
        ("2", ["2"]),
        ("[expression, pose],[pose]", ["[expression, pose]", "[pose]"]),
        ("[a,b]", ["[a,b]"]),
        ("{low: 1, high: 2},{low: 3}", ["{low: 1, high: 2}", "{low: 3}"]),
        ("'a,b',c", ["a,b", "c"]),
        ('"a, b"', ['"a, b"']),
        ("null,[1,2]", ["null", "[1,2]"]),
        ("it's", ["it's"]),
    ],
)
def test_commas(text: str, values: list[str]) -> None:
    assert split_choices(text) == values


def test_a_command_line() -> None:
    shared, space = split_sweep(["data.store=a", "optim.lr=1,2", "data.store=[a,b]"])
    assert shared == ["data.store=a", "data.store=[a,b]"]
    assert space == {"optim.lr": Choices(("1", "2"))}


@pytest.mark.parametrize("override", ["optim.lr=1,", "optim.lr=,1", "optim.lr=1,,2"])
def test_a_missing_value(override: str) -> None:
    with pytest.raises(ConfigError, match="a value is missing"):
        split_sweep([override])


def test_a_file() -> None:
    given = {
        "optim": {"lr": {"low": "1e-4", "high": "1e-2", "log": "true"}, "ema": ["0.9", None]},
        "model.layers": {"low": "1", "high": "7", "step": "2"},
        "model.groups": [["expression", "pose"], ["pose"]],
    }
    assert read_space(given) == {
        "optim.lr": Range(1e-4, 1e-2, log=True),
        "optim.ema": Choices(("0.9", "null")),
        "model.layers": Range(1, 7, 2, whole=True),
        "model.groups": Choices(("[expression, pose]", "[pose]")),
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("1", "must be a list of values"),
        ([], "must be a list of values"),
        (["1", "1"], "is to be 1 twice"),
        ({"low": "1"}, "needs low and high"),
        ({"low": "1", "high": "2", "steps": "3"}, "has no steps"),
        ({"low": "a", "high": "2"}, "low of optim.lr must be a number, not a"),
        ({"low": "2", "high": "1"}, "must be below high"),
        ({"low": "0", "high": "1", "log": "true"}, "must be above 0 for log"),
        ({"low": "1", "high": "2", "log": "true", "step": "1"}, "step or log, not both"),
        ({"low": "1", "high": "2", "step": "0"}, "must be above 0"),
        ({"low": "1", "high": "2", "log": "maybe"}, "must be true or false"),
    ],
)
def test_what_is_refused(given: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_space({"optim.lr": given})


def test_combinations() -> None:
    space = {"a": Choices(("1", "2")), "b": Choices(("x", "y"))}
    assert [tuple(one.values()) for one in combinations(space)] == [("1", "x"), ("1", "y"), ("2", "x"), ("2", "y")]
    with pytest.raises(ConfigError, match="needs a list of values for c"):
        list(combinations({"c": Range(0, 1)}))
