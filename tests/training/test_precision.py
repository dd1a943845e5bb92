"""Mixed precision, double precision and compiled networks change the speed, but not what is measured."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from small import arguments, checkpoint_of, rows_of

from expnet.config import load_config
from expnet.training.main import build_data, main
from expnet.training.tasks.build import build_task
from expnet.training.tasks.expression_task import ExpressionTask
from expnet.training.tasks.motion_task import MotionTask
from expnet.training.tasks.pose_task import PoseTask

SHORT = ("trainer.max_steps=4", "trainer.validate_every=4", "trainer.log_every=1")


def trained(run: Path) -> list[float]:
    return [float(row["train/loss"]) for row in rows_of(run) if row["train/loss"]]


def validated(run: Path) -> dict[str, float]:
    row = next(row for row in rows_of(run) if row["val/loss"])
    return {name: float(value) for name, value in row.items() if name.startswith("val/")}


def network_precisions(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[torch.dtype]]:
    """Collect the precisions in which the linear layers of the network compute, in training and in validation."""
    seen: dict[str, set[torch.dtype]] = {"training_step": set(), "validation_step": set()}
    inside: list[str] = []
    linear = torch.nn.Linear.forward

    def look(layer: torch.nn.Linear, value: torch.Tensor) -> torch.Tensor:
        output = linear(layer, value)
        seen[inside[-1]].add(output.dtype)
        return output

    def within(original: Any, name: str) -> Any:
        def step(*given: Any) -> Any:
            inside.append(name)
            return original(*given)

        return step

    monkeypatch.setattr(torch.nn.Linear, "forward", look)
    for task in (ExpressionTask, PoseTask, MotionTask):
        for name in seen:
            monkeypatch.setattr(task, name, within(getattr(task, name), name))
    return seen


@pytest.mark.parametrize("task", ["expression", "pose", "motion"])
@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_precisions(task: str, precision: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Which windows teach the mean, whose loss is of another size, is drawn as well: here, none does.
    short = [*SHORT, "model.mean_share=0"] if task == "motion" else SHORT
    assert main(arguments(task, store, *short, "output=plain")) == 0
    seen = network_precisions(monkeypatch)
    assert main(arguments(task, store, *short, f"trainer.precision={precision}")) == 0
    wide = torch.float64 if precision == "64-true" else torch.float32
    assert seen["validation_step"] == {wide}
    assert torch.bfloat16 in seen["training_step"] if precision == "bf16-mixed" else seen["training_step"] == {wide}
    plain, other = trained(Path("plain")), trained(Path("run"))
    assert plain != other
    # The head-pose and the motion network draw other noise in 64 bits than in 32.
    assert other == pytest.approx(
        plain, rel=0.15 if task != "expression" else 0.05 if precision == "bf16-mixed" else 0.01
    )
    # weights are stored, averaged and exported in full precision
    kept = checkpoint_of(Path("run"))["state_dict"]
    assert {value.dtype for value in kept.values() if value.is_floating_point()} == {wide}


@pytest.mark.parametrize("task", ["expression", "pose", "motion"])
def test_mixed_precision_is_for_the_network_in_training_alone(task: str, store: Path) -> None:
    """The losses of 16-bit outputs are computed in 32 bits, and a validation does not use mixed precision at all."""
    config = load_config(arguments(task, store))
    data = build_data(config)
    module = build_task(config, data)
    logged: dict[str, torch.Tensor] = {}
    module.log_dict = lambda values, **_: logged.update(values)  # type: ignore[method-assign]
    batch = next(iter(data.train_dataloader()))
    module.eval()  # no dropout
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = module.training_step(batch, 0)
    assert loss.dtype == torch.float32
    assert all(value.dtype == torch.float32 for value in logged.values())
    loss.backward()
    gradients = [value.grad for value in module.model.parameters() if value.grad is not None]
    assert gradients
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    # a validation in mixed precision is one in full precision, bit for bit
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    clip = next(iter(data.val_dataloader()))
    plain = module.validation_step(clip, 0).predicted
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = module.validation_step(clip, 0).predicted
    assert torch.equal(plain, mixed)


@pytest.mark.parametrize("task", ["expression", "pose", "motion"])
def test_a_compiled_network_trains_alike(task: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses all of the compiler except its code generator, which takes minutes."""
    original = torch.nn.Module.compile
    compiled: list[torch.nn.Module] = []

    def compile_without_code(module: torch.nn.Module) -> None:
        compiled.append(module)
        original(module, backend="aot_eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile_without_code)
    short = ("trainer.max_steps=2", "trainer.validate_every=2", "trainer.log_every=1", "data.limit_validation_clips=1")
    for output, wanted in (("plain", "false"), ("run", "true")):
        assert main(arguments(task, store, *short, f"compile={wanted}", f"output={output}")) == 0
    assert len(compiled) == 1
    assert trained(Path("run")) == pytest.approx(trained(Path("plain")), rel=1e-3)
    assert validated(Path("run")) == pytest.approx(validated(Path("plain")), rel=1e-3)
    first, second = (checkpoint_of(Path(run))["state_dict"] for run in ("plain", "run"))
    assert first.keys() == second.keys()  # the wrapper adds no prefix


def test_compiling_leaves_the_averaged_weights_and_copies_alone(store: Path) -> None:
    config = load_config(arguments("expression", store, "compile=true"))
    task = build_task(config, build_data(config))
    task.model.compile()
    assert task.model._compiled_call_impl is not None
    assert task.averaged._compiled_call_impl is None
    assert copy.deepcopy(task.model)._compiled_call_impl is None
