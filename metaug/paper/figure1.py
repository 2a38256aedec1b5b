"""Figure 1: the architecture of MetAug, drawn from the modules that the code builds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import nn

from metaug.algorithm.hyper import MetAugHyper
from metaug.algorithm.mag import MetAug
from metaug.data.augment import operations_of
from metaug.data.views import VIEWS
from metaug.method import DataShape
from metaug.models.alexnet import AlexNet
from metaug.reporting.figures import Drawing
from metaug.reporting.names import power_of_ten
from metaug.reporting.style import BLUE, GREY, TEXT_WIDTH, VERMILLION, plot_style
from metaug.spec import TrialSpec

IMAGES, CLASSES, IMAGE_SIZE = 50_000, 10, 32
"""The shapes of CIFAR-10."""

GROUPS = ("encoders", "projectors", "mags")
"""The modules that each view has one of."""

HEIGHT = 4.9  # inches
TOP, ROW = 61.0, 10.5
"""Height of the first view, and distance to the next; the width of the diagram is 100."""

LOSSES = 22.0
"""Height of the losses."""

COLORS = {"encoder": BLUE, "mag": VERMILLION, "loss": "black", "data": GREY}
FILLS = {"encoder": "#E5F1F8", "mag": "#FBEADF", "loss": "white", "data": "#F2F2F2"}
EDGES = {"encoder": "-", "mag": "--", "loss": "-", "data": "-"}
"""The two groups of parameters differ in the edge of their boxes too, for print in grey."""

CAPTION = (
    "The architecture of MetAug as the code builds it: the views {views}, and an encoder, a "
    "projection head and a generator of augmented features for each. Names in fixed width are "
    "those of the code. Shapes are those of an AlexNet on {size} × {size} pixels of which every "
    "view has {width:g} of the width. Blue boxes with solid edges learn in the first of two "
    "passes over the data, red ones with dashed edges in the second."
)


@dataclass(frozen=True)
class Line:
    """A line of text in a box."""

    text: str
    size: float = 6
    code: bool = False  # a name of the code


@dataclass(frozen=True)
class Diagram:
    """Boxes, lines and texts; x runs from 0 to 100, y in the same unit."""

    axes: Axes

    def box(
        self, x: float, y: float, width: float, height: float, kind: str, lines: Sequence[Line]
    ) -> None:
        """A box around (x, y)."""
        self.axes.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle="round,pad=0,rounding_size=0.8",
                edgecolor=COLORS[kind],
                facecolor=FILLS[kind],
                linestyle=EDGES[kind],
                linewidth=1.1,
                zorder=2,
            )
        )
        step = height / (len(lines) + 0.4)
        for number, line in enumerate(lines):
            self.text(x, y + step * ((len(lines) - 1) / 2 - number), line)

    def text(self, x: float, y: float, line: Line) -> None:
        family = "DejaVu Sans Mono" if line.code else "DejaVu Sans"
        self.axes.text(
            x, y, line.text, fontsize=line.size, family=family, ha="center", va="center", zorder=3
        )

    def line(self, *points: tuple[float, float]) -> None:
        xs, ys = zip(*points, strict=True)
        self.axes.plot(xs, ys, color="black", linewidth=0.8, zorder=1)

    def arrow(self, *points: tuple[float, float]) -> None:
        """A line with a head at the last point."""
        self.line(*points)
        style = "-|>,head_width=0.15,head_length=0.3"
        look = {"arrowstyle": style, "color": "black", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
        self.axes.annotate("", points[-1], points[-2], arrowprops=look, zorder=1)

    def dot(self, x: float, y: float) -> None:
        """Where a line branches; lines that cross without one do not meet."""
        self.axes.plot(x, y, "o", color="black", markersize=2.2, zorder=1)


def architecture() -> MetAug:
    """MetAug at its defaults with a full-width AlexNet, without memory for its parameters."""
    hyper = MetAugHyper.model_validate({})
    spec = TrialSpec(
        scale="full",
        dataset="cifar10",
        image_size=IMAGE_SIZE,
        method=MetAug.name,
        backbone="alexnet",
        views=MetAug.views_of(hyper),
        augmentation=("cmc",),
        batch_size=64,
        epochs=1,
        learning_rate=0.03,
        hyper=hyper.model_dump(mode="json"),
    )
    with torch.device("meta"):
        return MetAug(spec, DataShape(IMAGES, CLASSES))


def modules_of(method: MetAug) -> pd.DataFrame:
    """Each module of each view: its name and type in the code, shapes, number of parameters."""
    size, dim = method.spec.image_size, method.hyper.feature_dim
    rows = []
    for view in method.spec.views:
        encoder, head, mag = (getattr(method, group)[view] for group in GROUPS)
        shapes = (
            (f"{VIEWS[view]} × {size} × {size}", f"{encoder.out_features}"),
            (f"{head.in_features}", f"{head.out_features}"),
            (f"{dim}", " → ".join(map(str, _widths(mag)))),
        )
        for group, module, shape in zip(GROUPS, (encoder, head, mag), shapes, strict=True):
            parameters = sum(p.numel() for p in module.parameters())
            rows.append((f"{group}.{view}", view, type(module).__name__, *shape, parameters))
    return pd.DataFrame(rows, columns=["module", "view", "type", "input", "output", "parameters"])


def _widths(network: nn.Module) -> list[int]:
    return [m.out_features for m in network.modules() if isinstance(m, nn.Linear)]


def render() -> Drawing:
    """The diagram; its data are the modules."""
    method = architecture()
    modules = modules_of(method)
    with plot_style():
        figure = Figure(figsize=(TEXT_WIDTH, HEIGHT))
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_xlim(-0.5, 100.5)
        axes.set_ylim(0, 101 * HEIGHT / TEXT_WIDTH)
        diagram = Diagram(axes)
        heights = {view: TOP - i * ROW for i, view in enumerate(method.spec.views)}
        _draw_heads(diagram, method)
        _draw_image(diagram, method, heights)
        for view, y in heights.items():
            _draw_view(diagram, y, view, modules[modules["view"] == view].set_index("module"))
        _draw_probe_and_bank(diagram, method)
        _draw_losses(diagram, method)
        _draw_passes(diagram)
    caption = CAPTION.format(
        views=", ".join(method.spec.views), size=IMAGE_SIZE, width=method.spec.view_width
    )
    return Drawing(figure, modules, caption)


def _draw_heads(diagram: Diagram, method: MetAug) -> None:
    for x, text in (
        (5.5, "image"),
        (20, "views"),
        (35.5, r"encoders $f_\theta$"),
        (54, r"heads $g_\vartheta$"),
        (77, r"generators $a_\omega$"),
    ):
        diagram.text(x, TOP + 9, Line(text, 8))
    width, dim = method.out_features, method.hyper.feature_dim
    for x, text in ((45.5, f"$h$, {width}"), (63, f"$z$, {dim}"), (92, rf"$\tilde{{z}}$, {dim}")):
        diagram.text(x, TOP + 5, Line(text, 7))


def _draw_image(diagram: Diagram, method: MetAug, heights: Mapping[str, float]) -> None:
    size = method.spec.image_size
    middle = sum(heights.values()) / len(heights)
    names = operations_of(method.spec.augmentation[0])
    lines = [Line("RGB", 7), Line(f"3 × {size} × {size}"), *(Line(n, 6, code=True) for n in names)]
    diagram.box(5.5, middle, 11, 14, "data", lines)
    for y in heights.values():
        diagram.arrow((11, middle), (13, middle), (13, y), (15.5, y))


def _draw_view(diagram: Diagram, y: float, view: str, modules: pd.DataFrame) -> None:
    """One row: the view, its encoder, its head, its generator."""
    encoder, head, mag = (modules.loc[f"{group}.{view}"] for group in GROUPS)
    diagram.box(20, y, 9, 6, "data", (Line(view, 7, code=True), Line(encoder["input"])))
    diagram.arrow((24.5, y), (28, y))
    diagram.box(35.5, y, 15, 8, "encoder", _lines(encoder))
    diagram.arrow((43, y), (48, y))
    diagram.box(54, y, 12, 8, "encoder", _lines(head))
    diagram.arrow((60, y), (66, y))
    *names, size = _lines(mag)
    widths = Line(f"{mag['input']} → {mag['output']}", 5.5)
    diagram.box(77, y, 22, 9, "mag", (*names, widths, size))
    diagram.line((88, y), (92, y))
    for x in (45.7, 62.5, 92):
        diagram.dot(x, y)


def _lines(module: pd.Series) -> tuple[Line, ...]:
    size = module["parameters"]
    count = f"{size / 1e6:.1f} M" if size >= 1e6 else f"{size / 1e3:.0f} k"
    return (
        Line(module["type"], 7, code=True),
        Line(str(module.name), 5.5, code=True),
        Line(f"{count} parameters", 5.5),
    )


def _draw_probe_and_bank(diagram: Diagram, method: MetAug) -> None:
    """Where h and z go besides the losses: read-outs at test, and the memory of past features."""
    encoder = cast(AlexNet, method.encoders[method.spec.views[0]])
    readouts = ", ".join(encoder.layer_features)
    diagram.arrow((45.7, TOP), (45.7, LOSSES), (44, LOSSES))
    diagram.box(
        35.5,
        LOSSES,
        17,
        10,
        "data",
        (
            Line("linear probe at test", 7),
            Line("of all views together"),
            Line(readouts, 6, code=True),
        ),
    )
    rows, dim = method.bank.get_buffer(method.spec.views[0]).shape
    diagram.arrow((62.5, TOP), (62.5, LOSSES), (60, LOSSES))
    diagram.box(
        54,
        LOSSES,
        12,
        10,
        "data",
        (Line(type(method.bank).__name__, 7, code=True), Line(f"{rows:,} × {dim}"), Line("a view")),
    )


def _draw_losses(diagram: Diagram, method: MetAug) -> None:
    hyper = method.hyper
    top, bottom = LOSSES + 5, LOSSES - 5
    originals, augmented, negatives = top + 3, top + 6, bottom - 2
    diagram.dot(62.5, originals)
    for x in (67.5, 79, 91):
        diagram.arrow((62.5, originals), (x, originals), (x, top))
    for x in (83, 96):
        diagram.arrow((92, TOP), (92, augmented), (x, augmented), (x, top))
    for x in (69.5, 81, 93.5):
        diagram.arrow((54, bottom), (54, negatives), (x, negatives), (x, bottom))
    diagram.text(60.5, negatives - 1.5, Line(f"{hyper.negatives:,} negatives", 5.5))
    delta, alpha = power_of_ten(hyper.delta), power_of_ten(hyper.alpha)
    for x, width, lines in (
        (69.5, 10, (r"$\mathcal{L}^\mathrm{ori}$", hyper.loss, f"β = {hyper.beta:g}")),
        (81, 10, (r"$\delta\,\mathcal{L}^\mathrm{aug}$", hyper.loss, f"δ = {delta}")),
        (93.5, 12, (r"$\alpha R_\sigma$", f"{hyper.margin_size} margin", f"α = {alpha}")),
    ):
        symbol, name, value = lines
        texts = (Line(symbol, 8), Line(name, 6, code=True), Line(value))
        diagram.box(x, LOSSES, width, 10, "loss", texts)


def _draw_passes(diagram: Diagram) -> None:
    """Algorithm 1 below the architecture."""
    diagram.box(
        22,
        5.5,
        44,
        9,
        "encoder",
        (
            Line("first pass: encoders and heads learn", 7),
            Line(
                r"$\theta,\vartheta \leftarrow \theta,\vartheta - \ell\,\nabla_{\theta,\vartheta}"
                r"(\mathcal{L}^\mathrm{ori} + \delta\,\mathcal{L}^\mathrm{aug})$",
                7,
            ),
        ),
    )
    diagram.box(
        76,
        5.5,
        48,
        9,
        "mag",
        (
            Line("second pass: generators learn, by look-ahead", 7),
            Line(
                r"$\theta',\vartheta' = \theta,\vartheta - \ell\,\nabla(\mathcal{L}^\mathrm{ori} + "
                r"\delta\,\mathcal{L}^\mathrm{aug})$",
                7,
            ),
            Line(
                r"$\omega \leftarrow \omega - \ell'\,\nabla_\omega(\mathcal{L}^\mathrm{ori} + "
                r"\delta\,\mathcal{L}^\mathrm{aug} + \alpha R_\sigma)(\theta',\vartheta',\omega)$",
                7,
            ),
        ),
    )
    diagram.arrow((44, 7.5), (52, 7.5))
    diagram.arrow((52, 3.5), (44, 3.5))
