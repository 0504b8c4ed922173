"""A product with the weight of a programmed layer goes to its tiles or is refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from analognas.analog.convert import to_analog
from analognas.analog.programming import program
from analognas.core import ConfigError

X = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))

AROUND = {
    "matmul": lambda w: X @ w.T,
    "einsum": lambda w: torch.einsum("ni,oi->no", X, w),
    "linear with a computed weight": lambda w: F.linear(X, w * 1.0),
    "bilinear": lambda w: F.bilinear(X, X, w.view(4, 1, 5).expand(4, 5, 5)),
    "by hand": lambda w: (X[:, None] * w).sum(2),
}


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return to_analog(nn.Sequential(nn.Linear(5, 4)))


@pytest.mark.parametrize("name", AROUND)
def test_a_product_around_programmed_tiles_is_refused(layer, name):
    product = AROUND[name]
    expected = product(layer[0].weight.detach())
    assert torch.equal(product(layer.eval()[0].weight), expected)
    program(layer)
    with pytest.raises(ConfigError, match="would go around its programmed tiles"):
        product(layer[0].weight)
    assert torch.equal(product(layer[0].weight.detach()), expected)
    assert torch.equal(product(layer.train()[0].weight), expected)


def test_a_linear_product_with_the_weight_is_the_layers_own(layer):
    program(layer.eval())
    layer[0].rpu_config.forward.out_noise = 0.0
    assert torch.equal(F.linear(X, layer[0].weight, layer[0].bias), layer(X))
