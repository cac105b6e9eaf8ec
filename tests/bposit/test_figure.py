"""The picture of decimal accuracy: what it claims of formats holds, and its files are complete."""

from xml.etree import ElementTree

import numpy as np
import pytest

import posit
from bposit import figure

SPEC = posit.bposit16


@pytest.mark.parametrize("name", ["bposit16", "float16", "bfloat16"])
def test_accuracy_bounds_the_rounding_error_tightly(name):
    number_format = figure.formats()[name]
    accuracy = figure.Accuracy.of(number_format)
    most = figure.positive_values(number_format)[-1]  # beyond it floats overflow
    rng = np.random.default_rng(0)
    for start in accuracy.edges[1:-1:7]:
        x = np.minimum(2.0 ** (start + rng.random(4000)), most)
        if name == "bposit16":
            rounded = posit.decode(posit.encode(x, SPEC), SPEC)
        else:
            rounded = x.astype(number_format).astype(np.float64)
        largest = (np.abs(rounded - x) / x).max()
        bound = 10 ** -accuracy.at(2.0**start)
        assert 0.8 * bound <= largest <= bound * (1 + 1e-12)


def test_accuracy_spans_the_formats_range():
    spans = {name: figure.Accuracy.of(f).edges[[0, -1]] for name, f in figure.formats().items()}
    assert spans["bposit16"].tolist() == [-192, 192]
    assert spans["posit16"].tolist() == [-56, 56]
    assert spans["float16"].tolist() == [-24, 16]
    assert spans["bfloat16"].tolist() == [-133, 128]
    assert figure.Accuracy.of(SPEC).at([2.0**200, 2.0**-200]).tolist() == [0, 0]


@pytest.mark.parametrize("wide", [posit.bposit32, np.float32])
def test_wide_formats_are_not_listed(wide):
    with pytest.raises(ValueError, match="has 32 bits; the values of at most 16"):
        figure.positive_values(wide)


def test_picture_is_reproducible_and_complete(tmp_path):
    import matplotlib.image

    x = np.random.default_rng(0).standard_normal(1000)
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        figure.save(figure.draw({"weights": x, "gradients": x / 1e6}, "title"), folder / "p")
    for name in ("p.svg", "p.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    svg = (tmp_path / "a/p.svg").read_text()
    ElementTree.fromstring(svg)
    assert "<dc:date>" not in svg
    for style in ("#0072b2", "#c75300", "#007a59", "#a8467f"):
        assert style in svg.lower()
    pixels = matplotlib.image.imread(tmp_path / "a/p.png")
    assert pixels.shape[:2] == (1104, 1440)
