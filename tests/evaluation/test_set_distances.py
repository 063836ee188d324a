"""FID and KID: against formulas for known sets, against slow twins, and their error cases."""

import pytest
import torch
from torch import Tensor

from gs_esd.evaluation import set_distances
from gs_esd.evaluation.set_distances import frechet_distance, kernel_distance


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def features(n: int = 40, seed: int = 0, size: int = 6) -> Tensor:
    mix = torch.randn(size, size, generator=generator(9))
    return torch.randn(n, size, generator=generator(seed)) @ mix


def test_frechet_distance_to_itself() -> None:
    assert frechet_distance(features(), features()).value == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_shift() -> None:
    shift = torch.tensor([1.0, -2, 0, 0.5, 0, 0])
    moved = frechet_distance(features(), features() + shift)
    assert moved.value == pytest.approx(float(shift.square().sum()), rel=1e-5)


def test_frechet_distance_of_scale() -> None:
    """C_b = s² C_a, so that FID is (s - 1)² tr C_a."""
    a = features()
    a = a - a.mean(0)
    expected = (3 - 1) ** 2 * float(a.var(0).sum())
    assert frechet_distance(a, 3 * a).value == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_by_its_formula() -> None:
    mix = torch.randn(6, 6, generator=generator(3))
    a, b = features(seed=1).double(), (features(seed=2) @ mix).double()
    product = a.T.cov() @ b.T.cov()
    root_trace = torch.linalg.eigvals(product).sqrt().sum().real
    expected = (a.mean(0) - b.mean(0)).square().sum() + a.T.cov().trace() + b.T.cov().trace()
    assert frechet_distance(a, b).value == pytest.approx(float(expected - 2 * root_trace))
    assert frechet_distance(b, a).value == pytest.approx(frechet_distance(a, b).value)


def test_frechet_distance_of_fewer_images_than_values() -> None:
    a, b = features(4, seed=1), features(4, seed=2)
    assert frechet_distance(a, b).value > 0


def slow_mmd(a: Tensor, b: Tensor) -> float:
    def kernel(x: Tensor, y: Tensor) -> float:
        return float((x @ y / len(x) + 1) ** 3)

    def within(s: Tensor) -> float:
        pairs = [kernel(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j]
        return sum(pairs) / len(pairs)

    across = [kernel(x, y) for x in a for y in b]
    return within(a) + within(b) - 2 * sum(across) / len(across)


def test_kernel_distance_by_its_formula() -> None:
    a, b = features(9, seed=1).double(), features(7, seed=2).double() + 0.5
    distance = kernel_distance(a, b, generator())
    assert distance.value == pytest.approx(slow_mmd(a, b))
    assert (distance.images, distance.spread) == (7, 0)


def test_kernel_distance_is_unbiased() -> None:
    values = [
        kernel_distance(features(30, seed=2 * s), features(30, seed=2 * s + 1), generator()).value
        for s in range(200)
    ]
    mean = torch.tensor(values).mean()
    assert abs(mean) < 3 * torch.tensor(values).std() / len(values) ** 0.5
    assert min(values) < 0


def test_kernel_distance_over_subsets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_distances, "SUBSET_SIZE", 20)
    a, b = features(60, seed=1), features(60, seed=2) + 1
    distance, again = (kernel_distance(a, b, generator()) for _ in range(2))
    assert distance == again
    assert distance.spread > 0
    assert distance.value == pytest.approx(slow_mmd(a.double(), b.double()), abs=distance.spread)


def test_few_images_are_indicative() -> None:
    assert frechet_distance(features(2047), features(3000)).indicative
    enough = frechet_distance(features(2048), features(3000))
    assert not enough.indicative
    assert enough.images == 2048


@pytest.mark.parametrize(
    "distance", [frechet_distance, lambda a, b: kernel_distance(a, b, generator())]
)
def test_single_image(distance) -> None:
    with pytest.raises(ValueError, match="at least 2 images, got 1 and 40"):
        distance(features(1), features())


def test_torchmetrics_agrees() -> None:
    image = pytest.importorskip("torchmetrics.image.kid")
    fid = pytest.importorskip("torchmetrics.image.fid")
    a, b = features(60, seed=1).double(), features(60, seed=2).double() + 0.3
    expected = fid._compute_fid(a.mean(0), a.T.cov(), b.mean(0), b.T.cov())
    assert frechet_distance(a, b).value == pytest.approx(float(expected), rel=1e-4)
    assert kernel_distance(a, b, generator()).value == pytest.approx(float(image.poly_mmd(a, b)))
