import pytest

from metaug.paper import figure1


@pytest.fixture(scope="module", name="drawing")
def drawing_fixture():
    return figure1.render()


def test_modules_are_those_that_the_code_builds(drawing):
    modules = drawing.data.set_index("module")
    assert list(modules["view"].unique()) == ["rgb", "l", "ab"]
    assert set(modules["type"]) == {"AlexNet", "Linear", "MAG"}
    # parameter counts by hand: 128·2048 + 2048, 2048² + 2048, 2048·128 + 128, 2 · 2 · 2048
    assert modules.loc["mags.l", "parameters"] == 264_192 + 4_196_352 + 262_272 + 8_192
    assert modules.loc["projectors.ab", "parameters"] == 2048 * 128 + 128
    difference = modules.loc["encoders.rgb", "parameters"] - modules.loc["encoders.l", "parameters"]
    assert difference == 2 * 48 * 9  # two channels, 48 filters of 3 × 3


def test_names_and_shapes_stand_in_the_drawing(drawing):
    texts = {text.get_text() for text in drawing.figure.axes[0].texts}
    assert {"rgb", "l", "ab", "encoders.rgb", "projectors.l", "mags.ab", "MemoryBank"} <= texts
    assert {"3 × 32 × 32", "1 × 32 × 32", "2 × 32 × 32", "128 → 2048 → 2048 → 128"} <= texts
    assert {"4,096 negatives", "β = 16", "δ = 10⁻⁵", "α = 10⁻¹¹", "conv, fc6, fc"} <= texts


def test_all_text_is_within_the_figure(drawing):
    drawing.figure.draw_without_rendering()
    whole = drawing.figure.bbox
    for text in drawing.figure.axes[0].texts:
        box = text.get_window_extent()
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
        assert whole.y0 <= box.y0
        assert box.y1 <= whole.y1
