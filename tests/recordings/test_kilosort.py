"""Kilosort and phy folders, whole and broken, made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings import Clock, Intervals, read_kilosort

RATE = 30_000.0


def write(folder: Path, **arrays: Any) -> Path:
    """A folder of five spikes of the clusters 0, 3 and 9; None leaves a file out."""
    folder.mkdir(parents=True, exist_ok=True)
    waves = np.zeros((4, 8, 4), np.float32)
    for template, channel in enumerate((2, 0, 1, 3)):
        waves[template, 3, channel] = -5.0
        waves[template, 5, (channel + 1) % 4] = 1.0
    standard = {
        "spike_times": np.array([300, 600, 900, 1200, 3000], np.uint64),
        "spike_clusters": np.array([0, 3, 3, 9, 9], np.int32),
        "spike_templates": np.array([0, 1, 3, 2, 2], np.uint32),
        "templates": waves,
        "channel_positions": np.array([[16.0, 0], [48, 0], [0, 20], [32, 20]]),
        "channel_map": np.array([10, 11, 12, 13]),
    }
    for name, values in (standard | arrays).items():
        if values is not None:
            np.save(folder / f"{name}.npy", values)
    if "params" not in arrays:
        text = "import os\ndat_path = r'C:\\data'\nn_channels = 4\nsample_rate = 30000.\n"
        (folder / "params.py").write_text(text + "os.abort()\n")
    return folder


def tsv(folder: Path, name: str, *rows: str) -> None:
    (folder / name).write_text("\n".join(row.replace(" ", "\t") for row in rows) + "\n")


def test_kilosort_alone(tmp_path):
    """Unlabelled templates; params.py is not run, or the test would abort."""
    templates = np.array([0, 1, 1, 2, 2])
    folder = write(tmp_path / "ks", spike_clusters=None, spike_templates=templates)
    tsv(folder, "cluster_KSLabel.tsv", "cluster_id KSLabel", "0 good", "1 mua", "2 good", "3 mua")
    spikes = read_kilosort(folder)
    np.testing.assert_allclose(spikes.times, [0.01, 0.02, 0.03, 0.04, 0.1])
    table = spikes.table
    assert list(table.index) == [0, 1, 2, 3]
    assert list(table["quality"]) == ["good", "mua", "good", "mua"]
    assert list(table["n_spikes"]) == [1, 2, 2, 0]
    np.testing.assert_array_equal(table["channel"], [12, 10, 11, np.nan])
    np.testing.assert_array_equal(table["depth"], [20, 0, 0, np.nan])
    assert spikes.valid == Intervals([0.01], [np.nextafter(0.1, 1)])


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (1, -1)])
@pytest.mark.parametrize("kind", [np.uint64, np.int64, np.int32, np.float64])
def test_shapes_and_types_of_the_versions(tmp_path, shape, kind):
    times = np.array([300, 600, 900, 1200, 3000]).astype(kind).reshape(shape)
    clusters = np.array([0, 3, 3, 9, 9], np.uint32).reshape(shape)
    folder = write(tmp_path / "ks", spike_times=times, spike_clusters=clusters)
    np.testing.assert_allclose(read_kilosort(folder).train(3), [0.02, 0.03])


def test_curated_in_phy(tmp_path):
    """Clusters that templates were merged to; the hand's label goes before Kilosort's."""
    folder = write(tmp_path / "phy")
    tsv(folder, "cluster_group.tsv", "cluster_id group", "0 noise", "3 good", "9 unsorted")
    tsv(folder, "cluster_KSLabel.tsv", "cluster_id KSLabel", "0 good", "1 mua", "9 mua")
    tsv(
        folder,
        "cluster_info.tsv",
        "cluster_id KSLabel ch depth group sh",
        "0 good 12 21 noise 0",
        "3 good 10 1 good 1",
        "9 mua 11 2 unsorted 1",
    )
    table = read_kilosort(folder).table
    assert list(table.index) == [0, 3, 9]
    assert list(table["quality"]) == ["noise", "good", "mua"]
    assert list(table["depth"]) == [21, 1, 2] and list(table["shank"]) == [0, 1, 1]
    assert list(table["channel"]) == [12, 10, 11]


def test_units_that_no_table_names_are_kept_and_marked(tmp_path):
    folder = write(tmp_path / "phy")
    tsv(folder, "cluster_group.tsv", "cluster_id group", "0 good", "9 mua", "12 good")
    spikes = read_kilosort(folder)
    assert list(spikes.table["quality"]) == ["good", "unlisted", "mua", "good"]
    assert list(spikes.table["n_spikes"]) == [1, 2, 2, 0]
    assert len(spikes) == 5


def test_the_largest_wave_is_found_after_unwhitening_and_in_sparse_templates(tmp_path):
    inverse = np.eye(4)
    inverse[2, 3] = 10.0  # what looks largest on channel 2 comes from channel 3
    folder = write(tmp_path / "white", whitening_mat_inv=inverse)
    assert list(read_kilosort(folder).table["channel"])[0] == 13
    channels = np.array([[3, 1, 0, -1]] * 4)
    folder = write(tmp_path / "sparse", templates_ind=channels)
    assert list(read_kilosort(folder).table["channel"]) == [10, 13, 11]


def test_depth_from_spike_positions(tmp_path):
    places = np.array([[0, 5.0], [0, 10], [0, 20], [0, 7], [0, 7]])
    folder = write(tmp_path / "ks4", templates=None, spike_positions=places)
    assert list(read_kilosort(folder).table["depth"]) == [5, 15, 7]
    bare = write(tmp_path / "bare", templates=None)
    assert list(read_kilosort(bare).table) == ["n_spikes"]


def test_several_probes_on_one_clock(tmp_path):
    folders = {name: write(tmp_path / name / "ks4") for name in ("imec0", "imec1")}
    clocks = {"imec0": lambda times: times, "imec1": Clock.affine(0.05, 1000.0)}
    spikes = read_kilosort(folders, clock=clocks)
    assert list(spikes.table.index)[:4] == ["imec0_0", "imec0_3", "imec0_9", "imec1_0"]
    assert list(spikes.table["probe"]) == ["imec0"] * 3 + ["imec1"] * 3
    np.testing.assert_allclose(spikes.train("imec1_9"), [0.05 + 0.04004, 0.05 + 0.1001])
    np.testing.assert_allclose(spikes.valid.starts, [0.06001])
    np.testing.assert_allclose(spikes.valid.stops, [0.1])
    assert (np.diff(spikes.times) >= 0).all()
    listed = read_kilosort(list(folders.values()))
    assert listed.table["probe"].iloc[0] == "imec0_ks4"
    with pytest.raises(DataError, match="no clock for the probe 'imec1'"):
        read_kilosort(folders, clock={"imec0": lambda times: times})
    with pytest.raises(DataError, match="twice"):
        read_kilosort([folders["imec0"]] * 2)


CLOCKS = {
    "backwards": (lambda times: -times, "runs backwards at 0.01"),
    "nan": (lambda times: times * np.nan, "5 not finite"),
    "length": (lambda times: times[:2], "each of 5 spikes"),
}


@pytest.mark.parametrize("case", CLOCKS)
def test_clocks_that_cannot_be(tmp_path, case):
    clock, match = CLOCKS[case]
    with pytest.raises(DataError, match=match):
        read_kilosort(write(tmp_path / "ks"), clock=clock)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "unsorted": ({"spike_times": np.array([3, 2, 5, 6, 7])}, r"ascend; 1 times .* 3 to 2"),
    "negative": ({"spike_times": np.array([-7, 2, 5, 6, 7])}, "1 of 5 times are negative"),
    "nan": ({"spike_times": np.array([1, np.nan, 3, 4, 5])}, "1 of 5 are NaN"),
    "seconds": ({"spike_times": np.array([0.1, 0.2, 3, 4, 5])}, "fractions such as 0.1"),
    "wide": ({"spike_times": np.ones((5, 2), int)}, r"found int64 \(5, 2\)"),
    "text": ({"spike_times": np.array(list("abcde"))}, "found <U1"),
    "none": ({"spike_times": np.zeros(0, int)}, "holds no spike"),
    "short": ({"spike_clusters": np.zeros(4, int)}, r"\(4,\) units for 5 spikes"),
    "nan unit": ({"spike_clusters": np.array([0, 1, np.nan, 1, 1])}, "whole numbers"),
    "template": ({"spike_templates": np.array([0, 1, 2, 3, 8])}, "templates 0 to 8.*has 4"),
    "channels": ({"channel_positions": np.zeros((2, 2))}, "channel 3, but depths .* 2 channels"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_arrays_are_refused(tmp_path, case):
    arrays, match = BROKEN[case]
    with pytest.raises(DataError, match=match):
        read_kilosort(write(tmp_path / "ks", **arrays))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(MissingFileError, match="found no spike_times.npy"):
        read_kilosort(tmp_path)
    folder = write(tmp_path / "ks4", spike_clusters=None, spike_templates=None)
    with pytest.raises(MissingFileError, match="There is one in .*ks4"):
        read_kilosort(tmp_path)
    with pytest.raises(MissingFileError, match="spike_clusters.npy or spike_templates.npy"):
        read_kilosort(folder)
    folder = write(tmp_path / "rate", params=None)
    with pytest.raises(MissingFileError, match="give sample_rate"):
        read_kilosort(folder)
    np.testing.assert_allclose(read_kilosort(folder, sample_rate=1e4).times[0], 0.03)
    (folder / "params.py").write_text("sample_rate = 10 * get()\n")
    with pytest.raises(DataError, match="cannot be told"):
        read_kilosort(folder)
    (folder / "params.py").write_text("n_channels = 3\n")
    with pytest.raises(DataError, match="does not name the sample_rate"):
        read_kilosort(folder)
    with pytest.raises(DataError, match="expected a sample rate in Hz, found 0"):
        read_kilosort(folder, sample_rate=0)
    with pytest.raises(DataError, match="one folder or more"):
        read_kilosort([])


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (("cluster group", "0 good"), "expected a column cluster_id"),
        (("cluster_id group", "0 good", "0 mua"), "cluster 0 stands twice"),
        (("cluster_id group", "0 good", "x mua"), "row 2 has no whole number"),
    ],
)
def test_broken_tables_are_refused(tmp_path, rows, match):
    folder = write(tmp_path / "ks")
    tsv(folder, "cluster_group.tsv", *rows)
    with pytest.raises(DataError, match=match):
        read_kilosort(folder)
