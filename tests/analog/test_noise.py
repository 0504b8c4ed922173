"""The generator against a second implementation of its paper, the noise against the normal
distribution."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analognas.analog.noise import BLOCK, add_normal_, philox, torch_seed

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_noise_is_normal_and_independent(dtype, layout):
    start = torch.full((20, 16, 40, 30), 3.0, dtype=dtype).contiguous(memory_format=layout)
    with torch_seed(0):
        drawn = (add_normal_(start.clone(), 0.5) - start).flatten().double() / 0.5
        again = (add_normal_(start.clone(), 0.5) - start).flatten().double() / 0.5
    assert stats.kstest(drawn.numpy(), "norm").pvalue > 1e-3
    n = len(drawn)
    for lag in (1, 8, BLOCK):  # neighbours, the next counter, the next block
        assert abs(float((drawn[:-lag] * drawn[lag:]).mean())) < 5 / n**0.5
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
