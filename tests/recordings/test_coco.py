"""COCO keypoint files: by hand, there and back, and what is refused."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinbergen.errors import DataError, MissingFileError
from tinbergen.recordings import LabelledFrames, read_coco, write_coco

BY_HAND = {
    "images": [
        {"id": 7, "file_name": "b.png", "width": 8, "height": 6},
        {"id": 3, "file_name": "a.png", "width": 8, "height": 6},
        {"id": 9, "file_name": "empty.png", "width": 8, "height": 6},
    ],
    "annotations": [
        {"id": 1, "image_id": 3, "category_id": 2, "keypoints": [1.5, 2, 2, 0, 0, 0]},
        {"id": 2, "image_id": 3, "category_id": 2, "keypoints": [3, 4, 1, 5, 5, 2]},
        {"id": 3, "image_id": 7, "category_id": 2, "keypoints": [0, 0, 2, 1, 1, 2]},
        {"id": 4, "image_id": 7, "category_id": 1, "bbox": [0, 0, 1, 1]},
    ],
    "categories": [
        {"id": 1, "name": "cage"},
        {"id": 2, "name": "mouse", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]},
    ],
}


def save(tmp_path, content):
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return tmp_path / "labels.json"


def changed(part, number, **values):
    content = json.loads(json.dumps(BY_HAND))
    content[part][number].update(values)
    return content


def test_by_hand(tmp_path):
    labels = read_coco(save(tmp_path, BY_HAND))
    assert labels.images == (tmp_path / "b.png", tmp_path / "a.png")
    assert labels.keypoints == ("nose", "tail")
    assert labels.individuals == ("instance0", "instance1")
    np.testing.assert_array_equal(labels.positions[1, 0], [[1.5, 2], [np.nan, np.nan]])
    np.testing.assert_array_equal(labels.positions[0, 0], [[0, 0], [1, 1]])
    np.testing.assert_array_equal(labels.visible[1], [[True, False], [False, True]])
    assert np.isnan(labels.positions[0, 1]).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"images": []}, "a list under 'annotations'"),
        (
            changed("annotations", 1, keypoints=[1, 2]),
            "annotation 2: expected x, y and .*2 key",
        ),
        (changed("annotations", 0, image_id=5), "annotation 1: there is no image 5"),
        (changed("images", 1, id=7), "two images have the id 7"),
        (changed("categories", 0, keypoints=["x"]), r"found 2 \(there are: cage, mouse\)"),
        (changed("categories", 1, keypoints=["a", "a"]), "stands twice"),
        ({**BY_HAND, "annotations": []}, "no annotation has keypoints"),
    ],
)
def test_refused(tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        read_coco(save(tmp_path, content))


def test_not_there_and_no_json(tmp_path):
    with pytest.raises(MissingFileError):
        read_coco(tmp_path / "labels.json")
    (tmp_path / "labels.json").write_text("x,y")
    with pytest.raises(DataError, match="is not JSON"):
        read_coco(tmp_path / "labels.json")


@given(
    positions=hnp.arrays(np.float64, (2, 2, 3, 2), elements=st.floats(0, 1e4)),
    hidden=hnp.arrays(bool, (2, 2, 3)),
    missing=hnp.arrays(bool, (2, 2, 3)),
)
def test_there_and_back(tmp_path_factory, positions, hidden, missing):
    folder = tmp_path_factory.mktemp("coco")
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), np.zeros((6, 8), np.uint8))
    missing[:, :, 0] = False  # an animal without any label is no annotation
    positions[missing] = np.nan
    labels = LabelledFrames(
        (folder / "a.png", folder / "b.png"),
        ("nose", "ear", "tail"),
        ("instance0", "instance1"),
        positions,
        ~hidden & ~missing,
    )
    write_coco(folder / "labels.json", labels, edges=[("nose", "tail")])
    again = read_coco(folder / "labels.json")
    assert (again.images, again.keypoints) == (labels.images, labels.keypoints)
    np.testing.assert_array_equal(again.positions, labels.positions)
    np.testing.assert_array_equal(again.visible, labels.visible)
    content = json.loads((folder / "labels.json").read_text())
    assert content["categories"][0]["skeleton"] == [[1, 3]]
    assert content["images"][0]["width"] == 8


def test_writing_needs_the_images(tmp_path):
    labels = read_coco(save(tmp_path, BY_HAND))
    with pytest.raises(DataError, match=r"b\.png: cannot be read"):
        write_coco(tmp_path / "out.json", labels)


def test_real_files(real_data):
    files = sorted((real_data / "video/labelled_images_mmpose").glob("*/*.json"))
    if not files:
        pytest.skip("no labelled_images_mmpose")
    read = 0
    for file in files:
        if file.parent.name == "ap10k":  # many kinds of animals
            with pytest.raises(DataError, match="expected one category"):
                read_coco(file)
            continue
        labels = read_coco(file)
        assert not labels.missing_images()
        for image, points in zip(labels.images, labels.positions, strict=True):
            height, width = np.array(cv2.imread(str(image), 0)).shape
            inside = (points >= -1) & (points <= [width, height])
            assert (inside | np.isnan(points)).all()
        read += 1
    assert read >= 5
