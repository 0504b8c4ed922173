"""Layers on crossbars: closed forms, and tracing against layers that were counted by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from analognas.search_spaces.layers import LayerShape, stack_layers, trace_layers

SIZES = st.integers(1, 1000)


@given(SIZES, SIZES, SIZES, SIZES)
def test_tiles_cover_the_matrix(rows, cols, tile_rows, tile_cols):
    layer = LayerShape("layer", rows, cols, positions=1)
    assert layer.tiles(tile_rows, tile_cols) == (
        math.ceil(rows / tile_rows) * math.ceil(cols / tile_cols)
    )


def test_params_and_macs_count_all_layers_of_the_kind():
    layer = LayerShape("layer", 27, 8, positions=64, count=3, digital_params_per_output=2)
    assert layer.weights == 27 * 8
    assert layer.params == 3 * (27 * 8 + 2 * 8)
    assert layer.macs == 3 * 27 * 8 * 64


@pytest.mark.parametrize(
    "module, input_dim, expected",
    [
        (nn.Conv2d(3, 8, 3, padding=1), (3, 4, 4), ("", 27, 8, 16, 1, 1)),
        (nn.Conv2d(3, 8, 3, stride=2, bias=False), (3, 5, 5), ("", 27, 8, 4, 1, 0)),
        (nn.Conv2d(4, 8, 1, groups=4), (4, 2, 2), ("", 1, 2, 4, 4, 1)),
        (nn.Linear(5, 2), (1, 3, 5), ("", 5, 2, 3, 1, 1)),
    ],
    ids=["padded", "strided", "grouped", "linear"],
)
def test_trace_layers_finds_shape_and_positions(module, input_dim, expected):
    assert trace_layers(module, input_dim) == [LayerShape(*expected)]


def test_trace_layers_leaves_no_hooks():
    net = nn.Linear(4, 4)
    trace_layers(net, (1, 1, 4))
    assert not net._forward_hooks


def test_stack_layers_fills_missing_layers_with_zeros():
    first = LayerShape("a", 2, 3, 4, 1, 1)
    second = LayerShape("b", 5, 6, 7)
    stacked = list(stack_layers([[first], [first, second]]))
    assert [layer.name for layer in stacked] == ["a", "b"]
    assert stacked[1].rows.tolist() == [0, 5]
    assert np.array(stacked[1].macs).tolist() == [0, 5 * 6 * 7]


def test_stack_layers_of_no_networks_is_empty():
    assert list(stack_layers([])) == []
