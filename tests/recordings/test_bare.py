"""Sessions without a dataset.yaml: told apart by their files, and checked as they are."""

import numpy as np
import pytest

from tinbergen.errors import MissingFileError
from tinbergen.recordings.bare import session_kind
from tinbergen.recordings.check import check_dataset


def kilosort(folder, n=50):
    folder.mkdir(parents=True)
    np.save(folder / "spike_times.npy", np.arange(n) * 300)
    np.save(folder / "spike_clusters.npy", np.arange(n) % 2)
    (folder / "params.py").write_text("sample_rate = 30000.\n")
    return folder


def alf(folder):
    (folder / "alf").mkdir(parents=True)
    np.save(folder / "alf" / "_ibl_wheel.timestamps.npy", np.arange(500) * 0.01)
    np.save(folder / "alf" / "_ibl_wheel.position.npy", np.sin(np.arange(500) * 0.01))
    return folder


def test_kinds_are_told_by_their_files(tmp_path):
    assert session_kind(kilosort(tmp_path / "ks")) == "kilosort"
    assert session_kind(alf(tmp_path / "001")) == "alf"
    assert session_kind(tmp_path / "001" / "alf") == "alf"
    (tmp_path / "day.nwb").write_bytes(b"")
    assert session_kind(tmp_path / "day.nwb") == "nwb"
    assert session_kind(tmp_path) is None
    assert session_kind(tmp_path / "nowhere") is None


def test_sessions_are_checked_as_they_are(tmp_path):
    paths = [kilosort(tmp_path / probe / "ks") for probe in ("a", "b")]
    rows = check_dataset([*paths, alf(tmp_path / "m" / "001")], workers=1)
    found = {(row.recording, row.stream): row for row in rows}
    assert {row.state for row in rows} == {"ok"}
    assert found["a/ks", "spikes"].n_frames == found["b/ks", "spikes"].n_frames == 50
    assert "2 units" in found["a/ks", "spikes"].found
    assert ("m/001", "wheel") in found


def test_what_cannot_be_read_is_a_row(tmp_path):
    folder = kilosort(tmp_path / "ks")
    (folder / "spike_clusters.npy").write_bytes(b"")
    (tmp_path / "day.nwb").write_bytes(b"none")
    rows = check_dataset([folder, tmp_path / "day.nwb"], workers=1)
    assert [row.state for row in rows] == ["unusable", "unusable"]
    assert [row.kind for row in rows] == ["kilosort", "nwb"]
    assert "day.nwb" in rows[1].problems[0]


def test_files_of_arrays_are_listed(tmp_path):
    np.savez(tmp_path / "a.npz", counts=np.zeros((4, 3), np.uint8), fps=np.array(30.0))
    (tmp_path / "b.npy").write_bytes(b"none")
    one, two = check_dataset([tmp_path / "a.npz", tmp_path / "b.npy"], workers=1)
    assert one.state == "ok"
    assert "counts uint8 (4, 3)" in one.found
    assert "dataset.yaml" in one.hint
    assert two.state == "unusable"


def test_what_is_absent_is_told(tmp_path):
    with pytest.raises(MissingFileError, match="nowhere"):
        check_dataset(tmp_path / "nowhere")
