"""Figures without the points that no print shows, so that files stay small."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D, Transform
from numpy.typing import NDArray

_TOLERANCE = 0.25
"""Typographic points by which a curve may move: a sixth of its width."""

_FEW = 128
"""Curves of fewer points, whose markers may count, stay as they are."""

_DECIMALS = 2
"""Of a coordinate in typographic points: what a vector file needs to write of it."""


def thin(figure: Figure) -> None:
    """Leave out points of curves and bands that do not change what is seen; limits stay.

    The figure must not be given another size afterwards.
    """
    for axes in figure.axes:
        axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
        to_points = axes.transData + Affine2D().scale(72.0 / figure.dpi)
        _thin_curves(axes, to_points)
        _thin_bands(axes, to_points)


def _thin_curves(axes: Axes, to_points: Transform) -> None:
    for line in axes.lines:
        xy_P2 = np.asarray(line.get_xydata(), dtype=np.float64)
        if len(xy_P2) >= _FEW:
            gap = np.full((1, 2), np.nan)
            parts = [
                part for each in _stretches(xy_P2) for part in (gap, _thinned(each, to_points))
            ]
            line.set_data(*np.concatenate(parts[1:] or [gap]).T)


def _thin_bands(axes: Axes, to_points: Transform) -> None:
    for band in axes.collections:
        if isinstance(band, PolyCollection):
            outlines = [np.asarray(path.vertices) for path in band.get_paths()]
            band.set_verts(
                [_thinned(each, to_points) if len(each) >= _FEW else each for each in outlines]
            )


def _stretches(xy_P2: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the parts of a curve between points that are not finite."""
    unknown = ~np.isfinite(xy_P2).all(axis=1)
    return [xy_P2[part] for part in np.ma.clump_unmasked(np.ma.masked_array(unknown, unknown))]


def _thinned(xy_P2: NDArray[np.float64], to_points: Transform) -> NDArray[np.float64]:
    outline = Outline(to_points.transform(xy_P2))
    outline.should_simplify = True
    outline.simplify_threshold = _TOLERANCE
    simple = outline.cleaned(simplify=True)
    vertices = np.asarray(simple.vertices)[np.asarray(simple.codes) != Outline.STOP]
    return np.asarray(to_points.inverted().transform(vertices.round(_DECIMALS)))
