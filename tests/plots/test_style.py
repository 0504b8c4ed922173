"""What figures share: sizes and numbers."""

import matplotlib.pyplot as plt
import pytest

from analognas.plots.style import font_size, format_number, new_axes, whole_figure


@pytest.mark.parametrize(
    "value, text",
    [
        (0, "0"),
        (0.123456, "0.1235"),
        (999.94, "999.9"),
        (1000, "1,000"),
        (-1234567.8, "-1,234,568"),
    ],
)
def test_format_number_has_four_digits_or_all_before_the_point(value, text):
    assert format_number(value) == text


def test_font_size_stays_legible_and_below_the_text_around():
    sizes = [font_size(width) for width in (0, 1, 6, 7, 100)]
    assert sizes == sorted(sizes)
    assert min(sizes) == 7
    assert max(sizes) == 8.5


def test_new_axes_are_in_a_figure_of_the_given_size():
    ax = new_axes(height=2, width=5)
    assert tuple(whole_figure(ax).get_size_inches()) == (5, 2)
    plt.close("all")
