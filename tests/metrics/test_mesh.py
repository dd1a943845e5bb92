import numpy as np
import pytest
import torch
import torchmetrics.multimodal

from expnet.metrics import LipVertexError, UpperFaceDynamicsDeviation
from expnet.metrics.functional import lip_vertex_error, upper_face_dynamics_deviation

LIPS = [1, 4, 5, 7]


def meshes(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, 9, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand() -> None:
    target = torch.zeros(1, 2, 9, 3)
    predicted = target.clone()
    predicted[0, 0, 4] = torch.tensor([3.0, 4.0, 0.0])  # 5 away in the first frame
    predicted[0, 0, 7, 0] = 1.0  # the smaller error of the frame
    predicted[0, 1, 0, 0] = 100.0  # not a lip
    lips = torch.tensor(LIPS)
    assert lip_vertex_error(predicted, target, lips)[0].tolist() == [12.5]
    assert lip_vertex_error(predicted, target, lips, variant="root")[0].tolist() == [2.5]
    assert lip_vertex_error(target, target, lips)[0].tolist() == [0.0]


def test_clips_of_any_length_pool_as_torchmetrics_does() -> None:
    reference, ours = torchmetrics.multimodal.LipVertexError(mouth_map=LIPS), LipVertexError(LIPS)
    for frames, seed in ((3, 1), (20, 2), (7, 3)):
        predicted, target = meshes(frames, seed=seed), meshes(frames, seed=seed + 10)
        reference.update(predicted, target)
        ours.update(predicted[None], target[None])
    assert ours.compute().item() == pytest.approx(reference.compute().item(), rel=1e-12)


def test_padding_does_not_count() -> None:
    predicted, target = meshes(1, 12, seed=1), meshes(1, 12, seed=2)
    valid = torch.arange(12)[None] < 8
    padded = torch.where(valid[..., None, None], predicted, torch.nan)
    metric = LipVertexError(LIPS, variant="root")
    metric.update(padded, target, valid)
    short = LipVertexError(LIPS, variant="root")
    short.update(predicted[:, :8], target[:, :8])
    assert metric.compute().item() == pytest.approx(short.compute().item(), rel=1e-12)
    metric.reset()
    metric.update(predicted, target, torch.zeros_like(valid))
    assert (int(metric.clips), int(metric.unscored)) == (0, 1)


def test_dynamics_equal_the_formula_of_codetalker() -> None:
    """The definition in numpy: standard deviation over time of the squared displacement from the template."""
    predicted, target, template = meshes(3, 15, seed=4), meshes(3, 15, seed=5), meshes(seed=6)
    upper = [0, 2, 3]
    expected = []
    for clip in range(3):
        spread = []
        for side in (target, predicted):
            motion = side[clip].numpy() - template.numpy()
            spread.append(np.mean([np.std((motion[:, vertex] ** 2).sum(-1)) for vertex in upper]))
        expected.append(spread[0] - spread[1])
    value = upper_face_dynamics_deviation(predicted, target, template, torch.tensor(upper))
    assert value.tolist() == pytest.approx(expected, rel=1e-12)
    metric = UpperFaceDynamicsDeviation(upper)
    metric.update(predicted, target, template)
    assert metric.compute().item() == pytest.approx(np.mean(expected))


def test_a_still_prediction_is_above_zero_and_the_real_one_is_zero() -> None:
    target, template = meshes(2, 15, seed=5), meshes(2, seed=6)
    metric = UpperFaceDynamicsDeviation([0, 2])
    metric.update(target, target, template)
    assert metric.compute().item() == 0.0
    metric.reset()
    metric.update(template[:, None].expand_as(target), target, template)
    assert metric.compute().item() > 0.1
    valid = torch.arange(15)[None].expand(2, 15) < 10
    metric.reset()
    metric.update(torch.where(valid[..., None, None], target, torch.nan), target, template, valid)
    assert metric.compute().item() == 0.0


def test_the_vertices_belong_to_the_protocol() -> None:
    first, second = LipVertexError(LIPS).protocol, LipVertexError([*LIPS, 8]).protocol
    assert first != second
    assert LipVertexError([7, 5, 4, 1, 1]).protocol == first  # the same set
    assert LipVertexError(LIPS, variant="root").protocol != first
    assert LipVertexError(LIPS, length_unit="mm").unit == "mm²"


def test_mistakes_are_named() -> None:
    mesh = meshes(1, 4)
    with pytest.raises(ValueError, match="mesh's 9"):
        LipVertexError([9]).update(mesh, mesh)
    with pytest.raises(ValueError, match="mesh's 9"):
        LipVertexError([]).update(mesh, mesh)
    with pytest.raises(ValueError, match="the same shape"):
        LipVertexError(LIPS).update(mesh, mesh[:, :3])
    with pytest.raises(ValueError, match="template"):
        UpperFaceDynamicsDeviation([1]).update(mesh, mesh, mesh[0, 0, :5])
    with pytest.raises(ValueError, match="variant"):
        LipVertexError(LIPS, variant="cubed")
