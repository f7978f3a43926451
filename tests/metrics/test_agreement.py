"""Agreement of several raters."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tinbergen.errors import DataError
from tinbergen.metrics import rater_agreement
from tinbergen.recordings import read_labels


def test_pairs_by_hand():
    ann = [np.array([0, 0, 1, 1, 2, 2, 2]), np.array([2, 2, 0, -1])]
    bob = [np.array([0, 0, 1, 1, 2, 2, 2]), np.array([2, 2, 0, 1])]
    cat = [np.array([0, 1, 1, 1, 2, 2, 0]), np.array([2, 2, 1, 1])]
    found = rater_agreement({"ann": ann, "bob": bob, "cat": cat}, 3, background=2)
    assert found.pairs == (("ann", "bob"), ("ann", "cat"), ("bob", "cat"))
    assert found.kappa[0] == 1 and found.segment_f1[0] == 1 and found.edit[0] == 1
    a, c = np.concatenate(ann), np.concatenate(cat)
    assert found.kappa[1] == pytest.approx(cohen_kappa_score(a[a >= 0], c[a >= 0]))
    # Class 0: one frame of both, two more of ann, one more of cat; class 1: two of both, two more.
    assert found.class_f1[1, :2] == pytest.approx([2 / 5, 4 / 6])
    assert found.macro_f1[1] == pytest.approx((2 / 5 + 4 / 6) / 2)
    # Bouts 0 and 1 of the first session agree by half or more; one more of each rater does not.
    assert found.segment_f1[1] == pytest.approx(2 * 2 / (3 + 4))
    assert found.edit[1] == pytest.approx((2 / 3 + 0) / 2)
    assert found.n_sessions == 2
    low, high = found.intervals["kappa"]
    assert low <= found.kappa.mean() <= high


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ({"a": [[0]]}, "two or more raters"),
        ({"a": [[0]], "b": [[0], [1]]}, "two or more raters of the same sessions"),
        ({"a": [[0, 1]], "b": [[0]]}, "session 0, a and b: expected codes of the same frames"),
        ({"a": [[0, -1]], "b": [[-1, 0]]}, "no frame was scored by two"),
    ],
)
def test_refuses(ratings, message):
    with pytest.raises(DataError, match=message):
        rater_agreement(ratings, 2)


def test_two_people_on_an_open_field(real_data):
    path = real_data / "actions" / "oft-raters" / "AllLabDataOFT_final.csv"
    classes = ("Supported", "Unsupported", "Grooming")
    times = np.arange(15000) / 25
    ratings: dict[str, list] = {}
    for rater in ("Jin", "Oliver"):
        for video in ("OFT_5", "OFT_11", "OFT_12"):
            where = {"ID": video, "Experimenter": rater, "type": list(classes)}
            labels = read_labels(path, classes, where=where, overlaps=True, observed="all")
            multi = labels.multi(times) == 1
            codes = np.where(multi.any(axis=1), multi.argmax(axis=1), 3)
            ratings.setdefault(rater, []).append(codes)
    found = rater_agreement(ratings, 4, background=3)
    assert 0.75 < found.kappa[0] < 0.9
    assert 0.85 < found.class_f1[0, 0] < 0.95
    assert found.n_frames == 45000
