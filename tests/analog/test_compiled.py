"Memory that compiled loops read: layouts, views, buffers; and its parts on several threads."

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from analognas.analog import compiled as module
from analognas.analog.compiled import (
    PART,
    as_dense,
    as_groups_view,
    by_torch,
    free_workspace,
    group_parts,
    has_cpu_kernel,
    run_parts,
    split_range,
    workspace,
)

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def images(layout=torch.contiguous_format):
    return torch.arange(2 * 6 * 4 * 5.0).view(2, 6, 4, 5).contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_groups_view_has_the_channels_of_each_group(layout, groups):
    x = images(layout)
    view = as_groups_view(x, groups)
    assert view.shape[1] == groups
    for g, channels in enumerate(x.chunk(groups, 1)):
        assert sorted(view[:, g].ravel()) == sorted(channels.flatten().tolist())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_groups_view_shares_memory(layout):
    x = images(layout)
    as_groups_view(x, 3)[:, 1] = -1.0
    assert bool((x[:, 2:4] == -1).all())
    assert bool((x[:, :2] >= 0).all())


def test_groups_view_of_nothing_is_empty():
    assert as_groups_view(torch.zeros(0, 4, 3, 3), 2).size == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dense_tensors_are_not_copied(layout):
    x = images(layout)
    assert as_dense(x) is x


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gaps_are_closed_in_the_same_layout(layout):
    some = images(layout)[:, 1:4]
    dense = as_dense(some)
    assert torch.equal(dense, some)
    assert dense.is_contiguous(memory_format=layout)


def test_a_matrix_with_gaps_is_copied():
    x = torch.zeros(4, 6)[:, ::2]
    assert as_dense(x).is_contiguous()


@pytest.mark.parametrize(
    "dtype, expected", [(torch.float32, True), (torch.float64, True), (torch.float16, False)]
)
def test_loops_are_for_single_and_double_precision(dtype, expected):
    assert has_cpu_kernel(torch.zeros(1, dtype=dtype)) is expected


def test_by_torch_ends_with_its_outermost_block():
    x = torch.zeros(1)
    with by_torch():
        with by_torch():
            assert not has_cpu_kernel(x)
        assert not has_cpu_kernel(x)
    assert has_cpu_kernel(x)


def test_by_torch_is_for_its_thread_alone():
    seen = []
    with by_torch():
        thread = threading.Thread(target=lambda: seen.append(has_cpu_kernel(torch.zeros(1))))
        thread.start()
        thread.join()
    assert seen == [True]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_workspace_is_reused_and_laid_out_alike(layout):
    x = images(layout)
    first = workspace(x, x.dtype)
    assert first.shape == x.shape
    assert first.stride() == x.stride()
    assert workspace(x[:1], x.dtype).data_ptr() == first.data_ptr()
    assert workspace(x, torch.int64).data_ptr() != first.data_ptr()
    free_workspace()
    assert workspace(x, x.dtype).shape == x.shape


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("size", [0, 1, 4095, PART, 2 * PART - 1, 2 * PART, 5 * PART + 3])
@pytest.mark.parametrize("multiple", [1, 4096])
def test_parts_of_a_range_follow_each_other_and_start_at_multiples(size, multiple):
    parts = split_range(size, multiple=multiple)
    ends = [0, *(part.stop for part in parts)]
    assert [part.start for part in parts] == ends[:-1]
    assert ends[-1] == size
    assert all(part.start % multiple == 0 for part in parts)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("groups", [1, 3, 6])
def test_parts_of_a_tensor_hold_its_memory_in_order(layout, groups):
    x = torch.arange(20 * 6 * 50 * 60.0).view(20, 6, 50, 60).contiguous(memory_format=layout)
    parts = group_parts(groups, x)
    assert len(parts) > 1
    joined = np.concatenate([part.reshape(-1) for (part,) in parts])
    assert np.array_equal(joined, as_groups_view(x, groups).reshape(-1))
    assert all(part.flags.c_contiguous for (part,) in parts)


def test_results_of_parts_keep_their_order(threads):
    assert run_parts(lambda part: part**2, range(100)) == [n**2 for n in range(100)]


def test_parts_run_on_as_many_threads_as_pytorch_uses(threads):
    meeting = threading.Barrier(threads, timeout=60)  # no thread passes before the last one comes

    def meet(_):
        meeting.wait()
        return threading.get_ident()

    assert len(set(run_parts(meet, range(threads)))) == threads


def test_an_error_in_a_part_is_raised(threads):
    with pytest.raises(ZeroDivisionError):
        run_parts(lambda part: part / 0, range(4))


def test_several_threads_can_run_parts_at_once(threads):
    def run(start):
        return run_parts(lambda part: start + part, range(50))

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(run, range(8)))
    assert results == [[start + n for n in range(50)] for start in range(8)]


@pytest.mark.parametrize("multiple", [1, 4096])
def test_a_range_has_a_part_for_each_so_many_numbers(multiple):
    assert len(split_range(6 * PART, multiple=multiple)) == 6
    assert len(split_range(PART, 6, multiple=1)) == 6


def test_without_a_place_for_a_cache_loops_are_compiled_in_every_process(monkeypatch, caplog):
    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda f: f

    monkeypatch.setattr(module, "njit", njit)

    @module.compiled()
    def loop(x):
        return x + 1

    assert loop(1) == 2
    assert "loop is compiled anew in every process" in caplog.text
    assert "NUMBA_CACHE_DIR" in caplog.text


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numpys_type_is_that_of_the_memory(dtype):
    assert module.numpy_type(dtype) is torch.zeros(1, dtype=dtype).numpy().dtype.type
