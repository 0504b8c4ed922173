"""Augmentation moves, mirrors and covers, and nothing else."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from analognas.core import ConfigError, DatasetInfo
from analognas.datasets.base import Dataset
from analognas.training.augment import Augment
from analognas.training.protocol import Protocol, train_digital


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def x():
    return torch.randn(64, 3, 9, 7, generator=seeded(1))


def shifted(image, down, right):
    "A second implementation: SciPy's shift, border pixels repeated."
    return ndimage.shift(image, (0, down, right), order=0, mode="nearest")


@pytest.mark.parametrize(
    "how, downs, rights",
    [(Augment(crop=2), range(-2, 3), range(-2, 3)), (Augment(shift=3), range(-3, 4), [0])],
)
def test_every_example_is_moved_by_an_allowed_amount_and_all_amounts_occur(x, how, downs, rights):
    seen = set()
    for before, after in zip(x.numpy(), how(x, seeded()).numpy(), strict=True):
        found = [
            (d, r) for d in downs for r in rights if np.array_equal(after, shifted(before, d, r))
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert {r for _, r in seen} == set(rights) and {d for d, _ in seen} == set(downs)


def test_flip_mirrors_about_half(x):
    out = Augment(flip=True)(x, seeded())
    mirrored = torch.tensor([torch.equal(a, b.flip(2)) for a, b in zip(out, x)])
    same = torch.tensor([torch.equal(a, b) for a, b in zip(out, x)])
    assert (
        mirrored ^ same
    ).all() and 16 < mirrored.sum() < 48  # 64 draws: four standard deviations


def test_cutout_covers_one_square(x):
    changed = (Augment(cutout=4)(x, seeded()) == 0).all(1)
    for mask in changed.numpy():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert (
            2 <= len(rows) <= 4 and 2 <= len(columns) <= 4
        )  # at the border at least half of the square is seen
        assert mask.sum() == len(rows) * len(columns) and np.ptp(rows) == len(rows) - 1
    assert torch.equal(
        Augment(cutout=4)(x, seeded())[~changed[:, None].expand_as(x)],
        x[~changed[:, None].expand_as(x)],
    )


@pytest.mark.parametrize(
    "how, axis, most", [(Augment(mask_time=4), 1, 4), (Augment(mask_bands=3), 2, 3)]
)
def test_masks_cover_one_band_of_every_width_up_to_the_largest(x, how, axis, most):
    widths = set()
    for covered in (how(x, seeded()) == 0).all(1).numpy():
        lines = np.flatnonzero(covered.all(2 - axis))
        assert covered.sum() == len(lines) * covered.shape[2 - axis]  # whole lines, nothing else
        assert len(lines) == 0 or np.ptp(lines) == len(lines) - 1
        widths.add(len(lines))
    assert widths == set(range(most + 1))


def test_a_band_as_wide_as_the_picture_covers_at_most_the_picture(x):
    assert Augment(mask_bands=100)(x, seeded()).shape == x.shape


def test_words_are_moved_in_time_and_not_in_pitch():
    "A clip has moments as rows (49) and coefficients as columns (10): a tone stays in its column."
    tone = torch.zeros(8, 1, 49, 10)
    tone[:, :, 20:29, 3] = 1
    moved = Augment(shift=5)(tone, seeded())
    assert torch.equal(moved.sum((1, 2)), tone.sum((1, 2)))
    assert not torch.equal(moved, tone)


def test_without_a_generator_the_seed_of_pytorch_decides(x):
    every = Augment(crop=2, flip=True, cutout=3, mask_time=2, mask_bands=2, noise=1.0)
    torch.manual_seed(3)
    first = every(x)
    torch.manual_seed(3)
    assert torch.equal(every(x), first)


def test_noise_has_the_standard_deviation_asked_for(x):
    difference = Augment(noise=0.3)(x, seeded()) - x
    assert (
        difference.std().item() == pytest.approx(0.3, rel=0.05)
        and abs(difference.mean().item()) < 0.02
    )


def test_nothing_asked_nothing_done_and_the_batch_is_left_alone(x):
    before = x.clone()
    assert torch.equal(Augment()(x), x)
    Augment(crop=2, flip=True, cutout=3, shift=1, noise=1.0)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    "field, bad",
    [
        ("crop", -1),
        ("crop", 1.5),
        ("cutout", "3"),
        ("shift", None),
        ("noise", math.nan),
        ("noise", -0.1),
    ],
)
def test_a_bad_recipe_is_refused(field, bad):
    with pytest.raises(ConfigError, match=field):
        Augment(**{field: bad})


def test_a_batch_of_another_shape_is_refused():
    with pytest.raises(ConfigError, match=r"got \(5, 8\)"):
        Augment(crop=1)(torch.zeros(5, 8))


def stripes(n, seed):
    """Two classes: a bright row in the upper or the lower half; always in the same row when seed is
    0."""
    y = torch.arange(n) % 2
    x = torch.zeros(n, 1, 8, 8)
    offset = (
        torch.zeros(n, dtype=torch.long)
        if seed == 0
        else torch.randint(-1, 2, (n,), generator=seeded(seed))
    )
    x[torch.arange(n), 0, 2 + 3 * y + offset] = 1
    return x + 0.1 * torch.randn(x.shape, generator=seeded(seed + 10)), y


def test_training_uses_it():
    "Trained on bright rows that never move, a network knows moved ones only if it saw them moved."
    mine = Dataset(DatasetInfo("stripes", (1, 8, 8), 2), *stripes(400, 0), *stripes(400, 1))

    def right(augment):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        train_digital(net, mine, Protocol(epochs=5, batch_size=20, augment=augment), progress=False)
        return (net(mine.x_test).argmax(1) == mine.y_test).float().mean().item()

    assert right(False) < 0.8 and right(Augment(crop=1)) > 0.95


def test_the_usual_way_of_an_unknown_dataset_is_refused():
    mine = Dataset(DatasetInfo("stripes", (1, 8, 8), 2), *stripes(40, 0), *stripes(40, 1))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    with pytest.raises(ConfigError, match="No augmentation is known for 'stripes'"):
        train_digital(net, mine, Protocol(epochs=1, batch_size=20, augment=True), progress=False)
    with pytest.raises(ConfigError, match="augment must be True, False or an Augment; got 1"):
        Protocol(augment=1)
