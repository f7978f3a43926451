"""Files that were damaged: an error that names the file, and no other numbers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinbergen.errors import DataError, TinbergenError
from tinbergen.recordings import (
    FrameStatus,
    Keypoints,
    Trials,
    Video,
    read_keypoints,
    read_labels,
    read_series,
    read_trials,
    write_dlc_h5,
    write_sleap,
    write_sleap_analysis,
    write_video,
)

KEYPOINTS = Keypoints(
    np.arange(20) / 30,
    np.random.default_rng(0).uniform(0, 90, (20, 1, 2, 2)),
    keypoints=("nose", "tail"),
)
WRITERS = {
    "k.h5": lambda path: write_dlc_h5(path, KEYPOINTS),
    "a.h5": lambda path: write_sleap_analysis(path, KEYPOINTS),
    "k.slp": lambda path: write_sleap(path, KEYPOINTS, "video.mp4"),
}


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999))
def test_files_of_keypoints_that_are_cut_off_are_refused(name, share, tmp_path):
    path = tmp_path / name
    if not path.exists():
        WRITERS[name](path)
    cut = tmp_path / f"cut_{name}"
    data = path.read_bytes()
    cut.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=f"cut_{name}"):
        read_keypoints(cut, fps=30)


@pytest.mark.parametrize("name", WRITERS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 0.999), size=st.sampled_from([1, 16, 512]))
def test_blanked_sectors_raise_our_own_errors_only(name, place, size, tmp_path):
    path = tmp_path / name
    if not path.exists():
        WRITERS[name](path)
    data = bytearray(path.read_bytes())
    first = int(place * len(data))
    last = min(first + size, len(data))
    data[first:last] = bytes(last - first)
    broken = tmp_path / f"broken_{name}"
    broken.write_bytes(data)
    try:
        read_keypoints(broken, fps=30)
    except TinbergenError as error:
        assert broken.name in str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,a,b\n0,1,2\n1,3\n", "line 3: 2 cells, but the header has 3 columns"),
        ("time,a,b\n0,1,2\n1,3,4,5\n", "line 3: 4 cells"),
        ("time,a,a\n0,1,2\n", "several columns 'a'"),
        ('time,a\n0,"1\n', "is not a series"),
    ],
)
def test_tables_are_whole_and_name_each_column_once(text, message, tmp_path):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(DataError, match=rf"s\.csv.*{message}"):
        read_series(tmp_path / "s.csv")


def test_trials_that_end_in_the_middle_of_a_row(tmp_path):
    table = pd.DataFrame({"start": [0.0, 2], "stop": [1.0, 3], "side": ["left", "right"]})
    Trials(table).write(tmp_path / "t.csv")
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(text[: text.rindex(",")])
    with pytest.raises(DataError, match=r"t\.csv, line 3: 2 cells"):
        read_trials(tmp_path / "t.csv")


def test_bouts_that_end_in_the_middle_of_a_row(tmp_path):
    (tmp_path / "b.csv").write_text("start,stop,label,individual\n0,1,walk,\n2,3,gro")
    with pytest.raises(DataError, match=r"b\.csv, line 3: the row has fewer cells"):
        read_labels(tmp_path / "b.csv")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Few keyframes; all others are differences to those before."""
    path = tmp_path_factory.mktemp("film") / "v.mp4"
    texture = np.random.default_rng(0).integers(0, 200, (48, 64)).astype(np.uint8)
    write_video(path, (np.roll(texture, k, axis=1) for k in range(90)), np.arange(90) / 30)
    return path


def test_damage_lasts_until_a_keyframe(film, tmp_path):
    import av

    with av.open(str(film)) as container:
        packets = [(p.pos or 0, p.size) for p in container.demux(video=0) if p.size]
    data, sound = bytearray(film.read_bytes()), Video(film, gray=True).frames(range(90)).frames
    first, size = packets[20]
    data[first + 12 : first + size] = bytes(size - 12)
    (tmp_path / "broken.mp4").write_bytes(data)
    video = Video(tmp_path / "broken.mp4", gray=True)
    batch = video.frames(range(90))
    bad = np.flatnonzero(batch.status != FrameStatus.OK)
    assert len(bad)
    keys = np.searchsorted(video.index.pts, video.index.keyframes)
    after = int(min(key for key in keys if key > 20))
    assert 16 <= bad[0] <= 28 and bad[-1] == after - 1  # shown in another order than stored
    for number in (*range(16), *range(after, 90)):
        np.testing.assert_array_equal(batch.frames[number], sound[number])
    alone = Video(tmp_path / "broken.mp4", gray=True).frames([after - 2])
    assert alone.status[0] == FrameStatus.CORRUPT  # the same however it was reached


def test_frames_that_the_header_does_not_count(film, tmp_path):
    data = film.read_bytes()
    place = data.index(b"stsz") + 12  # version and flags, common size, then their number
    assert int.from_bytes(data[place : place + 4], "big") == 90
    short = data[:place] + (30).to_bytes(4, "big") + data[place + 4 :]
    (tmp_path / "short.mp4").write_bytes(short)
    check = Video(tmp_path / "short.mp4").check()
    assert any("longer than its frames" in text for text in check.problems), check
    assert not Video(film).check().problems
