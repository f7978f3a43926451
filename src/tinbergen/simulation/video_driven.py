"""Neurons that are driven by the frames of a video: video to spikes with a known ceiling.

Whoever predicts spikes from a video wants to know how much of them could be predicted at all. Here
the rates are a known function of the frames as they were written, whatever is in them: a film of
a virtual animal or a real one. The function is a textbook model of a visual system that looks at
what moves, and owes nothing to the features that this package computes:

1. What differs from the median image stands out; gaze goes to the middle of it.
2. Complex cells tile the window around the gaze: oriented contrast energy at two scales (even and
   odd Gabor filters, squared and added; Adelson & Bergen 1985, doi:10.1364/JOSAA.2.000284), beside
   smooth patches of brightness. A cycle is a half or a quarter of the window: to most cells of a
   mouse, which prefer 0.02 to 0.04 cycles per degree (Niell & Stryker 2008,
   doi:10.1523/JNEUROSCI.0623-08.2008), an animal of 10 cm at 20 cm is about a cycle long.
3. Smooth pools of the cells are the drives: energy around one orientation at one scale (``form``),
   brightness of the middle against that around it (``light``), and how fast such an energy grows
   or shrinks (``change``). Pools lie at random but are the same for every video. They are
   smoothed by 50 ms, change by 100 ms: it then is largest at 1.6 Hz, near what these cells prefer.
4. Units read a few drives, late, through an exponential or a softplus
   (:class:`~tinbergen.simulation.neurons.Population`).

So the rates depend on posture and on how limbs, ears and fur look under the light of the moment,
on shadows and on what hides the animal, on the micro-motion of grooming: not on keypoints alone.
They follow the animal wherever it goes, and contrast energy is no linear function of pixels, so
that the first principal components of the frames do not suffice; nor does one motion energy, as
most of the drives are about what is seen and not about how much of it moves. The pools are broad
and the drives are few, so that good features of the frames can learn them from minutes of video.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from tinbergen.errors import DataError
from tinbergen.recordings.following import median_image
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.series import Series
from tinbergen.simulation.neurons import Region

_HEIGHT = 96
_WINDOW = 64
_BATCH = 64
_STANDS_OUT = 8.0
_FEW_GRAYS = 4.0
_GRID_S = 0.02
_SCALES = ((32.0, 3, 12.0), (16.0, 3, 12.0))  # wavelength, cells a side, spacing (px)
_ORIENTATIONS = 4
_PATCHES = (3, 13.0, 6.0)  # a side, spacing, radius (px)
_FORM, _LIGHT, _CHANGE = 8, 3, 4
_STEADY_S, _CHANGE_S = 0.05, 0.1
_POOL_SEED = 1

_FORMS, _LIGHTS, _CHANGES = (
    tuple(f"{name}{i}" for i in range(n))
    for name, n in (("form", _FORM), ("light", _LIGHT), ("change", _CHANGE))
)
VISUAL_REGIONS = (
    Region("VISp", _FORMS, 0.06, bumps=0.0),
    Region("VISl", (*_FORMS[:4], *_LIGHTS), 0.08, bumps=0.0),
    Region("VISam", (*_FORMS, *_CHANGES), 0.1, bumps=0.0),
)
"""Regions that see form; form and light; form and its change. The names are for reading."""


def visual_cells(video: FrameSource) -> Series:
    """Return the responses of the complex cells and patches to every frame, streamed.

    Frames are looked at in gray at a height of 96 px, so that responses hardly depend on the
    resolution. Frames that cannot be decoded take the responses of the one before.

    Parameters
    ----------
    video
        Any source of frames.

    Returns
    -------
    Series
        ``(frame, cell)`` float32 on the frame times; logarithmic contrast energies, then patches
        of brightness relative to the median image (in units of 4 gray levels).

    Raises
    ------
    VideoError
        If no frame can be decoded.
    """
    width = max(round(video.width * _HEIGHT / video.height), 16)
    video = video.view(gray=True, roi=video.roi, size=(_HEIGHT, width), keep_aspect=False)
    background = median_image(video)
    filters, names = _filters()
    rows, last = [], None
    for batch in video.iterate(batch_size=_BATCH):
        windows = []
        for frame, ok in zip(batch.frames, batch.ok, strict=True):
            last = _window(frame.astype(np.float32) - background) if ok or last is None else last
            windows.append(last)
        rows.append(_respond(np.stack(windows), filters))
    return Series(video.times, np.concatenate(rows), names)


def visual_drives(cells: Series) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Pool the cells of one video into what neurons read.

    The pools are the same for every video; each drive is standardised over its own.

    Parameters
    ----------
    cells
        From :func:`visual_cells`.

    Returns
    -------
    times
        Even grid of 20 ms over the video (s), shape (time,).
    drives
        Name -> ``(time,)``: ``form0`` to ``form7``, ``light0`` to ``light2``, ``change0`` to
        ``change3``, of zero mean and unit variance.
    """
    if len(cells) < 2:
        raise DataError(f"Expected a video of at least 2 frames, found {len(cells)}.")
    end = float(cells.valid.stops[-1])
    times = np.arange(cells.times[0], end - 1e-9, _GRID_S)
    values = _standard(np.asarray(cells.values, np.float64))
    pooled = values @ _pools()
    pooled = np.stack([np.interp(times, cells.times, column) for column in pooled.T], axis=1)
    change = np.gradient(
        gaussian_filter1d(pooled[:, -_CHANGE:], _CHANGE_S / _GRID_S, axis=0), axis=0
    )
    steady = gaussian_filter1d(pooled[:, :-_CHANGE], _STEADY_S / _GRID_S, axis=0)
    pooled = np.concatenate([steady, change], axis=1)
    names = (*_FORMS, *_LIGHTS, *_CHANGES)
    return times, dict(zip(names, _standard(pooled).T, strict=True))


def _standard(values: np.ndarray) -> np.ndarray:
    spread = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)


def _window(difference: np.ndarray) -> np.ndarray:
    """Cut the window around what stands out, float32, shape (window, window)."""
    height, width = difference.shape
    # Shadows and drifts of the light are broad; the animal is not.
    local = np.abs(difference - cv2.blur(difference, (2 * _WINDOW // 3, 2 * _WINDOW // 3)))
    salient = np.maximum(local - _STANDS_OUT, 0) ** 2 + 1e-6
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    centre, reach = (0.0, 0.0), np.inf
    for _ in range(5):
        row = np.exp(-0.5 * ((x - centre[0]) / reach) ** 2)
        column = np.exp(-0.5 * ((y - centre[1]) / reach) ** 2)
        weight = salient * row * column[:, None]
        total = float(weight.sum())
        centre = (float(weight.sum(0) @ x) / total, float(weight.sum(1) @ y) / total)
        reach = _WINDOW / 3
    return cv2.getRectSubPix(difference, (_WINDOW, _WINDOW), centre)


def _filters() -> tuple[np.ndarray, tuple[str, ...]]:
    """Return even, odd and patch filters as columns (absolute weights sum to 1), and names."""
    middle = (_WINDOW - 1) / 2
    y, x = np.mgrid[:_WINDOW, :_WINDOW] - middle
    even, odd, patches, names = [], [], [], []
    for wavelength, side, spacing in _SCALES:
        for place_x, place_y in _places(side, spacing):
            for turn in range(_ORIENTATIONS):
                angle = np.pi * turn / _ORIENTATIONS
                envelope = np.exp(
                    -0.5 * ((x - place_x) ** 2 + (y - place_y) ** 2) / (0.5 * wavelength) ** 2
                )
                along = (x - place_x) * np.cos(angle) + (y - place_y) * np.sin(angle)
                phase = 2 * np.pi * along / wavelength
                for group, wave in ((even, np.cos(phase)), (odd, np.sin(phase))):
                    # Blind to even light, also where the window cuts the filter off.
                    mean = (envelope * wave).sum() / envelope.sum()
                    group.append(envelope * (wave - mean))
                names.append(f"energy{wavelength:g}_{turn}_{place_x:g}_{place_y:g}")
    side, spacing, radius = _PATCHES
    for place_x, place_y in _places(side, spacing):
        patches.append(np.exp(-0.5 * ((x - place_x) ** 2 + (y - place_y) ** 2) / radius**2))
        names.append(f"bright_{place_x:g}_{place_y:g}")
    columns = [each / np.abs(each).sum() for each in (*even, *odd, *patches)]
    filters = np.stack(columns).reshape(len(columns), -1).T.astype(np.float32)
    return filters, tuple(names)


def _places(side: int, spacing: float) -> list[tuple[float, float]]:
    line = (np.arange(side) - (side - 1) / 2) * spacing
    return [(float(x), float(y)) for y in line for x in line]


def _respond(windows: np.ndarray, filters: np.ndarray) -> np.ndarray:
    found = windows.reshape(len(windows), -1) @ filters
    n = (filters.shape[1] - _PATCHES[0] ** 2) // 2
    energy = np.sqrt(found[:, :n] ** 2 + found[:, n : 2 * n] ** 2)
    return np.concatenate([np.log1p(energy / (_FEW_GRAYS / 4)), found[:, 2 * n :] / _FEW_GRAYS], 1)


def _pools() -> np.ndarray:
    """Return weights of the cells, ``(cell, drive)``: form, light, and form for its change."""
    generator = np.random.default_rng(_POOL_SEED)
    _, names = _filters()
    places = np.array([[float(part) for part in name.split("_")[-2:]] for name in names])
    kinds = np.array([name.split("_")[0] for name in names])
    angles = np.array([float(name.split("_")[1]) * np.pi / _ORIENTATIONS for name in names])
    pools = []
    for drive in range(_FORM + _LIGHT + _CHANGE):
        distance = ((places - generator.uniform(-6, 6, 2)) ** 2).sum(axis=1)
        if _FORM <= drive < _FORM + _LIGHT:
            weight = np.exp(-0.5 * distance / 10.0**2) * (kinds == "bright")
            weight -= 0.5 * weight.sum() * (kinds == "bright") / (kinds == "bright").sum()
        else:
            wavelength = _SCALES[drive % len(_SCALES)][0]
            tuning = 1 + 2 * np.cos(2 * (angles - generator.uniform(0, np.pi)))
            weight = (
                np.exp(-0.5 * distance / 16.0**2) * tuning * (kinds == f"energy{wavelength:g}")
            )
        pools.append(weight / np.abs(weight).sum())
    return np.stack(pools, axis=1)
