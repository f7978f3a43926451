"""Keypoint tables: strict reading, exact writing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings import (
    Keypoints,
    LabelledFrames,
    read_dlc_csv,
    read_dlc_h5,
    read_labelled_frames,
    write_dlc_csv,
    write_dlc_h5,
    write_labelled_frames,
)
from tinbergen.recordings.plain_pickle import read_plain_pickle

SINGLE = """scorer,net,net,net,net,net,net
bodyparts,nose,nose,nose,tail,tail,tail
coords,x,y,likelihood,x,y,likelihood
0,1.5,2,0.9,3,4,0.1
1,,,0.2,5,6,1
"""
numbers = st.floats(width=64, allow_infinity=False)


def write(tmp_path: Path, text: str, name: str = "pose.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


class TestDlcH5:
    @given(data=st.data(), animals=st.sampled_from([("individual",), ("mouse",), ("a", "b")]))
    @settings(max_examples=25)
    def test_round_trip(self, tmp_path_factory, data, animals):
        shape = (3, len(animals), 2, 2)
        positions = data.draw(hnp.arrays(np.float64, shape, elements=numbers))
        confidence = data.draw(hnp.arrays(np.float64, shape[:3], elements=numbers))
        pose = Keypoints(np.arange(3.0), positions, confidence, ("nose", "tail"), animals)
        path = tmp_path_factory.mktemp("h5") / "pose.h5"
        write_dlc_h5(path, pose, scorer="net")
        again = read_dlc_h5(path, fps=1)
        assert (again.keypoints, again.individuals) == (pose.keypoints, pose.individuals)
        np.testing.assert_array_equal(again.positions, pose.positions)
        np.testing.assert_array_equal(again.confidence, pose.confidence)

    def test_the_layout_is_that_of_pandas(self, real_data, tmp_path):
        """Every attribute of a file that pandas wrote is there, of the same type."""
        real = real_data / "video/horse_labelled_video_amadeus/BrownHorseinShadow_gt.h5"
        if not real.is_file():
            pytest.skip(f"no recordings at {real}")
        path = tmp_path / "pose.h5"
        write_dlc_h5(path, read_dlc_h5(real, fps=24), scorer="Byron")
        with h5py.File(real) as theirs, h5py.File(path) as ours:
            for place in ("/", "df_with_missing", "df_with_missing/table"):
                expected: Any = theirs[place].attrs
                for name, value in expected.items():
                    found: Any = ours[place].attrs[name]
                    assert type(found) is type(value) or name == "FIELD_0_FILL", (place, name)
                    if name.endswith(("_cols", "info", "non_index_axes", "block_0_kind")):
                        assert read_plain_pickle(found) == read_plain_pickle(value)
                    elif not name.startswith(("FIELD_0", "index_kind")):
                        assert isinstance(value, h5py.Empty) or found == value, (place, name)
            a: Any = theirs["df_with_missing/table"]
            b: Any = ours["df_with_missing/table"]
            np.testing.assert_array_equal(a["values_block_0"], b["values_block_0"])

    def test_pandas_reads_it(self, tmp_path):
        pytest.importorskip("tables", reason="pandas reads HDF5 with PyTables only")
        import pandas as pd

        positions = np.arange(32.0).reshape(4, 2, 2, 2)
        pose = Keypoints(np.arange(4.0), positions, individuals=("a", "b"))
        write_dlc_h5(tmp_path / "pose.h5", pose)
        frame: Any = pd.read_hdf(tmp_path / "pose.h5", "df_with_missing")
        assert list(frame.columns.names) == ["scorer", "individuals", "bodyparts", "coords"]
        np.testing.assert_array_equal(frame.to_numpy().reshape(4, 2, 2, 2), pose.positions)

    @pytest.mark.parametrize(
        ("kind", "named", "said"),
        [
            ([("index", "<i8"), ("speed", "<f8")], None, "expected columns .* found index, speed"),
            ([("values_block_0", "<f8", (2,))], b"(lp0\n.", "not a DeepLabCut .h5 .* index"),
            ([("index", "<i8"), ("values_block_0", "<f8", (2,))], b"(lp0\n.", "expected columns"),
        ],
    )
    def test_tables_of_something_else(self, tmp_path, kind, named, said):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            table = file.create_dataset("df_with_missing/table", data=np.zeros(3, kind))
            if named:
                table.attrs["values_block_0_kind"] = np.bytes_(named)
        with pytest.raises(DataError, match=f"{said}.*Use the .csv"):
            read_dlc_h5(tmp_path / "a.h5", fps=1)

    def test_more_columns_than_it_can_name(self, tmp_path):
        names = tuple(f"a keypoint with a long name, number {k}" for k in range(900))
        pose = Keypoints(np.arange(1.0), np.zeros((1, 1, 900, 2)), keypoints=names)
        with pytest.raises(DataError, match=r"1800 columns .* write a \.csv"):
            write_dlc_h5(tmp_path / "pose.h5", pose)
        assert not (tmp_path / "pose.h5").exists()


class TestDlcCsv:
    def test_by_hand(self, tmp_path):
        pose = read_dlc_csv(write(tmp_path, SINGLE), fps=10)
        assert pose.keypoints == ("nose", "tail")
        np.testing.assert_array_equal(pose.times, [0, 0.1])
        np.testing.assert_array_equal(pose.of("nose"), [[1.5, 2], [np.nan, np.nan]])
        np.testing.assert_array_equal(pose.confidence[:, 0, 1], [0.1, 1])

    def test_two_and_four_header_rows(self, tmp_path):
        short = SINGLE.split("\n", 1)[1]
        assert read_dlc_csv(write(tmp_path, short), fps=1).keypoints == ("nose", "tail")
        animals = SINGLE.replace("bodyparts", "individuals,a,a,a,b,b,b\nbodyparts")
        animals = animals.replace("tail", "nose")
        pose = read_dlc_csv(write(tmp_path, animals), fps=1)
        assert pose.individuals == ("a", "b")
        np.testing.assert_array_equal(pose.of("nose", "b"), [[3, 4], [5, 6]])

    def test_unequal_animals_are_filled_with_nan(self, tmp_path):
        text = (
            "scorer,s,s,s,s\nindividuals,a,a,single,single\nbodyparts,nose,nose,box,box\n"
            "coords,x,y,x,y\n0,1,2,3,4\n"
        )
        pose = read_dlc_csv(write(tmp_path, text), fps=1)
        np.testing.assert_array_equal(pose.of("box", "single"), [[3, 4]])
        assert np.isnan(pose.of("box", "a")).all()

    def test_rows_are_placed_by_frame_number(self, tmp_path):
        text = SINGLE.replace("\n1,", "\n7,")
        np.testing.assert_array_equal(
            read_dlc_csv(write(tmp_path, text), np.arange(10) * 2.0).times, [0, 14]
        )

    @settings(max_examples=40, deadline=None)
    @given(data=st.data(), people=st.integers(1, 3), space=st.sampled_from([2, 3]))
    def test_round_trip_to_the_last_bit(self, tmp_path_factory, data, people, space):
        shape = (data.draw(st.integers(0, 4)), people, 2, space)
        pose = Keypoints(
            np.arange(shape[0]) * 0.5,
            data.draw(hnp.arrays(np.float64, shape, elements=numbers)),
            data.draw(hnp.arrays(np.float64, shape[:3], elements=numbers)),
            ("nose, left", 'tail "base"'),
            ("individual",) if people == 1 else tuple(f"Maus {i}" for i in range(people)),
        )
        path = tmp_path_factory.mktemp("round") / "x.csv"
        write_dlc_csv(path, pose)
        again = read_dlc_csv(path, fps=2)
        assert again.keypoints == pose.keypoints and again.individuals == pose.individuals
        np.testing.assert_array_equal(again.positions, pose.positions)
        np.testing.assert_array_equal(again.confidence, pose.confidence)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("bodyparts", "joints", "the row 'bodyparts' is missing"),
            ("0.2,5", "0.2,5x", r"line 5 \(1\): expected a number or nothing, found '5x'"),
            ("5,6,1\n", "5,6\n", "line 5: expected 7 cells .* found 6"),
            ("tail,tail,tail", "nose,nose,nose", "individual/nose/x stands twice"),
            ("x,y,likelihood\n", "x,z,likelihood\n", "tail of individual lacks x or y"),
            ("coords,x", "coords,u", "column 2: expected a body part"),
            ("\n1,", "\n0,", "frame 0 follows frame 0"),
            ("\n1,", "\nimg1.png,", "use read_labelled_frames"),
        ],
    )
    def test_says_where_and_what(self, tmp_path, old, new, message):
        path = write(tmp_path, SINGLE.replace(old, new))
        with pytest.raises(DataError, match=message) as error:
            read_dlc_csv(path, fps=1)
        assert str(path) in str(error.value)

    def test_needs_times(self, tmp_path):
        with pytest.raises(DataError, match="give either times"):
            read_dlc_csv(write(tmp_path, SINGLE))

    def test_longer_than_the_video(self, tmp_path):
        with pytest.raises(DataError, match="row for frame 1, but the video has only 1"):
            read_dlc_csv(write(tmp_path, SINGLE), np.zeros(1))

    def test_absent_and_binary(self, tmp_path):
        with pytest.raises(MissingFileError):
            read_dlc_csv(tmp_path / "gone.csv", fps=1)
        (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x01")
        with pytest.raises(DataError, match="not a CSV text file"):
            read_dlc_csv(tmp_path / "b.csv", fps=1)

    def test_empty(self, tmp_path):
        with pytest.raises(DataError, match="row 'bodyparts' is missing"):
            read_dlc_csv(write(tmp_path, ""), fps=1)


class TestLightningPose:
    def test_set_column(self, tmp_path):
        lines = SINGLE.splitlines()
        text = "\n".join([lines[0] + ",set", *(line + "," for line in lines[1:3])])
        text += "\n" + "\n".join(line + ",train" for line in lines[3:])
        pose = read_dlc_csv(write(tmp_path, text), fps=1)
        np.testing.assert_array_equal(pose.of("tail"), [[3, 4], [5, 6]])


class TestLabelledFrames:
    TEXT = (
        "scorer,me,me,me\nbodyparts,nose,nose,nose\ncoords,x,y,visible\n"
        "labeled-data/a/img1.png,1,2,1\nlabeled-data/a/img2.png,3,4,0\n"
    )

    def test_visible_and_root(self, tmp_path):
        image = tmp_path / "labeled-data" / "a" / "img1.png"
        image.parent.mkdir(parents=True)
        image.touch()
        path = image.parent / "CollectedData_me.csv"
        path.write_text(self.TEXT)
        frames = read_labelled_frames(path)
        assert frames.images[0] == image
        assert [p.name for p in frames.missing_images()] == ["img2.png"]
        np.testing.assert_array_equal(frames.visible[:, 0, 0], [True, False])

    def test_without_the_scorer_row_it_reads_the_same(self, tmp_path):
        whole = read_labelled_frames(write(tmp_path, self.TEXT), root=tmp_path)
        without = self.TEXT.split("\n", 1)[1]
        frames = read_labelled_frames(write(tmp_path, without), root=tmp_path)
        assert (frames.scorer, frames.images, frames.keypoints) == (
            "",
            whole.images,
            whole.keypoints,
        )
        np.testing.assert_array_equal(frames.positions, whole.positions)
        with pytest.raises(DataError, match="'bodyparts' is missing"):
            read_labelled_frames(write(tmp_path, self.TEXT.replace("scorer", "", 1)))

    def test_hidden_is_not_seen(self, tmp_path):
        """Lightning Pose: 0 no label, 1 hidden, 2 seen; all of them may be at a place."""
        rows = "".join(f"img{k}.png,1,2,{flag}\n" for k, flag in enumerate(["0", "1", "2", ""]))
        frames = read_labelled_frames(write(tmp_path, self.TEXT.split("labeled-data")[0] + rows))
        np.testing.assert_array_equal(frames.visible[:, 0, 0], [False, False, True, True])
        assert np.isfinite(frames.positions).all()

    def test_three_index_cells(self, tmp_path):
        text = (
            "scorer,,,me,me\nbodyparts,,,nose,nose\ncoords,,,x,y\n"
            "labeled-data,day 1,img1.png,1,2\n"
        )
        frames = read_labelled_frames(write(tmp_path, text))
        assert frames.images[0] == tmp_path / "labeled-data" / "day 1" / "img1.png"

    def test_same_image_twice(self, tmp_path):
        text = self.TEXT.replace("img2", "img1")
        with pytest.raises(DataError, match="img1.png has two rows"):
            read_labelled_frames(write(tmp_path, text))

    def test_round_trip(self, tmp_path):
        frames = read_labelled_frames(write(tmp_path, self.TEXT), root=tmp_path)
        write_labelled_frames(tmp_path / "again.csv", frames, tmp_path)
        again = read_labelled_frames(tmp_path / "again.csv", root=tmp_path)
        assert again.images == frames.images and again.scorer == "me"
        np.testing.assert_array_equal(again.positions, frames.positions)
        np.testing.assert_array_equal(again.visible, frames.visible)

    def test_what_is_hidden_of_several_animals_reads_back(self, tmp_path):
        rng = np.random.default_rng(0)
        positions = rng.uniform(0, 90, (5, 2, 3, 2))
        positions[rng.random((5, 2, 3)) < 0.3] = np.nan
        labelled = np.isfinite(positions).all(axis=-1)
        frames = LabelledFrames(
            tuple(tmp_path / f"img{k}.png" for k in range(5)), ("a", "b", "c"), ("one", "two"),
            positions, labelled & (rng.random(labelled.shape) < 0.5),
        )  # fmt: skip
        write_labelled_frames(tmp_path / "labels.csv", frames, tmp_path)
        again = read_labelled_frames(tmp_path / "labels.csv", root=tmp_path)
        np.testing.assert_array_equal(again.positions, positions)
        np.testing.assert_array_equal(again.visible, frames.visible)
        assert again.individuals == frames.individuals


class TestPlainPickle:
    def test_code_is_refused(self):
        import pickle

        class Evil:
            def __reduce__(self):
                return print, ("boo",)

        for protocol in (0, 2, 4):
            with pytest.raises(DataError, match="could run code"):
                read_plain_pickle(pickle.dumps([Evil()], protocol))

    @given(
        st.lists(st.tuples(st.text(), st.integers(), st.sampled_from(["x", "y"]))),
        st.sampled_from([0, 1, 2, 3, 4]),
    )
    def test_plain_values(self, value, protocol):
        import pickle

        assert read_plain_pickle(pickle.dumps(value, protocol)) == value


class TestRealFiles:
    @pytest.mark.parametrize(
        ("name", "frames", "keypoints", "share"),
        [
            ("mouse_treadmill_mirror_lp/CollectedData.csv", 90, 17, 0.91),
            ("mouse_openfield_top_dlc/labeled-data/m4s1/CollectedData_Pranav.csv", 116, 4, 1.0),
            (
                "mouse_reaching_headfixed_dlc/labeled-data/reachingvideo1/"
                "CollectedData_Mackenzie.csv",
                55,
                5,
                0.85,
            ),
        ],
    )
    def test_labelled(self, real_data, name, frames, keypoints, share):
        labelled = read_labelled_frames(real_data / "video" / name)
        assert labelled.positions.shape == (frames, 1, keypoints, 2)
        assert labelled.visible.mean() == pytest.approx(share, abs=0.005)
        assert not labelled.missing_images()

    @pytest.mark.parametrize(
        ("pattern", "shape"),
        [
            ("video/eks_ensemble_predictions/mirror-mouse/*rng=0.csv", (2000, 1, 8, 2)),
            ("video/mouse_openfield_bottom_vame/cropped_video.csv", (750, 1, 6, 2)),
            ("actions/rat-dyads/dlc/12DLC*.csv", (12987, 2, 5, 2)),
            ("actions/mouse-adult-juvenile/*_dlc.csv", (5700, 2, 7, 2)),
        ],
    )
    def test_tracked_round_trip(self, real_data, tmp_path, pattern, shape):
        pose = read_dlc_csv(next(real_data.glob(pattern)), fps=30)
        assert pose.positions.shape == shape
        write_dlc_csv(tmp_path / "x.csv", pose)
        again = read_dlc_csv(tmp_path / "x.csv", fps=30)
        np.testing.assert_array_equal(again.positions, pose.positions)
        np.testing.assert_array_equal(again.confidence, pose.confidence)

    def test_h5(self, real_data):
        path = real_data / "video/horse_labelled_video_amadeus/BrownHorseinShadow_gt.h5"
        pose = read_dlc_h5(path, fps=24)
        assert pose.positions.shape == (308, 1, 22, 2)
        assert pose.keypoints[0] == "Nose"
        assert (np.nanmax(pose.positions, axis=(0, 1, 2)) <= [288, 162]).all()
