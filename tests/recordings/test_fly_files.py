"""MC2P trials, DeepFly3D results, descending-neuron frames and Anipose tables."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings import (
    Dataset,
    read_anipose,
    read_array_pickle,
    read_deepfly3d,
    read_deepfly3d_cameras,
    read_descending_neurons,
    read_frame_pickle,
    read_keypoints,
    read_mc2p,
    read_mc2p_annotations,
)

DATA = Path(os.environ.get("TINBERGEN_DATA", Path(__file__).parents[3] / "shared/data"))
FLIES = DATA / "flypose"
needs_flies = pytest.mark.skipif(not FLIES.is_dir(), reason="real flies are not there")


class Harmful:
    def __reduce__(self):
        return os.system, ("echo harm > harm.txt",)


def dump(path, value, protocol=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


class TestArrayPickles:
    @pytest.mark.parametrize("protocol", range(6))
    def test_all_protocols(self, tmp_path, protocol):
        rng = np.random.default_rng(protocol)
        value = {
            0: {"R": np.eye(3), "tvec": np.arange(3)},
            "space": np.asfortranarray(rng.random((4, 3, 2))),
            "names": ["a", ("b", 1.5, None)],
            "scalar": np.float32(2.5),
            "flags": np.array([True, False]),
            "big": np.arange(3, dtype=">i4"),
            "empty": np.zeros((0, 3)),
        }
        got = read_array_pickle(dump(tmp_path / "a.pkl", value, protocol))
        for key in ("space", "flags", "big", "empty"):
            assert np.array_equal(got[key], value[key]), key
            assert got[key].dtype == value[key].dtype
        assert np.array_equal(got[0]["R"], np.eye(3))
        assert got["names"] == ["a", ["b", 1.5, None]] and got["scalar"] == 2.5

    def test_nothing_is_run(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        path = dump(tmp_path / "evil.pkl", {"points2d": Harmful()})
        with pytest.raises(DataError, match="could run code"):
            read_array_pickle(path)
        assert not (tmp_path / "harm.txt").exists()

    @pytest.mark.parametrize(
        ("written", "text"),
        [
            (b"(lp0\ng0\na.", "not known here"),  # a list that holds itself
            (b"c_codecs\nencode\n(Vx\nVrot13\ntR.", "_codecs.encode"),
            (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "odd.pkl"),
        ],
    )
    def test_odd_pickles(self, tmp_path, written, text):
        path = tmp_path / "odd.pkl"
        path.write_bytes(written)
        with pytest.raises(DataError, match=text):
            read_array_pickle(path)

    def test_objects_are_not_left_out_silently(self, tmp_path):
        mixed = np.array([1.5, pd.Timestamp("2020-01-01")], dtype=object)
        with pytest.raises(DataError, match="no array of numbers"):
            read_array_pickle(dump(tmp_path / "o.pkl", mixed))

    @given(st.integers(0, 200))
    def test_cut_off(self, tmp_path_factory, n):
        whole = pickle.dumps({"x": np.arange(6.0)})
        path = tmp_path_factory.mktemp("cut") / "cut.pkl"
        path.write_bytes(whole[: min(n, len(whole) - 1)])
        with pytest.raises(DataError):
            read_array_pickle(path)

    def test_tables_of_pandas(self, tmp_path):
        table = frames(3, roi=1).set_index(["Date", "Genotype", "Frame"])
        path = dump(tmp_path / "t.pkl", table)
        got = read_frame_pickle(path)
        for name, values in table.reset_index().items():
            assert list(got[name]) == list(values), name
        with pytest.raises(DataError, match="pandas table"):
            read_frame_pickle(dump(tmp_path / "no.pkl", [1, 2]))


def frames(n, roi):
    """Rows as the data set of descending neurons has them."""
    return pd.DataFrame(
        {
            "Date": np.full(n, 210830),
            "Genotype": pd.Series(["Ci1xG23"] * n, dtype=object),
            "Frame": np.arange(n) + 5,
            "dFF": np.arange(n) + 100.0 * roi,
            "ROI": np.full(n, roi),
            "Source file": pd.Series(["denoised"] * n, dtype=object),
            "Time": 0.25 + np.arange(n) / 100,
        }
    ).pipe(lambda t: t.set_axis(t.columns.astype(object), axis=1))


@pytest.fixture
def dn_trial(tmp_path):
    folder = tmp_path / "Ci1xG23" / "Fly2" / "rec_trial_003"
    traces = pd.concat([frames(50, roi) for roi in range(3)])
    dump(folder / "2p/roi_dFF.pkl", traces.set_index(["Date", "Genotype", "Frame"]))
    pose = pd.DataFrame(
        {"Frame": np.arange(60), "Pose LF x": 0.0, "Angle LF ThC": np.arange(60.0)}
    )
    pose["Angle LF CTr"] = 1.0
    pose.columns = pose.columns.astype(object)
    dump(folder / "behData/images/df3d/post_processed.pkl", pose)
    said = ["background"] * 20 + ["walking"] * 30 + ["resting"] * 10
    actions = pd.DataFrame({"Frame": np.arange(60), "Prediction": pd.Series(said, dtype=object)})
    actions.columns = actions.columns.astype(object)
    dump(folder / "behData/images/df3d/behaviour_predictions_daart.pkl", actions)
    return folder


class TestDescendingNeurons:
    def test_streams_share_a_clock(self, dn_trial):
        recording = read_descending_neurons(dn_trial)
        assert (recording.name, recording.subject) == (
            "Fly2_rec_trial_003",
            "210830_Ci1xG23_Fly2",
        )
        neural = recording["neural"]
        assert neural.values.shape == (50, 3) and neural.values[4, 2] == 204.0
        # Trace frame 5 is at 0.25 s, so pose frame 0 is at 0.2 s.
        pose = recording["pose"]
        assert pose.times[0] == pytest.approx(0.2) and pose.channels == (
            "Angle LF ThC",
            "Angle LF CTr",
        )
        assert pose.values[np.searchsorted(pose.times, neural.times[0] - 1e-9), 0] == 5.0
        codes = recording["actions"].codes(pose.times + 1e-6)
        assert list(codes) == [-1] * 20 + [1] * 30 + [0] * 10

    def test_other_sources_and_rates_are_refused(self, dn_trial):
        with pytest.raises(DataError, match="there are: denoised"):
            read_descending_neurons(dn_trial, source="warped")
        with pytest.raises(DataError, match=r"100\.0 frames a second, expected 30"):
            read_descending_neurons(dn_trial, fps=30)

    def test_in_a_dataset(self, dn_trial, tmp_path):
        (tmp_path / "dataset.yaml").write_text(
            "recordings:\n  fly:\n    streams:\n      trial: {kind: descending-neurons, file: "
            f"{dn_trial.relative_to(tmp_path)}}}\n"
        )
        assert set(Dataset.open(tmp_path)["fly"].streams) == {"neural", "pose", "actions"}


@pytest.fixture
def mc2p(tmp_path):
    folder = tmp_path / "201008_G23xU1_Fly1_002"
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = rng.random((10, 64, 64)).astype(np.float32)
    images.tofile(folder / "a_2p_dff_tif_padded_resized.mm")
    pose = rng.random((60, 76)).astype(np.float32)
    pose.tofile(folder / "pose_result__videos.mm")
    np.save(folder / "indices.npy", np.repeat(np.arange(10), 6))
    np.save(folder / "rest.npy", np.arange(60) < 30)
    rng.random((60, 42)).astype(np.float32).tofile(folder / "angles.pkl")
    rng.random((10, 64)).astype(np.float32).tofile(folder / "a_2p_dff_tif_padded_resized_ae.mm")
    return folder, images, pose


class TestMC2P:
    def test_names_of_the_reader(self, mc2p):
        folder, images, pose = mc2p
        trial = read_mc2p(folder)
        assert isinstance(trial.images, np.memmap) and np.array_equal(trial.images, images)
        assert trial.subject == "201008_G23xU1_Fly1"
        points = trial.recording["pose"]
        assert np.array_equal(points.positions.reshape(60, 76), pose)
        assert points.times[-1] == pytest.approx(0.59)  # 100 Hz
        assert trial.image_times == pytest.approx(0.025 + 0.06 * np.arange(10))
        assert trial.recording["angles"].values.shape == (60, 42)
        assert trial.recording["latents"].values.shape == (10, 64)
        field_of_view = trial.recording["images"]
        assert isinstance(field_of_view.values, np.memmap) and field_of_view.unit == "dF/F"
        assert np.array_equal(field_of_view.times, trial.image_times)
        rest = trial.recording["rest"]
        assert list(rest.codes(points.times)) == [1] * 30 + [0] * 30

    def test_names_of_the_description(self, mc2p, tmp_path):
        folder, images, pose = mc2p
        other = tmp_path / "200901_G23xU1xCLC_Fly3_001"
        other.mkdir()
        images.tofile(other / "2p_dff_resized.mm")
        dump(other / "pose_result.pkl", {"points": pose.reshape(60, 38, 2)})
        dump(other / "sync_indices.pkl", np.repeat(np.arange(10), 6))
        dump(other / "pose_result_inverse_kinematics.pkl", {"angles": np.ones((60, 42))})
        trial = read_mc2p(other)
        assert np.array_equal(trial.recording["pose"].positions.reshape(60, 76), pose)
        assert trial.recording["pose"].times[1] == pytest.approx(1 / 30)
        assert trial.images is not None and np.array_equal(trial.images, images)
        assert trial.recording["angles"].values.shape == (60, 42)

    def test_what_was_cut_off_is_named(self, mc2p):
        folder, images, pose = mc2p
        path = folder / "a_2p_dff_tif_padded_resized.mm"
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(DataError, match=r"padded_resized\.mm.*cut off"):
            read_mc2p(folder)
        images.tofile(path)
        pose[:50].tofile(folder / "pose_result__videos.mm")
        with pytest.raises(DataError, match="50 frames, but the synchronisation"):
            read_mc2p(folder)
        (folder / "pose_result__videos.mm").unlink()
        with pytest.raises(MissingFileError, match="expected the pose"):
            read_mc2p(folder)

    def test_angles_that_look_like_a_pickle(self, mc2p):
        folder, _, _ = mc2p
        angles = np.ones((60, 42), np.float32)
        angles.view(np.uint8)[0, 0] = 0x80  # the first byte of a pickle
        angles.tofile(folder / "angles.pkl")
        assert np.array_equal(read_mc2p(folder).recording["angles"].values, angles)

    def test_latents_without_images(self, mc2p):
        folder, _, _ = mc2p
        (folder / "a_2p_dff_tif_padded_resized.mm").unlink()
        np.save(folder / "indices.npy", np.repeat(np.arange(10), 6).clip(0, 8))
        trial = read_mc2p(folder)
        assert trial.images is None and trial.recording["latents"].values.shape == (10, 64)
        np.save(folder / "indices.npy", np.zeros(0, int))
        with pytest.raises(DataError, match=r"indices\.npy: expected an image number"):
            read_mc2p(folder)

    def test_images_that_are_not_there(self, mc2p):
        folder, images, _ = mc2p
        images[:8].tofile(folder / "a_2p_dff_tif_padded_resized.mm")
        with pytest.raises(DataError, match="names images 0 to 9"):
            read_mc2p(folder)
        with pytest.raises(DataError, match="YYMMDD_GENOTYPE_FlyN_TRIAL"):
            read_mc2p(folder.parent)

    @needs_flies
    def test_the_annotations(self):
        labels = read_mc2p_annotations(FLIES / "mc2p_annotations_runs.csv")
        assert len(labels) == 13 and sum(len(each.table) for each in labels.values()) == 638
        assert len({name.rsplit("_", 1)[0] for name in labels}) == 7
        table = pd.concat([each.table for each in labels.values()])
        counts: Any = (
            ((table["stop"] - table["start"]) * 100).round().groupby(table["label"]).sum()
        )
        expected = [87256, 50520, 5371, 4052, 3477, 3083, 1483]
        assert sorted(counts.astype(int), reverse=True) == expected
        assert counts.sum() == 155242


class TestDeepFly3D:
    @needs_flies
    @pytest.mark.parametrize("sample", ["a", "b"])
    def test_real_sample(self, tmp_path, sample):
        stored = np.load(FLIES / f"fly_df3d_sample_{sample}.npz")
        result = {k: {} for k in range(7)}
        for key in stored:
            if key.startswith("cam"):
                number, part = key[3:].split("_")
                result[int(number)][part] = stored[key]
        result |= {"points2d": stored["points2d"], "points3d": stored["points3d"]}
        path = dump(tmp_path / "df3d_result.pkl", result)
        recording = read_deepfly3d(path)
        assert np.array_equal(recording["pose"].positions[:, 0], stored["points3d"])
        assert set(recording.streams) == {"pose", *(f"camera{k}" for k in range(7))}
        # Where the calibration sees the points in space is where the cameras saw them.
        cameras = read_deepfly3d_cameras(path)
        assert set(cameras) == set(range(7))
        shown = recording["camera1"].positions[:, 0]
        known = np.isfinite(shown[..., 0])
        miss = np.linalg.norm(cameras[1].project(stored["points3d"]) - shown, axis=-1)
        assert known.mean() == 0.5 and np.median(miss[known]) < 4.0

    def test_side_views_where_nothing_was_triangulated(self, tmp_path):
        points = np.random.default_rng(0).random((7, 5, 38, 2))
        points[1, 0, 0] = (0.5, 0.25)
        points[3, 2, 4] = np.nan  # one that is not known changes no other
        recording = read_deepfly3d(dump(tmp_path / "r.pkl", {"points2d": points}))
        pose = recording["pose"].positions
        assert pose[0, 0, 0].tolist() == [240.0, 240.0]  # column 0.25 of 960, row 0.5 of 480
        assert np.array_equal(pose[:, 0, 19:], recording["camera5"].positions[:, 0, 19:])

    def test_other_pickles(self, tmp_path):
        with pytest.raises(DataError, match="points2d"):
            read_deepfly3d(dump(tmp_path / "r.pkl", {"points3d": np.zeros((2, 38, 3))}))
        with pytest.raises(DataError, match="38"):
            read_deepfly3d(dump(tmp_path / "r.pkl", {"points2d": np.zeros((7, 2, 30, 2))}))


class TestAnipose:
    def table(self, path, drop=()):
        rng = np.random.default_rng(0)
        columns = {}
        for point in ("nose", "left_paw"):
            columns |= {f"{point}_{k}": rng.random(4) for k in ("x", "y", "z", "error", "score")}
            columns[f"{point}_ncams"] = np.full(4, 2)
        columns |= {"M_00": np.ones(4), "center_0": np.zeros(4), "fnum": np.array([0, 1, 3, 4])}
        table = pd.DataFrame({k: v for k, v in columns.items() if k not in drop})
        table.loc[2, [n for n in ("nose_x", "nose_y", "nose_z") if n in table]] = np.nan
        table.to_csv(path, index=False)
        return table

    def test_points_in_space(self, tmp_path):
        table = self.table(tmp_path / "p.csv")
        pose = read_keypoints(tmp_path / "p.csv", fps=10)
        assert pose.keypoints == ("nose", "left_paw") and pose.positions.shape == (4, 1, 2, 3)
        assert pose.times.tolist() == pytest.approx([0, 0.1, 0.3, 0.4]) and pose.unit == "mm"
        assert np.allclose(pose.of("left_paw"), table[["left_paw_x", "left_paw_y", "left_paw_z"]])
        assert np.isnan(pose.of("nose")[2]).all()
        assert np.allclose(pose.confidence[:, 0, 1], table["left_paw_score"])

    def test_missing_column(self, tmp_path):
        self.table(tmp_path / "p.csv", drop=["nose_z"])
        with pytest.raises(DataError, match="nose_z"):
            read_anipose(tmp_path / "p.csv", fps=10)


@needs_flies
def test_the_table_of_probabilities():
    stored = np.load(FLIES / "df3dbehav_probabilities.npz")
    prob = stored["prob"].astype(np.float64)
    assert prob.shape == (25000, 7) and np.allclose(prob.sum(axis=1), 1, atol=5e-3)
    counts = sorted(np.bincount(prob.argmax(axis=1), minlength=7), reverse=True)
    expected = [8961, 5889, 2672, 2315, 2255, 2158, 750]
    assert np.abs(np.array(counts) - expected).max() <= 2  # float16 makes a few ties
