"""Every network of a task declares the capabilities that animation and evaluation ask for."""

import inspect

import pytest

from expnet.models.interfaces import ExpressionNetwork, HeadPoseNetwork
from expnet.models.saved_model import build_model

NETWORKS = [
    ("expression", {}, ExpressionNetwork),
    ("expression", {"network": "small_convolution"}, ExpressionNetwork),
    ("expression", {"network": "autoregressive"}, ExpressionNetwork),
    ("pose", {}, HeadPoseNetwork),
    ("pose", {"network": "sadtalker"}, HeadPoseNetwork),
]


@pytest.mark.parametrize(("task", "options", "interface"), NETWORKS)
def test_a_network_has_the_members_of_its_interface(task: str, options: dict[str, str], interface: type) -> None:
    model = build_model(task, options)
    members = {*interface.__annotations__, *(name for name in vars(interface) if not name.startswith("_"))}
    assert {"takes_pieces", "frame_by_frame", "options", "parameters"} <= members
    assert not [name for name in members if not hasattr(model, name)]


@pytest.mark.parametrize(("task", "options", "interface"), NETWORKS)
def test_a_network_takes_the_arguments_of_its_interface(task: str, options: dict[str, str], interface: type) -> None:
    name, method = ("__call__", "forward") if task == "expression" else ("sample", "sample")
    wanted = [
        parameter.name
        for parameter in inspect.signature(getattr(interface, name)).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    found = list(inspect.signature(getattr(type(build_model(task, options)), method)).parameters)
    assert found[: len(wanted)] == wanted


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, False),
        ({"streaming": True, "attention_bias": "alibi_causal"}, True),
        ({"network": "autoregressive", "streaming": True, "attention_bias": "alibi_causal"}, False),
        ({"network": "small_convolution"}, False),
    ],
)
def test_which_expression_networks_run_live(options: dict[str, object], expected: bool) -> None:
    assert build_model("expression", options).frame_by_frame is expected
