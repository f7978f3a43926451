"""SLEAP projects and analysis files: by hand, there and back, and what is refused."""

import json
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings import (
    Keypoints,
    LabelledFrames,
    Video,
    read_sleap,
    read_sleap_analysis,
    read_sleap_labels,
    write_sleap,
    write_sleap_analysis,
    write_sleap_labels,
)
from tinbergen.recordings.sleap_file import (
    _FRAMES,
    _INSTANCES,
    _POINTS,
    _PREDICTED_POINTS,
    PREDICTED,
    USER,
    read_sleap_file,
)

finite = st.floats(-1e4, 1e4, width=64)


def by_hand(path, *, version=1.2, nodes=("a", "b"), order=(1, 0), backend=None, **changes: Any):
    """Write a project of three frames: a prediction, its correction, and another track."""
    frames = np.array([(0, 0, 4, 0, 2), (1, 0, 7, 2, 4)], _FRAMES)
    instances = np.zeros(4, _INSTANCES)
    instances["instance_id"] = range(4)
    instances["instance_type"] = [PREDICTED, USER, PREDICTED, PREDICTED]
    instances["frame_id"] = [0, 0, 1, 1]
    instances["track"] = [0, 0, 0, 1]
    instances["from_predicted"] = [-1, 0, -1, -1]
    instances["point_id_start"] = [0, 0, 2, 4]
    instances["point_id_end"] = [2, 2, 4, 6]
    points = np.array([(10.0, 20.0, True, True), (99.0, 99.0, False, False)], _POINTS)
    predicted = np.zeros(6, _PREDICTED_POINTS)
    predicted["x"], predicted["y"] = np.arange(6), np.arange(6) * 10
    predicted["visible"], predicted["score"] = True, np.arange(6) / 10
    tables = {"frames": frames, "instances": instances, "points": points, "pred_points": predicted}
    metadata = {
        "nodes": [{"name": name} for name in nodes],
        "skeletons": [{"nodes": [{"id": i} for i in order], "links": []}],
    }
    with h5py.File(path, "w") as file:
        group = file.create_group("metadata")
        group.attrs["format_id"] = version
        group.attrs["json"] = np.bytes_(json.dumps(metadata))
        for name, table in {**tables, **changes}.items():
            if table is not None:
                file[name] = table
        file["videos_json"] = np.array(
            [np.bytes_(json.dumps({"backend": backend or {"filename": "clip.mp4"}}))]
        )
        file["tracks_json"] = np.array([np.bytes_('[0, "left one"]'), np.bytes_('[4, "b"]')])
    return path


class TestReading:
    def test_by_hand(self, tmp_path):
        pose = read_sleap(by_hand(tmp_path / "p.slp"), fps=10)
        assert pose.keypoints == ("b", "a")  # in the order of the skeleton, not of the node list
        assert pose.individuals == ("left one", "b")
        np.testing.assert_array_equal(pose.times, [0.4, 0.7])
        # The correction counts, and what is not visible is missing.
        np.testing.assert_array_equal(pose.positions[0, 0], [[10, 20], [np.nan, np.nan]])
        assert np.isnan(pose.confidence[0, 0]).all()
        np.testing.assert_array_equal(pose.positions[1, 0], [[2, 20], [3, 30]])
        np.testing.assert_array_equal(pose.confidence[1, 1], [0.4, 0.5])
        assert np.isnan(pose.positions[0, 1]).all()

    def test_the_first_version_counted_from_the_corner(self, tmp_path):
        old = read_sleap(by_hand(tmp_path / "p.slp", version=1.0), fps=1)
        new = read_sleap(by_hand(tmp_path / "q.slp", version=1.1), fps=1)
        np.testing.assert_array_equal(old.positions, new.positions - 0.5)

    def test_without_tracks_instances_are_numbered(self, tmp_path):
        instances = by_hand(tmp_path / "p.slp") and read_rows(tmp_path / "p.slp")
        instances["track"] = -1
        pose = read_sleap(by_hand(tmp_path / "q.slp", instances=instances), fps=1)
        assert pose.individuals == ("instance0", "instance1")
        np.testing.assert_array_equal(pose.positions[1, 1], [[4, 40], [5, 50]])

    def test_labels_of_an_image_sequence(self, tmp_path):
        names = [f"img{i}.png" for i in range(8)]
        for name in names:
            cv2.imwrite(str(tmp_path / name), np.zeros((4, 4), np.uint8))
        path = by_hand(tmp_path / "p.slp", backend={"filenames": names})
        labels = read_sleap_labels(path, tmp_path / "frames")
        assert labels.images == (tmp_path / "img4.png",)
        np.testing.assert_array_equal(labels.positions[0, 0, 0], [10, 20])
        np.testing.assert_array_equal(labels.visible[0, 0], [True, False])
        assert not (tmp_path / "frames").exists()

    def test_labels_of_a_package(self, tmp_path):
        path = by_hand(tmp_path / "p.pkg.slp")
        image = np.arange(200, dtype=np.uint8).reshape(10, 20)
        with h5py.File(path, "a") as file:
            kind = h5py.vlen_dtype(np.int8)
            data = file.create_dataset("video0/video", (1,), dtype=kind)
            data[0] = cv2.imencode(".png", image)[1].view(np.int8).ravel()
            file["video0/frame_numbers"] = [4]
        labels = read_sleap_labels(path, tmp_path / "frames")
        np.testing.assert_array_equal(cv2.imread(str(labels.images[0]), 0), image)
        again = read_sleap_labels(path, tmp_path / "frames")
        assert again.images == labels.images


def read_rows(path) -> Any:
    with h5py.File(path) as file:
        return file["instances"][:]  # type: ignore[index]


class TestRefused:
    def test_not_there_and_no_hdf5(self, tmp_path):
        with pytest.raises(MissingFileError):
            read_sleap(tmp_path / "p.slp", fps=1)
        (tmp_path / "p.slp").write_text("scorer")
        with pytest.raises(DataError, match=r"p\.slp is not a SLEAP project: it is no HDF5 file"):
            read_sleap(tmp_path / "p.slp", fps=1)

    @pytest.mark.parametrize("name", ["frames", "pred_points"])
    def test_a_table_is_missing(self, tmp_path, name):
        with pytest.raises(DataError, match=f"found no '{name}'"):
            read_sleap(by_hand(tmp_path / "p.slp", **{name: None}), fps=1)  # type: ignore[arg-type]

    def test_a_column_is_missing(self, tmp_path):
        points = np.zeros(2, [("x", "f8"), ("y", "f8"), ("complete", "?")])
        with pytest.raises(DataError, match=r"points: expected a column 'visible', found x, y"):
            read_sleap(by_hand(tmp_path / "p.slp", points=points), fps=1)

    def test_cut_off(self, tmp_path):
        points = np.zeros(3, _PREDICTED_POINTS)
        with pytest.raises(DataError, match="rows up to 6 of pred_points are named, but it has 3"):
            read_sleap(by_hand(tmp_path / "p.slp", pred_points=points), fps=1)

    def test_a_track_twice_in_a_frame(self, tmp_path):
        by_hand(tmp_path / "p.slp")
        instances = read_rows(tmp_path / "p.slp")
        instances["track"][3] = 0
        with pytest.raises(DataError, match="track 'left one' stands twice in frame 7"):
            read_sleap(by_hand(tmp_path / "q.slp", instances=instances), fps=1)

    def test_another_video_and_no_video(self, tmp_path):
        path = by_hand(tmp_path / "p.slp")
        with pytest.raises(DataError, match=r"1 videos \(from 0\); asked for number 1"):
            read_sleap(path, fps=1, video=1)
        with pytest.raises(MissingFileError, match=r"labelled on clip\.mp4"):
            read_sleap_labels(path, tmp_path / "frames")

    def test_a_video_that_is_too_short(self, tmp_path):
        with pytest.raises(DataError, match="a row for frame 7, but the video has only 5"):
            read_sleap(by_hand(tmp_path / "p.slp"), times=np.arange(5.0))

    def test_nothing_labelled_by_hand(self, tmp_path):
        write_sleap(tmp_path / "p.slp", keypoints(np.zeros((2, 1, 1, 2))), "v.mp4")
        with pytest.raises(DataError, match="nothing in this video was labelled by hand"):
            read_sleap_labels(tmp_path / "p.slp", tmp_path / "frames")

    def test_analysis_files(self, tmp_path):
        with pytest.raises(DataError, match="A project is read with read_sleap"):
            read_sleap_analysis(by_hand(tmp_path / "p.slp"), fps=1)
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["tracks"] = np.zeros((5, 3, 2, 1))
            file["node_names"] = np.array([b"a", b"b", b"c"])
        with pytest.raises(
            DataError, match=r"expected \(track, 2, 3, frame\), found \(5, 3, 2, 1"
        ):
            read_sleap_analysis(tmp_path / "a.h5", fps=1)
        with pytest.raises(DataError, match="read_sleap_analysis"):
            read_sleap(tmp_path / "a.h5", fps=1)


def keypoints(positions, confidence: Any = None, individuals=None):
    n = positions.shape[1]
    names = individuals or (("individual",) if n == 1 else tuple(f"fly {i}" for i in range(n)))
    nodes = tuple(f"node{i}" for i in range(positions.shape[2]))
    return Keypoints(np.arange(len(positions)), positions, confidence, nodes, names)


@st.composite
def poses(draw):
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=4))
    positions = draw(hnp.arrays(np.float64, (*shape, 2), elements=finite))
    positions[draw(hnp.arrays(bool, shape))] = np.nan
    positions[-1, :, 0] = 1.5  # tracks that are never seen are not part of a project
    confidence = draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1)))
    confidence[np.isnan(positions[..., 0])] = np.nan
    return keypoints(positions, confidence)


class TestThereAndBack:
    @given(pose=poses())
    def test_a_project(self, tmp_path_factory, pose):
        path = tmp_path_factory.mktemp("slp") / "p.slp"
        write_sleap(path, pose, "v.mp4", edges=[("node0", "node0")])
        again = read_sleap(path, fps=1)
        assert again.keypoints == pose.keypoints
        rows = again.times.astype(int)
        np.testing.assert_array_equal(again.positions, pose.positions[rows])
        np.testing.assert_array_equal(again.confidence, pose.confidence[rows])
        assert np.isnan(np.delete(pose.positions, rows, axis=0)).all()

    @given(pose=poses())
    def test_an_analysis_file(self, tmp_path_factory, pose):
        path = tmp_path_factory.mktemp("h5") / "p.h5"
        write_sleap_analysis(path, pose)
        again = read_sleap_analysis(path, fps=1)
        assert (again.keypoints, again.individuals) == (pose.keypoints, pose.individuals)
        np.testing.assert_array_equal(again.positions, pose.positions)
        np.testing.assert_array_equal(again.confidence, pose.confidence)

    def test_labels(self, tmp_path):
        for name in ("a.png", "b.png"):
            cv2.imwrite(str(tmp_path / name), np.zeros((4, 4), np.uint8))
        positions = np.array([[[[1.25, 2], [np.nan, np.nan]]], [[[3, 4], [5, 6]]]], dtype=float)
        labels = LabelledFrames(
            (tmp_path / "a.png", tmp_path / "b.png"),
            ("x", "y"),
            ("individual",),
            positions,
            np.isfinite(positions[..., 0]),
        )
        write_sleap_labels(tmp_path / "p.slp", labels)
        again = read_sleap_labels(tmp_path / "p.slp", tmp_path)
        assert (again.images, again.keypoints) == (labels.images, labels.keypoints)
        np.testing.assert_array_equal(again.positions, labels.positions)
        np.testing.assert_array_equal(again.visible, labels.visible)


def test_real_projects(real_data, tmp_path):
    folder = real_data / "video/multi_animal_tracks_dreem"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    pose = read_sleap(folder / "two_flies.slp", Video(folder / "two_flies.mp4"))
    assert pose.positions.shape == (128, 2, 13, 2)
    assert pose.individuals == ("F", "M")
    labels = read_sleap_labels(folder / "two_flies.slp", tmp_path / "frames")
    assert not labels.missing_images()
    np.testing.assert_array_equal(labels.positions, pose.positions)
    image = np.array(cv2.imread(str(labels.images[60]), 0))
    thorax = labels.positions[60, :, labels.keypoints.index("thorax")]
    for x, y in np.rint(thorax).astype(int):  # flies are bright on a dark floor
        assert image[y - 3 : y + 4, x - 3 : x + 4].mean() > np.percentile(image, 99)
    broken = real_data / "video/flies_centered_pair_sleap/centered_pair_predictions.slp"
    found = read_sleap_file(broken)
    assert len(found.tracks) == 27
    assert len(found.frames) == 2274
