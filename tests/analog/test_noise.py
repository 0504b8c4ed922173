"""The generator against a second implementation of its paper, the noise against the normal
distribution."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analognas.analog.noise import BLOCK, add_normal_, normal_pairs, philox, torch_seed

WORD = 2**32


def philox_by_the_paper(counter, key):
    """Ten rounds of Philox4x32 (Salmon et al., SC 2011, section 3.3), in Python's unlimited
    integers."""
    x, (k0, k1) = [counter % WORD, counter // WORD, 0, 0], key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * x[0], WORD)
        high1, low1 = divmod(0xCD9E8D57 * x[2], WORD)
        x = [high1 ^ x[1] ^ k0, low1, high0 ^ x[3] ^ k1, low0]
        k0, k1 = (k0 + 0x9E3779B9) % WORD, (k1 + 0xBB67AE85) % WORD
    return x


words = st.integers(0, WORD - 1)


@given(first=st.integers(0, 2**40), key=st.tuples(words, words))
def test_philox_is_the_papers(first, key):
    out = np.empty((4, 3), np.uint32)
    philox(np.uint64(first), np.uint64(key[0]), np.uint64(key[1]), out)
    for i in range(3):
        assert out[:, i].tolist() == philox_by_the_paper(first + i, key)


def test_pairs_are_the_formula_of_box_and_muller():
    words = np.random.default_rng(0).integers(WORD, size=1000, dtype=np.uint32)
    words[:2] = 0, WORD - 1  # the largest radius, the smallest
    out = np.empty((2, len(words)), np.float32)
    normal_pairs(words, out.reshape(-1))
    radius = np.sqrt(-2 * np.log(((words >> 12) + 0.5) / 2**20))
    angle = np.pi * ((words % 2**11 + 0.5) / 2**11 - 0.5)
    mirrored = np.where(words & 2**11, -1, 1)
    assert np.allclose(out[0], radius * np.sin(angle), rtol=1e-4, atol=2e-4)
    assert np.allclose(out[1], radius * mirrored * np.cos(angle), rtol=1e-4, atol=2e-4)


def test_moments_and_tails_are_those_of_the_normal_distribution():
    with torch_seed(3):
        drawn = add_normal_(torch.zeros(10**7), 1.0).double()
    n = len(drawn)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs(float((drawn**power).mean()) - moment) < 5 * (variance / n) ** 0.5
    for bound in (2, 3, 4, 4.5):
        expected = n * stats.norm.sf(bound)
        for beyond in (drawn > bound, drawn < -bound):
            assert abs(int(beyond.sum()) - expected) < 5 * expected**0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_noise_is_normal_and_independent(dtype, layout):
    start = torch.full((20, 16, 40, 30), 3.0, dtype=dtype).contiguous(memory_format=layout)
    with torch_seed(0):
        drawn = (add_normal_(start.clone(), 0.5) - start).flatten().double() / 0.5
        again = (add_normal_(start.clone(), 0.5) - start).flatten().double() / 0.5
    assert stats.kstest(drawn.numpy(), "norm").pvalue > 1e-3
    n = len(drawn)
    # neighbours, the next counter, the other number of a pair, the next block
    for lag in (1, 8, BLOCK // 2, BLOCK):
        assert abs(float((drawn[:-lag] * drawn[lag:]).mean())) < 5 / n**0.5
        squares = drawn.square() - 1  # of variance 2
        assert abs(float((squares[:-lag] * squares[lag:]).mean())) < 10 / n**0.5
    assert abs(float((drawn * again).mean())) < 5 / n**0.5


def test_gaps_are_filled_only_where_asked():
    whole = torch.zeros(4, 6)
    add_normal_(whole[:, ::2], 1.0)
    assert bool((whole[:, 1::2] == 0).all()) and bool((whole[:, ::2] != 0).all())


def test_every_length_gets_its_numbers():
    "Lengths around the block's; a longer draw from the same seed starts with the shorter one."
    with torch_seed(5):
        longest = add_normal_(torch.zeros(2 * BLOCK + 3), 1.0)
    for n in (0, 1, 7, 8, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3):
        with torch_seed(5):
            assert torch.equal(add_normal_(torch.zeros(n), 1.0), longest[:n])


def test_noise_does_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    drawn = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        with torch_seed(7):
            drawn.append(add_normal_(torch.zeros(10**6), 1.0))
    torch.set_num_threads(before)
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])
