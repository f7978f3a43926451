"""Files of labels as people really have them: cut short, mistyped, in odd encodings."""

import numpy as np
import pandas as pd
import pytest

from tinbergen.errors import DataError
from tinbergen.recordings import Intervals, Labels, open_labels, write_labels

FRAMES = np.arange(50) / 10  # s
BORIS = "Observation id,Subject,Behavior,Behavior type,Time,FPS (frame/s)\n"


@pytest.fixture
def read(tmp_path):
    def call(content, **options):
        path = tmp_path / "labels.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return open_labels(path, **options)

    return call


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, "its first line holds: nothing"),
        (bytes(range(256)) * 20, {}, "its first line holds: no text"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 500, {}, "is not an NWB file, or is damaged"),
        ("a,b\n1,2\n", {"format": "nwb"}, "is not an NWB file"),
        ("a,b\n1,2\n", {"format": "integer"}, "one column of labels, found a, b"),
        ("a,b\n1,2\n", {"format": "excel"}, "Formats of labels are bouts, .*'excel'"),
        ("start;stop;label\n0,5;2;walk\n", {}, "line 2, column 'start'.*decimals with a point"),
        ('start,stop,label\n0,1,"walk\n2,3,rest\n', {}, "up to line 3.*quote not closed"),
        (f'start,stop,label\n0,1,"{"x" * 200_000}"\n', {}, "field larger"),
        ("start,stop,label,Label\n0,1,walk,rest\n", {}, "several columns 'label'"),
        (
            "start,stop,label\n-3,1,walk\n",
            {"times": FRAMES},
            "line 2: labels begin 3.000 s before",
        ),
        ("start,stop,label\n0,1,walk\n", {"times": []}, "hold no frame"),
        ("start_frame,stop_frame,label\n0,1e300,walk\n", {"fps": 1}, "line 2: expected whole"),
        ("frame,label\n0,walk\n", {"fps": 0}, "expected fps above 0, found 0"),
        ("frame,label\n0,walk\n", {"fps": float("nan")}, "expected fps above 0, found nan"),
        ("frame,label\n0,0\n1,walk\n", {"fps": 1}, "line 3, column 'label': 'walk' among numbers"),
        ("frame,walk,rest\n0,1,0\n1,0,1,1\n", {"fps": 1}, "Expected 3 fields in line 3"),
        ("frame,walk,rest\n0,1,0\n1,,1\n", {"fps": 1}, "line 3, column 'walk'.*found nothing"),
        ("frame,walk,walk\n0,1,0\n", {"fps": 1}, "several columns 'walk'"),
        ("frame,walk,rest\n0,1,0\n1,-1,0\n", {"fps": 1}, "line 3: -1 means that nobody scored"),
        (BORIS + "a,,jump,POINT,9,10\n", {"times": FRAMES}, "line 2: labels go on for 4.1"),
        (
            BORIS + "a,,jump,POINT,-5,10\n",
            {"times": FRAMES},
            "line 2: labels begin 5.000 s before",
        ),
        ("Caltech Behavior Annotator\nS1:\n ² 5 walk\n", {"fps": 1}, "line 3: expected a first"),
        ("Bento annotation file\nCh1----------\n1 2\n", {"fps": 1}, "line 3: a bout before any"),
    ],
)
def test_refuses(read, content, options, message):
    with pytest.raises(DataError, match=message):
        read(content, **options)


def test_a_blank_line_in_one_column_is_a_frame(read):
    found = read("label\nwalk\n\nwalk\nrest\n", fps=1.0)
    assert found.labels.codes(np.arange(4)).tolist() == [1, -1, 1, 0]
    assert "1 of 4 rows are empty" in found.notes[0]
    numbers = read("\nlabel\n0\n\n1\n", fps=1.0, classes=["rest", "walk"])
    assert numbers.labels.codes(np.arange(3)).tolist() == [0, -1, 1]


def test_none_is_a_name_and_na_is_not(read):
    found = read("frame,label\n0,None\n1,walk\n2,NA\n", fps=1.0)
    assert found.labels.classes == ("None", "walk")
    assert found.labels.observed == Intervals([0], [2])


def test_a_list_of_classes_needs_no_last_line_end(read, tmp_path):
    (tmp_path / "labels.csv.classes.txt").write_text("rest\r\nwalk")
    assert read("frame,label\n0,0\n1,1\n", fps=1.0).labels.classes == ("rest", "walk")


def test_minus_one_is_unscored_in_a_table_of_flags(read):
    found = read("frame,walk,rest\n0,-1,-1\n1,1,0\n2,0,0\n", fps=1.0)
    assert found.labels.multi(np.arange(3)).tolist() == [[-1, -1], [1, 0], [0, 0]]


def test_background_beside_a_behaviour(read):
    text = "frame,background,walk,rest\n0,1,1,0\n1,0,1,1\n2,1,0,0\n"
    found = read(text, fps=1.0, overlaps=True)
    assert found.labels.multi(np.arange(3)).tolist() == [[1, 0], [1, 1], [-1, -1]]


@pytest.mark.parametrize("clock", [{"fps": 30.0}, {"times": np.arange(90) / 30}])
def test_point_events_fall_into_the_frame_that_was_shown(read, clock):
    """BORIS rounds to ms; a point in the middle of a frame is of that frame, not of the next."""
    rows = [f"a,,jump,POINT,{(3 * k + 0.5 * (k % 2)) / 30:.3f},30\n" for k in range(20)]
    labels = read(BORIS + "".join(rows), **clock).labels
    assert np.flatnonzero(labels.codes(np.arange(90) / 30) == 0).tolist() == list(range(0, 60, 3))


def test_likelihoods_are_no_behaviours(read):
    found = read("Ear_x,Ear_y,Ear_p,walk\n1,2,1,1\n1,2,1,0\n", fps=1.0)
    assert found.labels.classes == ("walk",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings_of_spreadsheets(read, encoding):
    text = "start\tstop\tlabel\n0\t1\tgähnen\n".encode(encoding)
    assert read(text).labels.classes == ("gähnen",)
    text = "frame\tlabel\n0\tgähnen\n1\trest\n".encode(encoding)
    assert read(text, fps=1.0).labels.classes == ("gähnen", "rest")


def test_a_little_too_early_is_cut(read):
    found = read("start,stop,label\n-0.9,-0.5,rest\n-0.5,1,walk\n", times=FRAMES)
    assert found.labels.observed == Intervals([0], [1])
    assert found.notes[:2] == (
        "labels up to 0.900 s before the first frame were cut",
        "1 bouts outside the frames were left out",
    )


def test_names_that_mean_unscored_are_not_written_as_classes(tmp_path):
    for name, format in (("background", "one-hot"), ("base", "caltech")):
        labels = Labels.from_frames(np.arange(3.0), np.zeros(3, int), [name])
        with pytest.raises(DataError, match=f"class '{name}' cannot be written"):
            write_labels(tmp_path / "l.csv", labels, format, fps=1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("label", [None, np.nan, ""])
def test_a_row_without_a_label_is_no_class(label):
    table = pd.DataFrame(
        [(0.0, 1.0, "walk"), (1.0, 2.0, label)], columns=["start", "stop", "label"]
    )
    with pytest.raises(DataError, match="row 2 has no label"):
        Labels(table)
