"""Every set of real neural recordings, loaded through Tinbergen's public readers.

One small function a set makes its recordings; :data:`SETS` declares what can be encoded from and
decoded to in each, on which bins, and which figure its README gives as a sanity check. Selectors,
bins and windows are those that ``tinbergen.encode`` and ``tinbergen.decode`` take.

    python benchmarks/real_sets.py                  # a table of what was loaded
    python benchmarks/real_sets.py hd steinmetz

The data is found through TINBERGEN_DATA, or beside the project in ../shared/data. It is never
copied.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from tinbergen.recordings import (
    Intervals,
    Keypoints,
    Labels,
    Recording,
    Series,
    Spikes,
    Trials,
    lay_out_trials,
    list_arrays,
    read_array,
    read_array_series,
    read_array_spikes,
    read_binned_trials,
    read_nwb,
)

NO_CLOCK = "times between trials are arbitrary: the file has none"
UNLABELLED = -1


@dataclass(frozen=True)
class Target:
    """What can be decoded in a set.

    Attributes
    ----------
    name
        Selector: a stream, ``stream/channel``, ``stream:circular``, or a column of the trials.
    kind
        ``continuous`` or ``classes``.
    reach
        Figure of the README: R2 (mean of the columns) for continuous targets, balanced accuracy
        for classes; the median over the recordings that it names. None: it gives none.
    note
        How that figure came about.
    neural
        Selector of the activity, where it is a part: ``counts/region=ADn``.
    align, before, after
        Window around a time of each trial (a column), s; a ``before`` < 0 begins after it. None =
        from its start, or all bins.
    """

    name: str
    kind: str
    reach: float | None = None
    note: str = ""
    neural: str = ""
    align: str | None = None
    before: float = 0.0
    after: float | None = None


@dataclass(frozen=True)
class RealSet:
    """A set of recordings, and what is to be done with it.

    Attributes
    ----------
    folder
        Below the data folder.
    load
        Makes its recordings, one at a time.
    neural
        Stream of the activity.
    targets
        What can be decoded.
    features
        Selectors from which the activity can be encoded.
    bin
        s; None = as given in the file.
    lags
        Bins before and after that are worth giving to a model.
    gap
        s between training and test that keeps them apart (windows that overlap need theirs).
    folds
        ``"blocks"`` of time or trials; ``"shuffled"`` trials, stratified, where the README did so.
    """

    folder: str
    load: Callable[[Path], Iterator[Recording]]
    neural: str
    targets: tuple[Target, ...]
    features: tuple[str, ...]
    bin: float | None = None
    lags: tuple[int, int] = (0, 0)
    gap: float = 1.0
    folds: str = "blocks"


def load(name: str, root: Path | None = None, first: int | None = None) -> dict[str, Recording]:
    """Load the recordings of a set, or the ``first`` few of them.

    Parameters
    ----------
    name
        Key of :data:`SETS`.
    root
        The data folder; default: :func:`data_folder`.
    """
    chosen = SETS[name]
    folder = (root or data_folder()) / chosen.folder
    return {recording.name: recording for recording in islice(chosen.load(folder), first)}


def data_folder() -> Path:
    """Return the folder of real recordings."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    return Path(os.environ.get("TINBERGEN_DATA", beside))


def counts_8targets(folder: Path) -> Iterator[Recording]:
    file = folder / "sample_dat.npz"
    counts = read_array(file, "spike_counts")
    angle = read_array(file, "target_angle_deg")
    series, trials = lay_out_trials(
        counts[:, None],
        width=1.0,
        starts=np.arange(len(counts), dtype=float),
        columns={"target_angle": angle},
        unit="spikes/bin",
    )
    note = "one count a trial, of unknown length: a trial stands for a second, in order"
    yield Recording("counts_8targets", {"counts": series, "trials": trials}, notes=(note,))


def head_direction(folder: Path) -> Iterator[Recording]:
    file = folder / "Mouse28-140313_wake_25ms.npz"
    bins = {"fps": 1 / float(read_array(file, "bin_s"))}
    streams = {
        "counts": read_array_series(
            file, "counts", **bins, unit="spikes/bin", table={"region": "region"}
        ),
        "head_direction": read_array_series(
            file, "head_angle_rad", **bins, channels=["angle"], unit="rad"
        ),
        "position": _together(file, ("x_cm", "y_cm"), ("x", "y"), "cm", **bins),
        "speed": read_array_series(file, "speed", **bins, channels=["speed"], unit="cm/s"),
    }
    lost = int(np.isnan(streams["speed"].values).sum())
    notes = (
        f"speed is not known in {lost} bins",
        "times from the start of the file: the clock of the spike times is not given for the bins",
    )
    yield Recording("Mouse28-140313 bins", streams, "Mouse28", notes)
    spikes = read_array_spikes(
        folder / "Mouse28-140313_spike_times.npz",
        "spike_times_s",
        "spike_unit",
        table={"region": "region"},
    )
    notes = ("units stand in another order than in the bins, and the counts differ by 1 %",)
    yield Recording("Mouse28-140313 spikes", {"spikes": spikes}, "Mouse28", notes)


def human_mtl(folder: Path) -> Iterator[Recording]:
    yield read_nwb(folder / "sub-4_ses-4_ecephys+image.nwb")


def m1_centerout(folder: Path) -> Iterator[Recording]:
    for file in sorted(folder.glob("*.npz")):
        width = 0.05 if "_50ms_" in file.name else 0.1
        trial, step = read_array(file, "trial"), read_array(file, "timestep")
        apart = (step.max() + 1) * width + 1.0  # from one trial to the next, s
        times = trial * apart + step * width
        layout = {"trial": "trial", "times": times, "width": width, "columns": ["target"]}
        rates, trials = read_binned_trials(file, "firing_rates", **layout)
        counts = np.rint(rates.values * width).astype(np.uint8)
        streams = {"counts": replace(rates, values=counts, unit="spikes/bin")}
        for name, unit in (("velocity", "cm/s"), ("position", "cm"), ("force", "")):
            streams[name] = read_binned_trials(
                file, name, **layout, channels=["x", "y"], unit=unit
            )[0]
        notes = [NO_CLOCK]
        if missing := len(rates.valid) - len(trials):
            notes.append(f"{missing} times bins are missing within a trial; windows stop there")
        yield Recording(file.stem, streams | {"trials": trials}, "Chewie", tuple(notes))


def sleep_states(folder: Path) -> Iterator[Recording]:
    for file, values, width in (
        ("ca1_mouse_12h.npz", "counts", 4.0),
        ("pyhiwa_day1_60s.npz", "rates", 60.0),
        ("pyhiwa_day2_60s.npz", "rates", 60.0),
    ):
        counts = read_array_series(folder / file, values, fps=1 / width, unit="spikes/bin")
        codes = read_array(folder / file, "state").astype(int)
        names = [f"state {i}" for i in range(codes.max() + 1)]
        state = Labels.from_frames(counts.times, codes, names)
        notes = ("what the codes of the states mean is not known",)
        yield Recording(file[:-4], {"counts": counts, "state": state}, notes=notes)


def nelpy_track(folder: Path) -> Iterator[Recording]:
    file = folder / "linear_track.npz"
    spikes = read_array_spikes(
        file, "spike_times_s", "spike_unit", table={"tetrode": "unit_tetrode"}
    )
    whole = _together(file, ("pos_x_px", "pos_y_px"), ("x", "y"), "px", times="pos_t_s")
    lost = (whole.values <= 1).any(axis=1)
    position = np.where(lost[:, None], np.nan, whole.values)
    moving = _moving(whole.times, position, speed=30.0)
    inside = moving.contains(whole.times)
    streams = {
        "spikes": replace(spikes, valid=spikes.valid | whole.valid),
        "position": Series(whole.times[inside], position[inside], ("x", "y"), "px", moving),
        "runs": Trials(pd.DataFrame({"start": moving.starts, "stop": moving.stops})),
    }
    notes = (
        f"{int(lost.sum())} of {len(lost)} positions were lost (0 or 1 px)",
        f"position is given while the rat moves (> 30 px/s): {moving.duration:.0f} of "
        f"{whole.times[-1] - whole.times[0]:.0f} s, in {len(moving)} runs",
    )
    yield Recording("linear_track", streams, notes=notes)


def ofc_odor(folder: Path) -> Iterator[Recording]:
    data, about = folder / "ofc2_data.npz", folder / "ofc2_metadata.npz"
    length, apart = 6.0, 7.0  # s: spikes are cut at 6 s
    trial = read_array(data, "trials")
    spikes = read_array_spikes(
        data, trial * apart + read_array(data, "times") * 1e-4, "neurons", rate=1.0
    )
    start = np.arange(len(read_array(about, "choice"))) * apart
    table = {"start": start, "stop": start + length}
    table |= {name: read_array(about, name) for name in ("choice", "stim", "ratio")}
    for event in ("odor_out", "water_in", "water_on", "water_out"):
        at = read_array(about, event) * 1e-4
        table[event] = np.where(at < length, start + at, np.nan)
    trials = Trials(pd.DataFrame(table))
    valid = Intervals(trials.start, trials.stop)
    cut = int(trials.table["water_out"].isna().sum())
    notes = (NO_CLOCK, f"water_out of {cut} trials lies after the cut at 6 s: not known")
    streams = {"spikes": replace(spikes, valid=valid), "trials": trials}
    yield Recording("ofc2", streams, notes=notes)


def pmd_reach(folder: Path) -> Iterator[Recording]:
    file = folder / "pmd_reach_1ms.npz"
    parts = ("train", "test")
    length, apart = float(read_array(file, "n_ms")) / 1000, 1.7
    ids = np.concatenate([read_array(file, f"{part}_trial_id").ravel() for part in parts])
    rank = np.empty(len(ids), int)
    rank[np.argsort(ids)] = np.arange(len(ids))  # in the order in which they were recorded
    times, units = [], []
    for i, part in enumerate(parts):
        bits = np.unpackbits(read_array(file, part), axis=-1)[..., : round(length * 1000)]
        bits = bits.reshape(-1, *bits.shape[2:])
        trial, unit, at = np.nonzero(bits)
        times.append(rank[i * len(bits) + trial] * apart + at / 1000)
        units.append(unit)
        n_units = bits.shape[1]
    spikes = read_array_spikes(
        file, np.concatenate(times), np.concatenate(units), ids=np.arange(n_units)
    )
    start = rank * apart
    n_targets = read_array(file, "train").shape[1]
    table = {
        "start": start,
        "stop": start + length,
        "target": np.arange(len(ids)) % n_targets,
        "part": np.repeat(parts, len(ids) // 2),
        "trial_id": ids,
    }
    trials = Trials(pd.DataFrame(table))
    streams = {"spikes": replace(spikes, valid=Intervals(trials.start, trials.stop))}
    yield Recording("pmd_reach", streams | {"trials": trials}, notes=(NO_CLOCK,))


def rat_lever(folder: Path) -> Iterator[Recording]:
    file = folder / "ELEC3810_Final_project.mat"
    layout = {"fps": 10.0, "axes": "unit, time", "unit": "spikes/bin"}
    counts = read_array_series(file, "trainSpike", **layout)
    state = read_array(file, "trainState").ravel()
    codes = np.where(np.isnan(state), UNLABELLED, np.nan_to_num(state)).astype(int)
    labels = Labels.from_frames(counts.times, codes, ("rest", "press"))
    notes = (f"{(codes < 0).mean():.0%} of the bins are unlabelled, which is not rest",)
    yield Recording("lever train", {"counts": counts, "state": labels}, notes=notes)
    yield Recording("lever test", {"counts": read_array_series(file, "testSpike", **layout)})


def ratgps(folder: Path) -> Iterator[Recording]:
    for file in sorted(folder.glob("*_feat.txt")):
        name = file.name.removesuffix("_feat.txt")
        plane, rat, window = name.split("_")[:3]
        unit = "spikes/bin" if window == "200ms" else f"spikes in {window}"
        counts = read_array_series(file, fps=5.0, unit=unit)
        axes = ("x", "y") if plane == "2D" else ("along",)
        where = file.with_name(f"{name}_pos.txt")
        position = read_array_series(where, fps=5.0, channels=list(axes), unit="cm")
        notes = () if window == "200ms" else (f"windows of {window} every 200 ms overlap",)
        yield Recording(name, {"counts": counts, "position": position}, rat, notes)
    fine = folder / "2D_R2192_20ms_counts.mat"
    counts = read_array_series(fine, "mm", fps=50.0, axes="unit, time", unit="spikes/bin")
    position = read_array_series(
        folder / "2D_R2192_200ms_pos.txt", fps=5.0, channels=["x", "y"], unit="cm"
    )
    yield Recording(fine.stem, {"counts": counts, "position": position}, "R2192")


def steinmetz(folder: Path) -> Iterator[Recording]:
    for file in sorted(folder.glob("session*.npz")):
        counts, trials = read_binned_trials(
            file,
            "counts",
            axes="trial, unit, time",
            times="bin_times_s",
            columns=["contrast_left", "contrast_right", "feedback"],
            unit="spikes/bin",
            table={"region": "brain_area"},
        )
        table = trials.table.assign(stim_on=trials.start)
        left, right = table["contrast_left"], table["contrast_right"]
        table["side"] = np.select([left > right, left < right], ["left", "right"], None)
        table["stimulus"] = np.where((left > 0) | (right > 0), "any", "none")
        streams = {"counts": counts, "trials": Trials(table)}
        equal = int(table["side"].isna().sum())
        notes = (f"side is not known in {equal} trials of equal contrasts",)
        yield Recording(file.stem, streams, str(read_array(file, "mouse")), notes)


def miniscope(folder: Path) -> Iterator[Recording]:
    for file in sorted(folder.glob("*.npz")):
        clock = read_array(file, "neural_t_unix")
        kept = _in_order(clock)
        traces = read_array(file, "C").T[kept]
        names = [str(name).split("/")[0] for name in read_array(file, "pose_columns")[::3]]
        pose = read_array(file, "pose").reshape(-1, len(names), 3)
        times = read_array(file, "behavior_t_unix")
        streams = {
            "traces": Series(clock[kept], traces, unit="a.u."),
            "pose": Keypoints(times, pose[:, None, :, :2], pose[:, None, :, 2], tuple(names)),
            "position": Series(times, pose[:, 0, :2], ("x", "y"), "px"),
        }
        lost = int((~kept).sum())
        notes = (f"{lost} of {len(clock)} frames left out: their times are out of order",)
        yield Recording(file.stem, streams, notes=notes)


def songbird(folder: Path) -> Iterator[Recording]:
    file = folder / "MackeviciusData.mat"
    traces = read_array_series(
        file, "NEURAL", fps=read_array(file, "VIDEOfs").item(), axes="unit, time", unit="a.u."
    )
    song = read_array_series(
        file, "SONG", fps=read_array(file, "SONGfs").item(), axes="channel, time", unit="a.u."
    )
    centred = song.values - song.values.mean(axis=0)
    scores = np.linalg.svd(centred, full_matrices=False)[2][:3]
    streams = {
        "traces": traces,
        "song": song,
        "song_pcs": Series(song.times, centred @ scores.T, ("PC1", "PC2", "PC3"), "a.u."),
    }
    yield Recording("HVC song", streams)


def v1_gratings(folder: Path) -> Iterator[Recording]:
    for file in sorted(folder.glob("*.npz")):
        streams = {}
        for name, key in (("traces", "traces"), ("pupil", "pupil_z"), ("running", "speed")):
            streams[name], trials = read_binned_trials(
                file, key, times="t_s", columns={"direction": "direction_deg"}, event="stim_on"
            )
        streams["trials"] = trials
        subject = file.stem.split("_")[1]
        yield Recording(file.stem, streams, subject, (NO_CLOCK,))


def worms(folder: Path) -> Iterator[Recording]:
    signals = {
        "velocity": "",
        "angular_velocity": "rad/s",
        "head_angle": "rad",
        "worm_curvature": "",
        "pumping": "",
    }
    for file in sorted(folder.glob("*.npz")):
        traces = read_array_series(file, "traces_original", times="time_s", unit="F")
        streams = {
            "traces": traces,
            "traces_f20": read_array_series(file, "traces_f_f20", times="time_s", unit="F/F20"),
            "posture": read_array_series(file, "body_angle", times="time_s", unit="rad"),
        }
        notes = []
        for name, unit in signals.items():
            series = read_array_series(file, name, times="time_s", channels=[name], unit=unit)
            if np.isnan(series.values).all():
                notes.append(f"{name} was not measured")
            else:
                streams[name] = series
        reversal = read_array(file, "reversal").astype(int)
        streams["state"] = Labels.from_frames(traces.times, reversal, ("forward", "reversal"))
        if "food_frame" in list_arrays(file):
            at = traces.times[int(read_array(file, "food_frame"))]
            notes.append(f"met food at {at:.1f} s: its activity changes there")
        yield Recording(file.stem, streams, file.stem, tuple(notes))


def linear_tracks(folder: Path) -> Iterator[Recording]:
    for file in sorted(folder.glob("*.npz")):
        fps, region = float(read_array(file, "fps")), str(read_array(file, "region"))
        keys = [key[7:] for key in list_arrays(file) if key.startswith("events_")]
        for key in sorted(keys):
            place = read_array(file, f"posbin_{key}").astype(float)
            # Only running frames were kept: where the place jumps, another run begins.
            run = np.append(0, np.cumsum(np.abs(np.diff(place)) >= 2))
            layout = {"trial": run, "width": 1 / fps}
            traces, runs = read_binned_trials(file, f"events_{key}", **layout, unit="a.u.")
            table = pd.DataFrame({"region": [region] * traces.values.shape[1]})
            position, _ = lay_out_trials(place[:, None], **layout, channels=["bin"])
            streams = {"traces": replace(traces, table=table), "position": position, "runs": runs}
            notes = (NO_CLOCK, "runs are told by jumps of the place by 2 bins or more")
            yield Recording(f"{file.stem} {key}", streams, file.stem, notes)


SETS: dict[str, RealSet] = {
    "counts_8targets": RealSet(
        "neural/counts_8targets",
        counts_8targets,
        "counts",
        (Target("target_angle", "classes", 0.943, "balanced, 974 trials"),),
        ("target_angle",),
        gap=0.0,
    ),
    "hd": RealSet(
        "neural/hd_mouse28_adn_pos",
        head_direction,
        "counts",
        (
            Target("head_direction:circular", "continuous", 0.805, "ADn", "counts/region=ADn"),
            Target("head_direction:circular", "continuous", 0.595, "PoS", "counts/region=PoS"),
            Target("position", "continuous", 0.10, "0.10 to 0.18: a negative control"),
            Target("speed", "continuous", 0.0, "a negative control"),
        ),
        ("head_direction:circular", "position", "speed"),
        bin=0.1,
        lags=(-5, 5),
    ),
    "human_mtl": RealSet(
        "neural/human_mtl_zheng_nwb",
        human_mtl,
        "spikes",
        (Target("recognition_table/old_new", "classes", None, "at chance", "", "start", 0, 1.5),),
        ("recognition_table/old_new",),
    ),
    "m1": RealSet(
        "neural/m1_centerout_3sessions",
        m1_centerout,
        "counts",
        (
            Target("velocity", "continuous", 0.535, "ridge without lags: 0.60/0.47, 0.59/0.53"),
            Target("target", "classes", 0.84, "from the means of trials: 0.77-0.84, 0.90"),
        ),
        ("velocity", "position", "force"),
        lags=(-3, 3),
    ),
    "sleep": RealSet(
        "neural/mouse_ca1_sleep_states",
        sleep_states,
        "counts",
        (Target("state", "classes", 0.908, "ca1_mouse_12h, contiguous folds"),),
        ("state",),
        lags=(-1, 1),
        gap=60.0,
    ),
    "nelpy": RealSet(
        "neural/nelpy_linear_track",
        nelpy_track,
        "spikes",
        (Target("position", "continuous", 0.315, "moving bins, ridge 0.30/0.33"),),
        ("position:tuned",),
        bin=0.25,
        lags=(-2, 2),
    ),
    "ofc": RealSet(
        "neural/ofc_odor_choice",
        ofc_odor,
        "spikes",
        (
            Target(
                "choice", "classes", 0.90, "movement (0.5 s on average)", "", "water_in", 0.5, 0
            ),
            Target("choice", "classes", 0.62, "odour", "", "odor_out", 0.5, 0),
        ),
        ("choice",),
        bin=0.05,
    ),
    "pmd": RealSet(
        "neural/pmd_delayed_reach_8dir",
        pmd_reach,
        "spikes",
        (
            Target("target", "classes", 0.91, "200 to 400 ms", "", "start", -0.2, 0.4),
            Target("target", "classes", 0.92, "400 to 700 ms", "", "start", -0.4, 0.7),
            Target("target", "classes", 0.13, "0 to 150 ms, at chance", "", "start", 0.0, 0.15),
        ),
        ("target",),
        bin=0.02,
    ),
    "rat_lever": RealSet(
        "neural/rat_lever_press_states",
        rat_lever,
        "counts",
        (Target("state", "classes", 0.91, "0.91 to 0.98, 5 bins before and after"),),
        ("state",),
        lags=(-5, 5),
    ),
    "ratgps": RealSet(
        "neural/ratgps_hippocampus",
        ratgps,
        "counts",
        (Target("position", "continuous", 0.475, "2-D 0.49, 0.46, 0.475; 1-D 0.59, 0.49, 0.41"),),
        ("position:tuned",),
        bin=0.2,
        lags=(-2, 2),
        gap=1.6,
    ),
    "steinmetz": RealSet(
        "neural/steinmetz2019_trials",
        steinmetz,
        "counts",
        (
            Target("side", "classes", 0.85, "0.61 to 0.92, median of 18 sessions"),
            Target("stimulus", "classes", 0.70, "0.70 to 0.93"),
            Target("feedback", "classes", 0.51, "0.51 to 0.68"),
        ),
        ("contrast_left", "contrast_right", "feedback"),
        gap=0.0,
        folds="shuffled",
    ),
    "miniscope": RealSet(
        "calcium/miniscope_placecells",
        miniscope,
        "traces",
        (Target("position", "continuous", 0.0, "R2 <= 0.01: a negative control"),),
        ("position", "pose"),
        bin=0.1,
        lags=(-5, 5),
    ),
    "songbird": RealSet(
        "calcium/songbird_hvc_song",
        songbird,
        "traces",
        (Target("song_pcs", "continuous", 0.373, "0.56, 0.43, 0.19 with 2 frames around"),),
        ("song_pcs", "song"),
        bin=1 / 30,
        lags=(-2, 2),
        gap=0.2,
    ),
    "v1": RealSet(
        "calcium/v1_2p_gratings_pupil_running",
        v1_gratings,
        "traces",
        (
            Target("direction", "classes", 0.22, "0.07 to 0.46 in these", "", "stim_on", 0, 2.0),
            Target("pupil", "continuous", 0.0, "-0.07 to 0.39"),
            Target("running", "continuous", 0.0, "about 0 to 0.1"),
        ),
        ("direction", "pupil", "running"),
        bin=1 / 16,
        lags=(-4, 4),
    ),
    "worms": RealSet(
        "calcium/worms",
        worms,
        "traces",
        (
            Target("velocity", "continuous"),
            Target("head_angle", "continuous"),
            Target("posture", "continuous"),
            Target("state", "classes"),
        ),
        ("velocity", "angular_velocity", "head_angle", "posture"),
        bin=0.75,
        lags=(-4, 4),
        gap=10.0,
    ),
    "linear_tracks": RealSet(
        "calcium/ziv_ca1_ca3_linear_tracks",
        linear_tracks,
        "traces",
        (Target("position", "continuous", 0.54, "medians of mice 0.54 to 0.73"),),
        ("position:tuned",),
        bin=0.1,
        lags=(-2, 2),
    ),
}


def _together(
    file: Path, keys: tuple[str, ...], names: tuple[str, ...], unit: str, **options
) -> Series:
    """Read vectors as the channels of one series."""
    parts = [read_array_series(file, key, **options) for key in keys]
    values = np.concatenate([part.values.astype(float) for part in parts], axis=1)
    return Series(parts[0].times, values, names, unit)


def _moving(times: np.ndarray, position: np.ndarray, speed: float) -> Intervals:
    """Return where the position changes faster than ``speed``, for at least half a second."""
    grid = np.arange(times[0], times[-1], 0.25)
    known = np.isfinite(position).all(axis=1)
    at = np.stack([np.interp(grid, times[known], x[known]) for x in position.T], axis=1)
    fast = np.linalg.norm(at[2:] - at[:-2], axis=1) / 0.5 > speed
    steps = grid[1:-1][fast]
    spans = Intervals(steps - 0.125, steps + 0.126)  # the last ms joins neighbours
    long = spans.stops - spans.starts > 0.5
    return Intervals(spans.starts[long], spans.stops[long])


def _in_order(times: np.ndarray) -> np.ndarray:
    """Return ``(n,)`` bool: the longest choice of samples whose times do not run backwards."""
    ends: list[int] = []  # index of the last sample of the best choice of each length
    before = np.full(len(times), -1)
    last: list[float] = []
    for i, t in enumerate(times.tolist()):
        at = bisect_right(last, t)
        before[i] = ends[at - 1] if at else -1
        if at == len(ends):
            ends.append(i)
            last.append(t)
        else:
            ends[at], last[at] = i, t
    kept = np.zeros(len(times), bool)
    i = ends[-1] if ends else -1
    while i >= 0:
        kept[i] = True
        i = before[i]
    return kept


def _describe(stream: object) -> str:
    if isinstance(stream, Spikes):
        return f"{stream.n_units} units, {len(stream)} spikes, {stream.valid.duration:.0f} s"
    if isinstance(stream, Series):
        unit = f" {stream.unit}" if stream.unit else ""
        return f"{stream.values.shape[0]} x {stream.values.shape[1]}{unit}"
    if isinstance(stream, Trials):
        return f"{len(stream)}: {', '.join(stream.columns)}"
    if isinstance(stream, Labels):
        return ", ".join(stream.classes)
    return f"{len(stream)}"  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="*", help=f"of: {', '.join(SETS)}")
    for name in parser.parse_args().sets or SETS:
        began = time.perf_counter()
        recordings = load(name)
        seconds = time.perf_counter() - began
        print(f"\n{name}: {len(recordings)} recordings in {seconds:.1f} s ({SETS[name].folder})")
        shown = list(recordings.values())[:3]
        for recording in shown:
            print(f"  {recording.name}" + (f" ({recording.subject})" * bool(recording.subject)))
            for stream, value in recording.streams.items():
                print(f"    {stream:16} {type(value).__name__:9} {_describe(value)}")
            for note in recording.notes:
                print(f"    note: {note[:110]}")
        if len(recordings) > len(shown):
            print(f"  ... and {len(recordings) - len(shown)} more")
        for target in SETS[name].targets:
            reach = "-" if target.reach is None else f"{target.reach:.3f}"
            print(f"  decode {target.name:26} {target.kind:10} README {reach}  {target.note}")


if __name__ == "__main__":
    main()
