"""Figures without the points that no print shows, so that files stay small."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D, Transform
from numpy.typing import NDArray

_TOLERANCES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Typographic points by which a curve may move; more only where too many are left."""

_MOST = 12_000
"""Points of all curves and bands in a figure, each up to ten bytes of a vector file."""

_FEW = 128
"""Curves of fewer points, whose markers may count, stay as they are."""

_DECIMALS = 1
"""Of a coordinate in typographic points: what a vector file needs to write of it."""

Artist = Line2D | PolyCollection


def thin(figure: Figure) -> None:
    """Leave out points of curves and bands that do not change what is seen; limits stay.

    The figure must not be given another size afterwards.
    """
    dense = list(_dense(figure))
    for tolerance in _TOLERANCES:
        thinned = [
            (artist, [_thinned(part, to_points, tolerance) for part in parts])
            for artist, parts, to_points in dense
        ]
        if sum(len(part) for _, parts in thinned for part in parts) <= _MOST:
            break
    for artist, parts in thinned:
        _replace(artist, parts)


def _dense(figure: Figure) -> Iterator[tuple[Artist, list[NDArray[np.float64]], Transform]]:
    """Yield curves and bands of many points, their parts, and the way to typographic points."""
    for axes in figure.axes:
        axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
        to_points = axes.transData + Affine2D().scale(72.0 / figure.dpi)
        for line in axes.lines:
            xy_P2 = np.asarray(line.get_xydata(), dtype=np.float64)
            if len(xy_P2) >= _FEW:
                yield line, _stretches(xy_P2), to_points
        for band in axes.collections:
            outlines = [np.asarray(path.vertices) for path in band.get_paths()]
            if isinstance(band, PolyCollection) and sum(map(len, outlines)) >= _FEW:
                yield band, outlines, to_points


def _replace(artist: Artist, parts: Sequence[NDArray[np.float64]]) -> None:
    if isinstance(artist, PolyCollection):
        artist.set_verts(parts)
        return
    gap = np.full((1, 2), np.nan)
    separated = [each for part in parts for each in (gap, part)][1:] or [gap]
    artist.set_data(*np.concatenate(separated).T)


def _stretches(xy_P2: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the parts of a curve between points that are not finite."""
    finite = np.concatenate([[False], np.isfinite(xy_P2).all(axis=1), [False]])
    edges = np.flatnonzero(finite[1:] != finite[:-1]).reshape(-1, 2)
    return [xy_P2[start:end] for start, end in edges]


def _thinned(
    xy_P2: NDArray[np.float64], to_points: Transform, tolerance: float
) -> NDArray[np.float64]:
    outline = Outline(to_points.transform(xy_P2))
    outline.should_simplify = True
    outline.simplify_threshold = tolerance
    simple = outline.cleaned(simplify=True)
    vertices = np.asarray(simple.vertices)[np.asarray(simple.codes) != Outline.STOP]
    return np.asarray(to_points.inverted().transform(vertices.round(_DECIMALS)))


def compact(svg: str) -> str:
    """Return an SVG whose long paths of straight lines are written from point to point."""
    return re.sub(r'(?<= d=")[MLz\d\s.-]{500,}(?=")', lambda path: _compact(path[0]), svg)


def _compact(path: str) -> str:
    written, x, y = [], 0, 0
    for command, at_x, at_y in re.findall(r"([MLz])(?: (\S+) (\S+))?", path):
        if command == "z":
            written.append("z")
            continue
        to_x, to_y = round(10 * float(at_x)), round(10 * float(at_y))
        if command == "M":
            written.append(f"M{_tenths(to_x)}{_tenths(to_y)}l")
        else:
            written.append(_tenths(to_x - x) + _tenths(to_y - y))
        x, y = to_x, to_y
    return "".join(written)


def _tenths(count: int) -> str:
    """Return a number of tenths so that it can follow another number."""
    text = f"{count / 10:g}".replace("0.", ".", 1) if abs(count) < 10 else f"{count / 10:g}"
    return text if text.startswith("-") else f" {text}"
