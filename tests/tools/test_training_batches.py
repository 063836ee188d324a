"""Training batches of the tiny prior: targets of the ideal denoiser, and matching captions."""

import random

import pytest
import torch
from torch import Tensor

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.diffusion.process import add_noise, alpha_sigma
from gs_esd.diffusion.schedule import MIN_LOG_SNR
from gs_esd.tools.tiny_prior import batches as batches_module
from gs_esd.tools.tiny_prior.batches import BatchMaker, SubjectLatents, encode_zoo, mean_v
from gs_esd.toyzoo.prompt import COLORS, ZooSubject, parse_prompt
from gs_esd.toyzoo.training_images import SubjectImages

CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat_images(subject: ZooSubject, shades: list[int], views: list[int]) -> SubjectImages:
    """Opaque images of one shade of grey each."""
    rgba = torch.full((len(shades), 4, 8, 8), 255, dtype=torch.uint8)
    rgba[:, :3] = torch.tensor(shades, dtype=torch.uint8)[:, None, None, None]
    return SubjectImages(subject, rgba, torch.tensor(views))


@pytest.fixture
def batches() -> BatchMaker:
    """Two subjects with two views each; pixels are latents."""
    zoo = [
        flat_images(ZooSubject("fox"), [0, 40], [0, 2]),
        flat_images(ZooSubject("fox", COLORS["red"], "red"), [200, 255], [0, 2]),
    ]
    levels = torch.cat([torch.linspace(7, -10, 99), torch.tensor([MIN_LOG_SNR])])
    return BatchMaker(encode_zoo(zoo, lambda images: images, CPU), levels, rows=18)


def latents_of(images: Tensor) -> SubjectLatents:
    """Images that are their own latents."""
    norms = images.flatten(1).square().sum(1)
    return SubjectLatents(ZooSubject("fox"), images, norms, torch.zeros(len(images)).long())


def slow_mean_v(x_t: Tensor, log_snr: float, images: Tensor) -> Tensor:
    """Bayes' rule, one image after the other."""
    alpha, sigma = (float(v) for v in alpha_sigma(torch.tensor(log_snr).double()))
    logs = torch.stack([-((x_t - alpha * p).square().sum()) / (2 * sigma**2) for p in images])
    weights = logs.double().softmax(0)
    vs = [alpha * (x_t - alpha * p) / sigma - sigma * p for p in images]
    return sum((w * v for w, v in zip(weights, vs, strict=True)), torch.zeros_like(x_t))


@pytest.mark.parametrize("log_snr", [6.0, 0.0, -4.0, -9.0])
def test_mean_v_is_bayes_rule(log_snr: float) -> None:
    images = torch.randn(5, 2, 4, 4, generator=generator()).double()
    x_0, eps = images[:1], torch.randn(1, 2, 4, 4, generator=generator(1)).double()
    level = torch.tensor([log_snr]).double()
    x_t = add_noise(x_0, eps, level)
    answer = mean_v(x_t, level, latents_of(images), torch.tensor([0, 1, 3]))
    expected = slow_mean_v(x_t[0], log_snr, images[[0, 1, 3]])
    torch.testing.assert_close(answer[0], expected)


def test_mean_v_without_signal_is_the_mean_image() -> None:
    images = torch.randn(5, 2, 4, 4, generator=generator())
    x_t = torch.randn(3, 2, 4, 4, generator=generator(1))
    level = torch.full((3,), MIN_LOG_SNR)
    answer = mean_v(x_t, level, latents_of(images), torch.arange(5))
    expected = -images.mean(0).expand(3, -1, -1, -1)
    torch.testing.assert_close(answer, expected, rtol=0, atol=2e-3)


def test_mean_v_of_one_image_is_its_v() -> None:
    x_0 = torch.randn(1, 2, 4, 4, generator=generator())
    eps = torch.randn(1, 2, 4, 4, generator=generator(1))
    level = torch.tensor([-1.0])
    alpha, sigma = alpha_sigma(level)
    expected = alpha * eps - sigma * x_0
    answer = mean_v(add_noise(x_0, eps, level), level, latents_of(x_0), torch.arange(1))
    torch.testing.assert_close(answer, expected)


def test_backgrounds_are_black_and_white() -> None:
    nothing = SubjectImages(
        ZooSubject("fox"), torch.zeros(9, 4, 4, 4, dtype=torch.uint8), torch.arange(9) % 3
    )
    (latents,) = encode_zoo([nothing], lambda x: x, CPU)
    torch.testing.assert_close(latents.latents[:9], torch.full((9, 3, 4, 4), -1.0))
    torch.testing.assert_close(latents.latents[9:], torch.ones(9, 3, 4, 4))
    assert latents.views.tolist() == 2 * (torch.arange(9) % 3).tolist()
    assert latents.squared_norms.tolist() == [48] * 18


def test_captions_match_the_images(batches: BatchMaker) -> None:
    """Dark images are of the plain fox, fronts of either are the darker ones."""
    shade_of = {("fox", None): {0: 0, 2: 40}, ("fox", "red"): {0: 200, 2: 255}}
    seen, stream, choice = set(), generator(), random.Random(0)
    for _ in range(60):
        batch = batches.draw(stream, choice)
        alpha, sigma = alpha_sigma(batches.log_snr[batch.timestep][:, None, None, None])
        x_0 = alpha * batch.x_t - sigma * batch.target  # the mean of what it can have been
        clear = batches.log_snr[batch.timestep] > 3
        for words, image in zip(
            [w for w, c in zip(batch.captions, clear, strict=True) if c], x_0[clear], strict=True
        ):
            if not words:
                continue
            shades = shade_of["fox", parse_prompt(words).color_name]
            shown = 255 * (float(image.mean()) + 1) / 2
            named = next((i for i, name in enumerate(VIEW_NAMES) if name in words), None)
            allowed = list(shades.values()) if named is None else [shades[named]]
            assert min(abs(shown - shade) for shade in allowed) < 2
            seen.add((parse_prompt(words).color_name, named))
    assert seen == {(color, view) for color in (None, "red") for view in (None, 0, 2)}


@pytest.mark.parametrize("n", [1, 4, 18, 30])
def test_parts_of_a_batch_are_the_whole(batches: BatchMaker, n: int) -> None:
    batch = batches.draw(generator(), random.Random(0))
    shares = batch.shares(n)
    assert len(shares) == min(n, 18)
    assert [words for share in shares for words in share.captions] == batch.captions
    for name in ("x_t", "timestep", "target"):
        assert torch.equal(torch.cat([getattr(s, name) for s in shares]), getattr(batch, name))
    assert all(len(s.captions) == len(s.x_t) > 0 for s in shares)


def test_share_of_empty_captions(batches: BatchMaker) -> None:
    stream, choice = generator(), random.Random(0)
    captions = [words for _ in range(100) for words in batches.draw(stream, choice).captions]
    share = captions.count("") / len(captions)
    assert abs(share - batches_module.EMPTY_SHARE) < 0.03


def test_batches_are_reproducible(batches: BatchMaker) -> None:
    one, other = (batches.draw(generator(3), random.Random(3)) for _ in range(2))
    assert one.captions == other.captions
    assert torch.equal(one.x_t, other.x_t)
    assert torch.equal(one.target, other.target)
