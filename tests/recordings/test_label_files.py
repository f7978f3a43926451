"""Files of behaviour labels: recognised, read, refused, and written back."""

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.recordings import (
    Dataset,
    Intervals,
    Labels,
    Recording,
    open_labels,
    read_labels,
    read_nwb,
    write_labels,
)

CLASSES = ("rest", "walk", "groom")
FPS = 25.0
PER_FRAME = ("one-hot", "integer", "caltech")


def same(one: Labels, other: Labels) -> None:
    order = ["start", "stop", "label", "individual"]
    ours, theirs = (e.table.sort_values(order).reset_index(drop=True) for e in (one, other))
    pd.testing.assert_frame_equal(ours, theirs)
    assert one.classes == other.classes
    assert one.observed == other.observed


@st.composite
def times(draw):
    """Ascending times, s: even, or with jitter and a gap."""
    n = draw(st.integers(2, 25))
    steps = draw(st.lists(st.sampled_from([0.04, 0.041, 0.039, 5.0]), min_size=n, max_size=n))
    even = draw(st.booleans())
    return np.arange(n) / FPS if even else draw(st.floats(-5, 5)) + np.cumsum(steps)


@st.composite
def exclusive(draw):
    clock = draw(times())
    code = st.integers(-1, len(CLASSES) - 1)
    codes = draw(st.lists(code, min_size=len(clock), max_size=len(clock)))
    return clock, Labels.from_frames(clock, np.array(codes), CLASSES)


@st.composite
def several(draw):
    clock = draw(times())
    shape = st.lists(
        st.lists(st.integers(0, 1), min_size=len(CLASSES), max_size=len(CLASSES)),
        min_size=len(clock),
        max_size=len(clock),
    )
    matrix = np.array(draw(shape))
    unscored = draw(st.lists(st.booleans(), min_size=len(clock), max_size=len(clock)))
    matrix[np.array(unscored)] = -1
    return clock, Labels.from_frames(clock, matrix, CLASSES)


class TestRoundTrips:
    @pytest.mark.parametrize("format", PER_FRAME)
    @settings(max_examples=25)
    @given(exclusive())
    def test_frames(self, tmp_path_factory, format, case):
        clock, labels = case
        path = tmp_path_factory.mktemp("labels") / "labels.txt"
        assert write_labels(path, labels, format, times=clock) == ()
        found = open_labels(path, CLASSES, times=clock)
        assert found.format == format
        same(found.labels, labels)

    @settings(max_examples=25)
    @given(several())
    def test_several_at_once(self, tmp_path_factory, case):
        clock, labels = case
        path = tmp_path_factory.mktemp("labels") / "labels.csv"
        write_labels(path, labels, "one-hot", times=clock)
        same(read_labels(path, CLASSES, times=clock, overlaps=True), labels)
        write_labels(path, labels, "bouts")
        same(read_labels(path, CLASSES), labels)

    @pytest.mark.parametrize("format", ["boris tabular", "boris aggregated"])
    @settings(max_examples=25)
    @given(several())
    def test_boris(self, tmp_path_factory, format, case):
        _, labels = case
        seen = Intervals(labels.table["start"], labels.table["stop"])
        labels = Labels(labels.table, CLASSES, seen)  # BORIS does not say what was watched
        path = tmp_path_factory.mktemp("labels") / "labels.csv"
        write_labels(path, labels, format, fps=FPS)
        found = open_labels(path, CLASSES, overlaps=True)
        assert found.format == format
        same(found.labels, labels)

    @settings(max_examples=25)
    @given(several())
    def test_simba(self, tmp_path_factory, case):
        clock, labels = case
        matrix = np.maximum(labels.multi(clock), 0)
        labels = Labels.from_frames(clock, matrix, CLASSES)
        path = tmp_path_factory.mktemp("labels") / "labels.csv"
        write_labels(path, labels, "simba", times=clock)
        same(read_labels(path, CLASSES, times=clock, overlaps=True), labels)

    def test_nwb_of_several_animals(self, tmp_path):
        pytest.importorskip("pynwb")
        table = pd.DataFrame(
            [(0.1, 1 / 3, "walk", "a"), (0.2, 0.7, "rest", "b")],
            columns=["start", "stop", "label", "individual"],
        )
        labels = Labels(table, CLASSES, Intervals([0], [9]))
        write_labels(tmp_path / "l.nwb", labels, "nwb")
        found = open_labels(tmp_path / "l.nwb")
        assert found.format == "nwb"
        same(found.labels, labels)
        same(read_nwb(tmp_path / "l.nwb")["behaviour"], labels)

    def test_individuals_of_boris_and_of_bouts(self, tmp_path):
        table = pd.DataFrame(
            [(0.0, 1.0, "walk", "a"), (0.5, 2.0, "rest", "b"), (1.0, 1.5, "walk", "a")],
            columns=["start", "stop", "label", "individual"],
        )
        labels = Labels(table, CLASSES)
        for format in ("boris tabular", "boris aggregated", "bouts"):
            write_labels(tmp_path / "l.csv", labels, format)
            same(read_labels(tmp_path / "l.csv", CLASSES), labels)
        with pytest.raises(DataError, match="holds one animal, the labels are of a, b; name one"):
            write_labels(tmp_path / "l.csv", labels, "one-hot", fps=10)
        write_labels(tmp_path / "l.csv", labels, "one-hot", fps=10, individual="b")
        again = read_labels(tmp_path / "l.csv", CLASSES, fps=10, individual="b")
        assert again.intervals("rest", "b") == Intervals([0.5], [2.0])
        assert again.individuals == ("b",)


OLD_TABULAR = """Observation id,day1,,,,,,,
,,,,,,,,
Media file(s),,,,,,,,
Player #1,/videos/day1.avi,,,,,,,
Time offset (s),{offset},,,,,,,
Time,Media file path,Total length,FPS,Subject,Behavior,Behavioral category,Comment,Status
{rows}"""
NEW_TABULAR = (
    "Observation id\tObservation date\tDescription\tObservation duration\tObservation type\t"
    "Source\tTime offset (s)\tCoding duration\tMedia duration (s)\tFPS (frame/s)\tSubject\t"
    "Observation duration by subject by observation\tBehavior\tBehavioral category\t"
    "Modifier #1\tBehavior type\tTime\tMedia file name\tImage index\tImage file path\tComment\n"
    "{rows}"
)
OLD_AGGREGATED = (
    "Observation id,Observation date,Media file,Total length,FPS,Subject,Behavior,Modifiers,"
    "Behavior type,Start (s),Stop (s),Duration (s),Comment start,Comment stop\n{rows}"
)
NEW_AGGREGATED = (
    "Observation id,Observation date,Observation type,Description,Time offset (s),"
    "Coding duration,Media duration (s),FPS (frame/s),Source,Subject,"
    "Observation duration by subject by observation,Media file name,Image index start,"
    "Image index stop,Image file path start,Image file path stop,Behavior,Behavioral category,"
    "Modifiers,Behavior type,Start (s),Stop (s),Duration (s),Comment start,Comment stop\n{rows}"
)


def old_row(time, status, subject="adult", behaviour="walk"):
    return f"{time},/videos/day1.avi,10.0,30.0,{subject},{behaviour},,,{status}"


def new_row(time, status, subject="adult", behaviour="walk", modifier="", day="day1"):
    cells = (day, "", "", "", "Media file", "", "0", "", "10.0", "30.0", subject, "", behaviour)
    return "\t".join([*cells, "", modifier, status, time, "day1.avi", "1", "", ""])


class TestBoris:
    def read(self, tmp_path, text, **options):
        (tmp_path / "b.csv").write_text(text)
        return open_labels(tmp_path / "b.csv", **options)

    def test_both_tabular_layouts(self, tmp_path):
        old = OLD_TABULAR.format(
            offset=2.5,
            rows="\r\n".join(
                [
                    old_row("1.25", "START"),
                    old_row("2.0", "POINT", "No focal subject", "jump"),
                    old_row("3.5", "STOP"),
                ]
            ),
        )
        new = NEW_TABULAR.format(
            rows="\n".join(
                [
                    new_row("1.25", "START"),
                    new_row("2.0", "POINT", "No focal subject", "jump"),
                    new_row("3.5", "STOP"),
                ]
            )
        )
        for text in (old, new):
            found = self.read(tmp_path, text, overlaps=True, observed="all")
            assert found.format == "boris tabular"
            assert found.labels.intervals("walk", "adult") == Intervals([1.25], [3.5])
            jump = found.labels.intervals("jump", "")
            assert jump.duration == pytest.approx(1 / 30)
            assert found.labels.observed == Intervals([0], [10])
            assert any("1 point events" in note for note in found.notes)
        assert any("offset of 2.5" in note for note in self.read(tmp_path, old).notes)

    def test_both_aggregated_layouts(self, tmp_path):
        old = "day1,,d.avi,10.0,30,adult,walk,,STATE,1.25,3.5,2.25,,\n"
        old += "day1,,d.avi,10.0,30,adult,jump,,POINT,2.0,2.0,0,,"
        new = "day1,,,,0,,10.0,30,,adult,,d.avi,,,,,walk,,,STATE,1.25,3.5,2.25,,\n"
        new += "day1,,,,0,,10.0,30,,adult,,d.avi,,,,,jump,,,POINT,2.0,2.0,NA,,"
        for layout, rows in ((OLD_AGGREGATED, old), (NEW_AGGREGATED, new)):
            found = self.read(tmp_path, layout.format(rows=rows), overlaps=True)
            assert found.format == "boris aggregated"
            assert found.labels.intervals("walk", "adult") == Intervals([1.25], [3.5])
            assert found.labels.intervals("jump", "adult").duration == pytest.approx(1 / 30)

    def test_a_point_is_the_frame_that_it_falls_into(self, tmp_path):
        text = NEW_TABULAR.format(rows=new_row("0.25", "POINT"))
        found = self.read(tmp_path, text, times=np.arange(10) / 10)
        assert found.labels.table[["start", "stop"]].to_numpy().tolist() == [[0.2, 0.3]]
        assert found.labels.codes(np.arange(10) / 10).tolist() == [-1, -1, 0, *[-1] * 7]
        assert any("runs at 10" in note for note in found.notes)

    def test_modifiers_tell_events_apart(self, tmp_path):
        rows = [
            new_row("1", "START", modifier="fast"),
            new_row("2", "START", modifier="slow"),
            new_row("3", "STOP", modifier="fast"),
            new_row("4", "STOP", modifier="slow"),
        ]
        found = self.read(tmp_path, NEW_TABULAR.format(rows="\n".join(rows)))
        assert found.labels.table[["start", "stop"]].to_numpy().tolist() == [[1, 3], [2, 4]]

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([("1", "START")], "line 2: the START of 'walk' of adult at 1.000 s has no STOP"),
            ([("1", "STOP")], "line 2: the STOP of 'walk' of adult at 1.000 s has no START"),
            ([("1", "START"), ("2", "START")], "line 2: the START .* has no STOP before the next"),
            ([("1", "start it")], "line 2, column 'Behavior type': expected START, STOP or POINT"),
            ([("NA", "START")], "line 2, column 'Time': 'NA' is no number"),
            ([("2", "START"), ("1", "STOP")], "line 2: walk must start before it stops"),
        ],
    )
    def test_refuses(self, tmp_path, rows, message):
        text = NEW_TABULAR.format(rows="\n".join(new_row(*row) for row in rows))
        with pytest.raises(DataError, match=message):
            self.read(tmp_path, text)

    def test_several_observations_have_to_be_told_apart(self, tmp_path):
        rows = [
            new_row(t, s, day=d) for d in ("d1", "d2") for t, s in (("1", "START"), ("2", "STOP"))
        ]
        text = NEW_TABULAR.format(rows="\n".join(rows))
        with pytest.raises(DataError, match="2 observations.*where {Observation id: d1}"):
            self.read(tmp_path, text)
        found = self.read(tmp_path, text, where={"Observation id": "d2"})
        assert len(found.labels.table) == 1


class TestBouts:
    def read(self, tmp_path, text, **options):
        (tmp_path / "b.csv").write_text(text)
        return open_labels(tmp_path / "b.csv", **options)

    def test_raters_in_a_quoted_table(self, tmp_path):
        text = '"rater";"from";"to";"type"\r\n"A";0.5;1.5;"walk"\r\n"B";1.0;2.0;"rest"\r\n'
        with pytest.raises(DataError, match=r"line 2 \(walk, .*line 3 \(rest, .*where \(rater\)"):
            self.read(tmp_path, text)
        found = self.read(tmp_path, text, where={"rater": "B"})
        assert found.format == "bouts"
        assert found.labels.intervals("rest") == Intervals([1.0], [2.0])
        assert "1.0 s without a label" in found.notes[0]
        both = self.read(tmp_path, text, where={"rater": ["A", "B"]}, overlaps=True)
        assert both.labels.observed == Intervals([0.5], [2.0])

    def test_frames_with_the_stop_included(self, tmp_path):
        text = "animal,start_frame,end_frame,behavior\nm1,1,3,walk\nm1,4,4,rest\n"
        found = self.read(tmp_path, text, fps=10.0, first_frame=1, stop_included=True)
        codes = found.labels.codes(np.arange(5) / 10)
        assert [found.labels.classes[c] for c in codes[:4]] == ["walk", "walk", "walk", "rest"]
        assert codes[4] == -1
        assert found.labels.individuals == ("m1",)
        with pytest.raises(DataError, match="holds frames, not seconds: give times"):
            self.read(tmp_path, text, stop_included=True)
        with pytest.raises(DataError, match="line 2: expected whole frames, found 0.5"):
            self.read(tmp_path, "start,stop,label\n0.5,2,a\n", fps=10, unit="frames")

    @pytest.mark.parametrize(
        ("text", "options", "message"),
        [
            ("start,stop,label\n0,2,walk\n", {"classes": ["walks"]},
             "line 2: 'walk' is not among.*Is it 'walks'"),
            ("from,to,type\n3,2,walk\n", {}, "line 2: walk must start before it stops"),
            ("from,to,type\n1,,walk\n", {}, "line 2, column 'to': '' is no number"),
            ("from,to,type\n1,2,a\n", {"where": {"rater": "A"}},
             "no column 'rater'.*from, to, type"),
            ("from,to,type\n1,2,a\n", {"where": {"type": "b"}},
             "no row whose 'type' is b; found a"),
            ("from,to,type\n1,2,a,b\n", {}, "line 2: 4 cells, but the header has 3"),
            ("from,to,type\n0,9,a\n", {"times": np.arange(50) / 10},
             "go on for 4.000 s after the last frame"),
            ("x,y\n0,9\n", {}, "no file of labels that is known; its first line holds: x, y"),
            ("", {}, "holds: nothing"),
        ],
    )  # fmt: skip
    def test_refuses(self, tmp_path, text, options, message):
        with pytest.raises(DataError, match=message):
            self.read(tmp_path, text, **options)

    def test_a_little_too_long_is_cut(self, tmp_path):
        text = "from,to,type\n0,5.5,a\n5.2,5.6,b\n"
        found = self.read(tmp_path, text, times=np.arange(50) / 10, overlaps=True)
        assert found.labels.table["stop"].tolist() == pytest.approx([5.0])
        assert found.notes[0] == "labels up to 0.600 s beyond the last frame were cut"
        assert found.notes[1] == "1 bouts outside the frames were left out"

    def test_absent(self, tmp_path):
        with pytest.raises(MissingFileError, match="nothing.csv"):
            open_labels(tmp_path / "nothing.csv")


class TestPerFrame:
    def read(self, tmp_path, text, **options):
        (tmp_path / "f.csv").write_text(text)
        return open_labels(tmp_path / "f.csv", **{"fps": 10.0, **options})

    def test_background_is_unscored_unless_it_is_a_class(self, tmp_path):
        text = ",background,walk\n0,1,0\n1,0,1\n2,0,0\n"
        found = self.read(tmp_path, text)
        assert (found.format, found.labels.classes) == ("one-hot", ("walk",))
        assert found.labels.multi(np.arange(3) / 10).ravel().tolist() == [-1, 1, 0]
        assert found.notes == ("'background' counts as unscored: 1 of 3 rows",)
        scored = self.read(tmp_path, text, unscored=[]).labels
        assert scored.classes == ("background", "walk")
        assert scored.observed.duration == pytest.approx(0.3)
        everything = self.read(tmp_path, text, observed="all").labels
        assert everything.multi(np.arange(3) / 10).ravel().tolist() == [0, 1, 0]

    def test_integers_names_and_their_classes(self, tmp_path):
        integers = "frame,label\n0,-1\n1,1\n2,0\n"
        found = self.read(tmp_path, integers, classes=["rest", "walk"])
        assert found.format == "integer"
        assert found.labels.codes(np.arange(3) / 10).tolist() == [-1, 1, 0]
        with pytest.raises(DataError, match="give the names of the classes"):
            self.read(tmp_path, integers)
        (tmp_path / "f.csv.classes.txt").write_text("background\nwalk\n")
        assert self.read(tmp_path, integers).labels.codes(np.arange(3) / 10).tolist() == [
            -1,
            0,
            -1,
        ]
        named = self.read(tmp_path, "behavior\nwalk\n\nrest\nwalk\n".replace("\n\n", '\n""\n'))
        assert named.format == "names"
        assert named.labels.codes(np.arange(4) / 10).tolist() == [1, -1, 0, 1]

    def test_simba(self, tmp_path):
        header = ",nose_x,nose_y,nose_p,movement,attack,sniff\n"
        rows = "0,10.5,3,0.9,7.5,0,0\n1,10.6,3,0.9,7,1,1\n2,10.5,3,0.9,1,0,1\n"
        found = self.read(tmp_path, header + rows)
        assert (found.format, found.labels.classes) == ("simba", ("attack", "sniff"))
        assert "the last 2 columns" in found.notes[0]
        assert found.labels.multi(np.arange(3) / 10).tolist() == [[0, 0], [1, 1], [0, 1]]
        some = self.read(tmp_path, header + rows, classes=["sniff"])
        assert some.labels.multi(np.arange(3) / 10).ravel().tolist() == [0, 1, 1]
        with pytest.raises(DataError, match="no 'snif' among.*Is it 'sniff'"):
            self.read(tmp_path, header + rows, classes=["snif"])

    @pytest.mark.parametrize(
        ("text", "options", "message"),
        [
            (",a,b\n0,1,1\n", {}, "line 2: a and b hold at once"),
            (",a,b\n0,1,0\n1,2,0\n", {}, "line 3, column 'a': expected 0 or 1, found"),
            (",a\n0,1\n2,1\n", {}, "line 3, column 1: frame 2 follows 0"),
            (",a\n0,1\n1,0\n", {"classes": ["b"]}, "there is no 'b' among a"),
            ("frame,label\n0,3\n", {"classes": ["a"]}, "line 2, column 'label': 3 is no class"),
            ("label\nwalk\nwalking\n", {"classes": ["walk"]},
             "line 3: there is no 'walking'.*Is it 'walk'"),
            (",a\n0,1\n", {"fps": None}, "holds frames, not seconds"),
            (",a\n0,1\n", {"where": {"a": "1"}}, "where chooses none"),
        ],
    )  # fmt: skip
    def test_refuses(self, tmp_path, text, options, message):
        with pytest.raises(DataError, match=message):
            self.read(tmp_path, text, **options)

    def test_length_against_the_frames(self, tmp_path):
        text = ",a\n" + "".join(f"{i},1\n" for i in range(50))
        with pytest.raises(DataError, match="50 rows, but .* 25 frames.*another frame rate"):
            self.read(tmp_path, text, fps=None, times=np.arange(25) / 10)
        with pytest.raises(DataError, match="50 rows, but there are 70 frames: 20 fewer"):
            self.read(tmp_path, text, fps=None, times=np.arange(70) / 10)
        short = self.read(tmp_path, text, fps=None, times=np.arange(55) / 10)
        assert "the last 5 frames have no row" in short.notes[0]
        assert short.labels.codes(np.arange(55) / 10).tolist() == [0] * 50 + [-1] * 5
        long = self.read(tmp_path, text, fps=None, times=np.arange(45) / 10)
        assert "5 rows beyond the last frame were cut" in long.notes[0]

    def test_what_a_format_cannot_say_is_refused(self, tmp_path):
        clock = np.arange(4) / 10
        labels = Labels.from_frames(clock, np.array([0, -1, 1, 1]), ("a", "b"))
        with pytest.raises(DataError, match="1 of 4 frames are unlabelled, which SimBA cannot"):
            write_labels(tmp_path / "s.csv", labels, "simba", times=clock)
        quiet = Labels(labels.table, ("a", "b"), Intervals([0], [0.4]))
        with pytest.raises(DataError, match="1 frames were watched and have no label"):
            write_labels(tmp_path / "s.csv", quiet, "integer", times=clock)
        lost = write_labels(tmp_path / "s.csv", quiet, "boris tabular")
        assert "0.1 s that were watched" in lost[0]
        lost = write_labels(tmp_path / "s.txt", quiet, "caltech", times=clock)
        assert "1 frames that were watched" in lost[0]
        with pytest.raises(DataError, match="counts frames: give times or fps"):
            write_labels(tmp_path / "s.csv", labels, "one-hot")
        with pytest.raises(DataError, match="names must not hold spaces"):
            spaced = Labels(labels.table.assign(label="a b"))
            write_labels(tmp_path / "s.txt", spaced, "caltech", times=clock)


ANNOT = """Caltech Behavior Annotator - Annotation File\r\n\r\nConfiguration file:\r\nbase\tz\r\n
walk\tw\r\n\r\nS1:\tstart\tend\ttype\r\n-----\r\n   \t1\t2\tbase\r\n   \t3\t5\twalk\r\n
S2:\tstart\tend\ttype\r\n-----\r\n   \t1\t4\tbase\r\n   \t5\t6\tbite\r\n  \r\n"""


class TestCaltech:
    def test_streams_are_counted_from_one_with_both_ends(self, tmp_path):
        (tmp_path / "a.txt").write_bytes(ANNOT.encode())
        found = open_labels(tmp_path / "a.txt", times=np.arange(5) / 10)
        assert found.format == "caltech"
        assert found.labels.codes(np.arange(5) / 10).tolist() == [-1, -1, 0, 0, 0]
        assert found.notes == ("of the streams S1, S2 the first was read",)
        other = open_labels(tmp_path / "a.txt", times=np.arange(5) / 10, where={"stream": "S2"})
        assert other.labels.codes(np.arange(5) / 10).tolist() == [-1] * 4 + [0]
        assert other.notes == ("1 frames beyond the last one (4) were cut",)

    @pytest.mark.parametrize(
        ("change", "options", "message"),
        [
            (("3\t5\twalk", "2\t5\twalk"), {}, "line .*base, frames 0 to 2.*walk, frames 1 to 5"),
            (("3\t5\twalk", "5\t3\twalk"), {}, "walk must start .*found frames 4 to 3"),
            (("3\t5\twalk", "3\twalk"), {}, "expected a first frame, a last frame and a type"),
            (("", ""), {"where": {"stream": "S3"}}, "no stream 'S3'; it has S1, S2"),
            (("", ""), {"where": {"rater": "x"}}, "only a stream can be chosen"),
            (("S1:", "X1:"), {"where": {"stream": "S1"}}, "no stream 'S1'; it has S2"),
            (("3\t5\twalk", "3\t90\twalk"), {}, "go on for 8.500 s after the last frame"),
        ],
    )  # fmt: skip
    def test_refuses(self, tmp_path, change, options, message):
        (tmp_path / "a.txt").write_bytes(ANNOT.replace(*change).encode())
        with pytest.raises(DataError, match=message):
            open_labels(tmp_path / "a.txt", times=np.arange(5) / 10, **options)


BENTO = """Bento annotation file
Movie file(s): /videos/day1.seq

Stimulus name:
Annotation start frame: 1
Annotation stop frame: 40
Annotation framerate: 10

List of channels:
Ch1
Ch2

List of annotations:
attack
mount
sniff

Ch1----------
>attack
Start\tStop\tDuration
1\t5\t5
11\t11\t1

>sniff
Start\tStop\tDuration
6\t10\t5

Ch2----------
>mount
Start\tStop\tDuration
21\t30\t10
"""


class TestBento:
    def test_frames_and_seconds(self, tmp_path):
        (tmp_path / "b.annot").write_text(BENTO)
        found = open_labels(tmp_path / "b.annot", fps=10.0)
        assert (found.format, found.labels.classes) == ("bento", ("attack", "mount", "sniff"))
        codes = found.labels.codes(np.arange(12) / 10)
        assert codes.tolist() == [0] * 5 + [2] * 5 + [0, -1]
        assert found.notes[0] == "of the channels Ch1, Ch2 the first was read"
        other = open_labels(tmp_path / "b.annot", fps=10.0, where={"channel": "Ch2"}).labels
        assert other.intervals("mount") == Intervals([2.0], [3.0])
        with pytest.raises(DataError, match="no channel 'Ch3'; it has Ch1, Ch2"):
            open_labels(tmp_path / "b.annot", fps=10.0, where={"channel": "Ch3"})
        with pytest.raises(
            DataError, match="made at 10 frames/s, the clock given here runs at 30"
        ):
            open_labels(tmp_path / "b.annot", fps=30.0)
        seconds = BENTO.replace("1\t5\t5", "0.0\t0.5\t0.5").replace("11\t11\t1", "1.0\t1.1\t0.1")
        (tmp_path / "b.annot").write_text(seconds.replace("6\t10\t5", "0.5\t1.0\t0.5"))
        again = open_labels(tmp_path / "b.annot")
        assert again.labels.codes(np.arange(12) / 10).tolist() == codes.tolist()
        (tmp_path / "b.annot").write_text(BENTO.replace("6\t10\t5", "6"))
        with pytest.raises(DataError, match="line 26: expected a start and a stop, found '6'"):
            open_labels(tmp_path / "b.annot", fps=10.0)


def test_bouts_of_an_ethogram_extension(tmp_path):
    """The layout of ndx-ethogram, as its tools write it, without the extension."""
    with h5py.File(tmp_path / "e.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.8.0"
        module = file.create_group("processing/behavior")

        def table(name, kind, **columns):
            group = module.create_group(name)
            group.attrs["neurodata_type"] = kind
            group.attrs["colnames"] = list(columns)
            for column, values in columns.items():
                group[column] = values
            group["id"] = np.arange(len(next(iter(columns.values()))))
            return group

        looked = table("observed", "TimeIntervals", start_time=[0.0], stop_time=[8.0])
        names = table("Ethogram", "Ethogram", behavior=["walk", "rest", "groom"])
        bouts = table(
            "bouts",
            "EthogramBouts",
            start_time=[1.0, 2.0],
            stop_time=[2.0, 2.5],
            label=["rest", "walk"],
        )
        bouts["ethogram"] = h5py.SoftLink(names.name)
        bouts["observation_intervals"] = h5py.SoftLink(looked.name)
    labels = read_labels(tmp_path / "e.nwb")
    assert labels.classes == ("walk", "rest", "groom")
    assert labels.observed == Intervals([0], [8])
    assert labels.intervals("walk") == Intervals([2.0], [2.5])
    with pytest.raises(DataError, match="one table of bouts with a label; found none"):
        read_labels(tmp_path / "e.nwb", where={"table": "others"})


class TestDatasets:
    def write(self, tmp_path, entry):
        (tmp_path / "pose.npz").touch()
        np.savez(tmp_path / "pose.npz", times=np.arange(20) / 10, values=np.zeros((20, 2)))
        (tmp_path / "l.csv").write_text("rater;from;to;type\nA;0;1;walk\nB;0;2.5;rest\n")
        (tmp_path / "dataset.yaml").write_text(
            "recordings:\n  day1:\n    streams:\n"
            f"      behaviour: {{kind: labels, file: l.csv{entry}}}\n"
            "      pose: {kind: series, file: pose.npz}\n"
        )
        return Dataset.open(tmp_path / "dataset.yaml")

    def test_a_dataset_names_any_file_and_says_what_was_cut(self, tmp_path):
        data = self.write(tmp_path, ", where: {rater: B}, times: pose, observed: all")
        recording = data["day1"]
        assert recording["behaviour"].observed == Intervals([0], [2.0])
        assert recording.notes == (
            "behaviour: labels up to 0.500 s beyond the last frame were cut",
        )
        data.save(tmp_path / "copy" / "dataset.yaml")
        same(Dataset.open(tmp_path / "copy")["day1"]["behaviour"], recording["behaviour"])

    def test_refuses(self, tmp_path):
        with pytest.raises(DataError, match="stream 'behaviour'.*overlap.*rater"):
            self.write(tmp_path, "")
        with pytest.raises(ConfigError, match="observed"):
            self.write(tmp_path, ", observed: maybe")
        with pytest.raises(DataError, match="go on for 0.500 s.*0.1 s are tolerated"):
            self.write(tmp_path, ", where: {rater: B}, times: pose, tolerance: 0.1")


class TestRealFiles:
    def test_rat_dyads(self, real_data):
        files = sorted((real_data / "actions" / "rat-dyads" / "annotations").glob("*_annot.txt"))
        frames = dict.fromkeys(("nonsocial", "social", "aggression"), 0)
        seconds = dict.fromkeys(("keepdown", "clinch", "bite"), 0.0)
        for path in files:
            labels = read_labels(path, tuple(frames), fps=20.0)
            codes = labels.codes(np.arange(round(labels.observed.stops[-1] * 20)) / 20)
            assert (codes >= 0).sum() == 12000
            for k, name in enumerate(frames):
                frames[name] += int((codes == k).sum())
            second = read_labels(path, fps=20.0, where={"stream": "S2"})
            for name in seconds:
                if name in second.classes:
                    seconds[name] += second.intervals(name).duration
        assert len(files) == 16
        assert frames == {"nonsocial": 59821, "social": 81338, "aggression": 50841}
        assert {k: round(v * 20) for k, v in seconds.items()} == {
            "keepdown": 18888, "clinch": 14735, "bite": 312
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("fly", "n", "bouts"), [("2019_06_26", 1956, 33), ("2019_08_07", 1591, 26)]
    )
    def test_fly(self, real_data, fly, n, bouts):
        path = real_data / "actions" / "fly-labels" / "hand" / f"{fly}_fly2.csv"
        found = open_labels(path, fps=70.0)
        assert found.format == "one-hot"
        assert len(found.labels.table) == bouts
        assert round(found.labels.observed.duration * 70) == n
        assert found.labels.classes == (
            "still",
            "walk",
            "front_groom",
            "back_groom",
            "abdomen-move",
        )

    def test_boris_and_what_comes_back(self, real_data, tmp_path):
        (path,) = (real_data / "actions" / "mouse-adult-juvenile").glob("*_boris.csv")
        found = open_labels(path, fps=30.0, observed="all")
        assert found.format == "boris tabular"
        assert found.labels.individuals == ("adult",)
        assert found.labels.observed == Intervals([0], [190])
        assert found.labels.table.iloc[0][["start", "stop"]].tolist() == [29.85, 34.725]
        assert len(found.labels.table) == 10
        for format in ("boris tabular", "boris aggregated", "bouts"):
            write_labels(tmp_path / "b.csv", found.labels, format, fps=30.0)
            same(read_labels(tmp_path / "b.csv", observed="all"), found.labels)

    def test_raters(self, real_data):
        path = real_data / "actions" / "oft-raters" / "AllLabDataOFT_final.csv"
        with pytest.raises(DataError, match="column 'to': 'NA' is no number"):
            open_labels(path)
        wanted = {"ID": "OFT_11", "Experimenter": "Jin", "type": ["Supported", "Grooming"]}
        found = open_labels(path, where=wanted)
        assert found.labels.classes == ("Grooming", "Supported")
        assert found.labels.table.iloc[0][["start", "stop"]].tolist() == [4.836, 6.586]


def test_the_frames_of_a_recording_read_from_nwb_and_written_again(tmp_path):
    """Labels that a recording holds keep their classes and what was watched."""
    pytest.importorskip("pynwb")
    clock = np.arange(30) / 10
    codes = np.repeat([-1, 0, 2], 10)
    labels = Labels.from_frames(clock, codes, CLASSES)
    from tinbergen.recordings import write_nwb

    write_nwb(tmp_path / "r.nwb", Recording("r", {"a": labels, "b": labels}))
    with pytest.raises(DataError, match="expected one table.*choose one"):
        read_labels(tmp_path / "r.nwb")
    same(read_labels(tmp_path / "r.nwb", where={"table": "b"}), labels)
