"The report of a conversion: what is counted, the order of its rows, and how it is shown."

import pandas as pd
import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from analognas.analog.convert import conversion_report, to_aihwkit, to_analog
from analognas.analog.int8 import as_int8


def encoder(layers=3):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False).eval()


def counted_macs(model, x):
    "Multiply-accumulates of a digital network, by PyTorch's own counter."
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(x)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    return counter.get_total_flops() / 2


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.lstm = nn.LSTM(4, 6, batch_first=True)
        self.encoder = encoder()
        self.up = nn.Linear(6, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, tokens):
        return self.head(self.encoder(self.up(self.lstm(self.embedding(tokens))[0])).mean(1))


NETWORKS = {
    "encoder": lambda: (encoder(), torch.zeros(2, 5, 8)),
    "vit": lambda: (
        torchvision.models.VisionTransformer(16, 8, 2, 2, 8, 16, num_classes=3).eval(),
        torch.zeros(1, 3, 16, 16),
    ),
    "swin": lambda: (
        torchvision.models.SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4]).eval(),
        torch.zeros(1, 3, 32, 32),
    ),
    "lists in lists": lambda: (
        nn.Sequential(nn.Sequential(nn.Sequential(encoder(1)), encoder(1)), nn.Linear(8, 2)),
        torch.zeros(1, 4, 8),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_all_multiplications_are_counted_once(name):
    model, x = NETWORKS[name]()
    report = conversion_report(to_analog(model), x)
    assert report.macs.sum() == counted_macs(model.eval(), x)
    assert (report.macs >= 0).all()


def test_multiplications_on_aihwkits_tiles_are_counted():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 5))
    x = torch.zeros(2, 3, 8, 8)
    report = conversion_report(to_aihwkit(to_analog(net)), x)
    assert set(report["where"]) == {"aihwkit's tiles"}
    assert report.macs.tolist() == [2 * 9 * 4 * 27, 2 * 36 * 5]
    assert report.macs.sum() == counted_macs(net, x)


def test_the_columns_are_those_of_release_0_1_0():
    columns = ["name", "type", "where", "why", "parameters", "share", "tiles"]
    assert [*conversion_report(to_analog(nn.Linear(3, 2)))] == columns
    with_inputs = conversion_report(to_analog(nn.Linear(3, 2)), torch.zeros(1, 3))
    assert [*with_inputs] == [*columns, "macs", "macs_share"]


def test_a_reason_is_given_for_digital_modules_only():
    net = nn.Sequential(as_int8(nn.Linear(3, 4), (0.0, 1.0)), nn.BatchNorm1d(4))
    report = conversion_report(net)
    assert report["where"].tolist() == ["int8", "digital"]
    assert report.why[0] == ""
    assert report.why[1] != ""


def test_products_of_activations_belong_to_the_attention_only():
    report = conversion_report(to_analog(encoder()), torch.zeros(1, 5, 8))
    products = report[report.why == "products of activations"]
    assert products.name.tolist() == [f"layers.{i}.self_attn" for i in range(3)]
    assert products.macs.tolist() == [2 * 5 * 5 * 8] * 3


def test_rows_are_in_the_order_of_the_network():
    model = to_analog(Reader())
    report = conversion_report(model, torch.zeros(1, 3, dtype=torch.long))
    order = [name for name, _ in model.named_modules()]
    places = [order.index(name) for name in report.name]
    assert places == sorted(places)


def shown_rows(report):
    "The last table of the text: a list of words for each line, without titles and total."
    lines = repr(report).split("\n\n")[-1].splitlines()
    return [line.split() for line in lines[1:-1]]


def test_modules_that_are_alike_are_shown_on_one_line():
    report = conversion_report(to_analog(encoder()), torch.zeros(1, 5, 8))
    first = {row[0]: row[1] for row in shown_rows(report)}
    assert first["layers.{0..2}.linear1"] == "3"
    assert first["layers.{0..2}.self_attn.q_proj"] == "3"
    assert sum(int(n) for n in first.values() if n.isdigit()) + 6 == len(report)  # 6 norms
    assert "layers.0.norm1 … layers.2.norm2" in repr(report)


def test_modules_of_another_size_or_place_have_lines_of_their_own():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 6), nn.Linear(6, 6))
    names = [row[0] for row in shown_rows(conversion_report(to_analog(net)))]
    assert names == ["{0,1}", "2", "3"]
    names = [row[0] for row in shown_rows(conversion_report(to_analog(net, digital=["1"])))]
    assert names == ["0", "1", "2", "3"]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_line_is_the_total(name):
    model, x = NETWORKS[name]()
    report = conversion_report(to_analog(model), x)
    *_, parameters, share, tiles, macs, macs_share = repr(report).splitlines()[-1].split()
    numbers = [int(cell.replace(",", "")) for cell in (parameters, tiles, macs)]
    assert numbers == [report.parameters.sum(), report.tiles.sum(), report.macs.sum()]
    assert (share, macs_share) == ("100.0", "100.0")


def test_the_sum_of_each_place_stands_above_a_long_table():
    report = conversion_report(to_analog(Reader()), torch.zeros(1, 3, dtype=torch.long))
    above = repr(report).split("\n\n")[0].splitlines()
    on_tiles = report[report["where"] == "fast tiles"]
    assert above[1].split()[:3] == ["fast", "tiles", str(len(on_tiles))]
    assert f"{100 * on_tiles.share.sum():.1f}" in above[1].split()
    assert any(line.startswith("digital: products of activations") for line in above)
    short = conversion_report(to_analog(nn.Sequential(nn.Linear(4, 2))))
    assert "\n\n" not in repr(short)


def test_the_notebook_shows_the_same_cells_and_escapes_names():
    net = nn.Sequential()
    net.add_module("<b>", nn.Linear(4, 2))
    html = conversion_report(to_analog(net), torch.zeros(1, 4))._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert html.count("<tr>") == 3  # titles, the layer, the total
    long = conversion_report(to_analog(Reader()), torch.zeros(1, 3, dtype=torch.long))
    title = f"{len(shown_rows(long))} lines for {len(long)} modules"
    assert f"<details open><summary>{title}</summary>" in long._repr_html_()


def test_what_is_selected_is_an_ordinary_table():
    report = conversion_report(to_analog(encoder()))
    assert type(report[report.tiles > 0]) is pd.DataFrame
    assert type(report.set_index("name")) is pd.DataFrame
    report["mine"] = 1
    assert "mine" in repr(report)
    assert "mine" in report._repr_html_()


def test_a_network_without_parameters_is_shown():
    report = conversion_report(nn.Sequential(nn.ReLU()))
    assert len(report) == 0
    assert repr(report).splitlines()[-1].startswith("total")
    assert "total" in report._repr_html_()
