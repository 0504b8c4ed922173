"Operations and the copies of inputs, against PyTorch's unfolding and autograd."

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from analognas.analog.operations import (
    ConvOp,
    LinearOp,
    TileKernel,
    input_axes,
    kernel_mask,
    unfold_multiplicity,
    unfolded_size,
    without_skipped,
)

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
geometry = st.builds(
    ConvOp, pairs, pairs, st.tuples(st.integers(0, 2), st.integers(0, 2)), pairs, st.just(1)
)


def unfolded(x, op):
    "What aihwkit multiplies: (N, channels * kernel, positions)."
    return F.unfold(x, op.kernel, op.dilation, op.padding, op.stride)


@given(op=geometry)
def test_multiplicity_is_the_number_of_copies_in_the_unfolded_matrix(op):
    x = torch.zeros(1, 2, 8, 9, dtype=torch.float64).requires_grad_()
    unfolded(x, op).sum().backward()  # the gradient counts the copies
    copies = unfold_multiplicity(x.detach(), TileKernel(2, op.kernel), op)
    assert torch.equal(copies, x.grad[0])


@given(op=geometry, first=st.integers(0, 2), last=st.integers(0, 2))
def test_multiplicity_counts_only_weights_on_the_tile(op, first, last):
    size = op.kernel[0] * op.kernel[1]
    tile = TileKernel(2, op.kernel, (min(first, size - 1), min(last, size - 1)))
    x = torch.zeros(1, 2, 8, 9, dtype=torch.float64).requires_grad_()
    mask = kernel_mask(tile, torch.float64, x.device).view(1, -1, 1)
    (unfolded(x, op) * mask).sum().backward()
    assert torch.equal(unfold_multiplicity(x.detach(), tile, op), x.grad[0])
    assert tile.size == int(mask.sum())


@given(op=geometry, n=st.integers(0, 3))
def test_unfolded_size_includes_padding(op, n):
    x = torch.zeros(n, 2, 8, 9)
    expected = unfolded(torch.zeros(1, 2, 8, 9), op).numel() * n
    assert unfolded_size(x, TileKernel(2, op.kernel), op) == expected


@given(op=geometry)
def test_axes_have_the_outputs_of_the_convolution(op):
    y = op.forward(torch.zeros(1, 2, 8, 9), torch.zeros(1, 2, *op.kernel))
    assert [axis.outputs for axis in input_axes(op, torch.Size([1, 2, 8, 9]))] == list(y.shape[2:])


def test_a_linear_layer_copies_every_input_once():
    x = torch.zeros(5, 7)
    assert unfold_multiplicity(x, TileKernel(7, ()), LinearOp()).tolist() == [1] * 7
    assert unfolded_size(x, TileKernel(7, ()), LinearOp()) == 35


OPS = {
    "convolution": (ConvOp((3, 2), (2, 1), (1, 0), (1, 2), 2), (3, 4, 7, 8), (6, 2, 3, 2)),
    "1x1, strided": (ConvOp((1, 1), (2, 2), (0, 0), (1, 1), 1), (3, 4, 7, 8), (6, 4, 1, 1)),
    "linear": (LinearOp(), (3, 4), (6, 4)),
}


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
def test_backward_is_autograds(name, wanted):
    op, x_shape, w_shape = OPS[name]
    x = torch.randn(x_shape, dtype=torch.float64, requires_grad=True)
    w = torch.randn(w_shape, dtype=torch.float64, requires_grad=True)
    y = op.forward(x, w)
    gy = torch.randn_like(y)
    y.backward(gy)
    got = op.backward(gy, x.detach(), w.detach(), *wanted)
    for grad, tensor, want in zip(got, (x, w), wanted, strict=True):
        if want:
            assert torch.allclose(grad, tensor.grad)
        else:
            assert grad is None


@pytest.mark.parametrize("name", ["convolution", "linear"])
def test_gradients_of_copies_add_up_to_that_of_the_input(name):
    op, x_shape, w_shape = OPS[name]
    x = torch.randn(x_shape, dtype=torch.float64, requires_grad=True)
    w = torch.randn(w_shape, dtype=torch.float64)
    gy = torch.randn_like(op.forward(x, w))
    by_copies = (op.windows(x) * op.windows_grad(gy, w)).sum()
    (by_input,) = torch.autograd.grad((op.forward(x, w) * gy).sum(), x)
    assert by_copies.item() == pytest.approx((by_input * x).sum().item())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("stride", [(2, 2), (3, 1)])
def test_a_1x1_convolution_with_a_stride_is_one_of_the_pixels_it_sees(stride, layout):
    op = ConvOp((1, 1), stride, (0, 0), (1, 1), 1)
    x = torch.randn(2, 3, 7, 8).contiguous(memory_format=layout).requires_grad_()
    seen, dense = without_skipped(x, op)
    assert dense == op._replace(stride=(1, 1))
    assert torch.equal(seen, x[:, :, :: stride[0], :: stride[1]])
    (grad,) = torch.autograd.grad(seen.sum(), x)
    assert grad.is_contiguous(memory_format=layout)
    assert float(grad.sum()) == seen.numel()


@pytest.mark.parametrize(
    "op",
    [
        LinearOp(),
        ConvOp((1, 1), (1, 1), (0, 0), (1, 1), 1),
        ConvOp((1, 1), (2, 2), (1, 0), (1, 1), 1),
        ConvOp((2, 1), (2, 2), (0, 0), (1, 1), 1),
    ],
)
def test_other_operations_see_all_inputs(op):
    x = torch.randn(2, 3, 7, 8)
    seen, same = without_skipped(x, op)
    assert seen is x
    assert same is op
