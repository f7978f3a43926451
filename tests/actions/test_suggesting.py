"""What to label next, what comes back, and bouts side by side."""

import contextlib
import io

import numpy as np
import pandas as pd
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

import tinbergen as tb
from tinbergen.actions import (
    behaviour_movie,
    export_clips,
    read_answers,
    suggest_clips,
    undecided,
)
from tinbergen.actions.config import LabelConfig
from tinbergen.actions.model import Prediction
from tinbergen.actions.suggesting import is_clip_list
from tinbergen.cli.actions_suggest import _labels, correct
from tinbergen.errors import ConfigError, DataError
from tinbergen.metrics import choose_diverse
from tinbergen.recordings import Dataset, Intervals, Labels, Recording, Video, merge_labels

CLASSES = ("rest", "walk", "groom")


def prediction(name, n=400, fps=20.0, seed=0, members=1):
    """Certain, but for two stretches: 100 to 140 between 0 and 1, 300 to 340 between 1 and 2."""
    rng = np.random.default_rng(seed)
    p = np.tile([0.96, 0.02, 0.02], (n, 1))
    p[100:140] = [0.49, 0.49, 0.02]
    p[300:340] = [0.02, 0.48, 0.5]
    each = p + rng.normal(0, 0.005, (members, n, 3)) * (members > 1)
    if members > 1:
        each[::2, 300:340, 1] += 0.3  # the members disagree in the second alone
        each[::2, 300:340, 2] -= 0.3
    each = np.clip(each, 1e-3, None)
    each /= each.sum(axis=2, keepdims=True)
    mean = each.mean(axis=0)
    variance = each.var(axis=0) if members > 1 else None
    return Prediction(name, CLASSES, np.arange(n) / fps, mean, mean.argmax(axis=1), variance)


class TestUndecided:
    def test_by_hand(self):
        p = np.array([[1.0, 0.0], [0.5, 0.5], [0.8, 0.2]])
        assert undecided(p)[:2] == pytest.approx([0, np.log(2)])
        assert undecided(p, by="margin") == pytest.approx([0, 1, 0.4])
        with pytest.raises(DataError, match="cannot disagree with itself"):
            undecided(p, by="disagreement")

    @given(st.integers(0, 100))
    def test_disagreement_is_mutual_information_to_second_order(self, seed):
        rng = np.random.default_rng(seed)
        base = rng.dirichlet([5, 5, 5])
        noise = rng.normal(0, 0.01, (4, 3))
        members = base + noise - noise.mean(axis=1, keepdims=True)
        mean = members.mean(axis=0)

        def entropy(p):
            return -(p * np.log(p)).sum(axis=-1)

        exact = entropy(mean) - entropy(members).mean()
        found = undecided(mean[None], members.var(axis=0)[None], "disagreement")[0]
        assert found == pytest.approx(exact, rel=0.1, abs=1e-6)


class TestSuggesting:
    def test_undecided_stretches_come_first_and_differ(self):
        one = suggest_clips([prediction("a")], 2, length=2.0)
        assert {row.start < 10 for row in one.rows} == {True, False}  # one of either kind
        assert {row.start for row in one.rows} <= {4.0, 6.0, 14.0, 16.0}
        assert "entropy: " in one.rows[0].why and " or " in one.rows[0].why
        two = suggest_clips([prediction("a"), prediction("b", seed=1)], 4, length=2.0)
        assert {row.start for row in two.rows[:2]} <= {4.0, 6.0, 14.0, 16.0}
        worth = [row.worth for row in two.rows]
        assert worth == sorted(worth, reverse=True)

    def test_an_ensemble_is_asked_where_its_members_differ(self):
        (clip,) = suggest_clips([prediction("a", members=4)], 1, length=2.0).rows
        assert 14.0 <= clip.start <= 16.0
        assert clip.why.startswith("disagreement: ")

    def test_what_is_labelled_is_not_suggested(self):
        done = Labels(
            pd.DataFrame([(4.0, 9.0, "rest")], columns=["start", "stop", "label"]), CLASSES
        )
        clips = suggest_clips([prediction("a")], 3, length=2.0, labelled={"a": done})
        inside = done.observed
        for row in clips.rows:
            assert not (Intervals([row.start], [row.stop]) & inside).duration
        everything = Labels(done.table, CLASSES, Intervals([0], [20]))
        with pytest.raises(DataError, match="No clip is left"):
            suggest_clips([prediction("a")], 3, labelled={"a": everything})

    def test_no_clip_crosses_a_gap(self):
        one = prediction("a")
        times = one.times + np.where(np.arange(len(one.times)) >= 120, 30.0, 0.0)
        jumped = Prediction("a", CLASSES, times, one.probabilities, one.codes)
        for row in suggest_clips([jumped], 20, length=1.5).rows:
            assert not row.start < 6.0 + 1e-6 < 36.0 <= row.stop

    def test_the_end_of_a_stretch_makes_no_clip_of_a_few_frames(self):
        """The last 0.1 s are wholly undecided, and still no clip of two frames."""
        one = prediction("a", n=402)
        one.probabilities[-2:] = 1 / 3
        clips = suggest_clips([one], 20, length=2.0)
        lengths = [row.stop - row.start for row in clips.rows]
        assert min(lengths) >= 1.0
        assert max(lengths) <= 2.0 + 1e-9

    def test_a_frame_with_a_label_hides_no_more_than_itself(self):
        done = Labels(pd.DataFrame([(5.0, 5.05, "rest")], columns=["start", "stop", "label"]))
        clips = suggest_clips([prediction("a")], 20, length=2.0, labelled={"a": done})
        starts = {round(row.start, 6) for row in clips.rows}
        assert {0.0, 2.0, 4.0, 5.05, 7.05} <= starts  # 4 to 5 s is half a clip

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_answers_come_back_from_a_spreadsheet(self, tmp_path, encoding, delimiter):
        clips = suggest_clips([prediction("a")], 3)
        table = clips.table.assign(label=["walk", "", " none "])
        table.to_csv(tmp_path / "c.csv", index=False, sep=delimiter, encoding=encoding)
        assert is_clip_list(tmp_path / "c.csv")
        (answer,) = read_answers(tmp_path / "c.csv", CLASSES).values()
        assert answer.observed.duration == pytest.approx(4.0)
        assert [row.label for row in answer.rows] == ["walk"]

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("a,2,4,rest", "line 2 .walk, 1.000 to 3.000 s. and line 3 .rest.*overlap"),
            ("a,2,4,none", "line 2.*and line 3.*overlap"),
            ("a,5,4,rest", "line 3: rest must start before it stops"),
            ("a,5,,rest", "line 3, column 'stop': '' is no number"),
        ],
    )
    def test_refuses_answers(self, tmp_path, row, message):
        (tmp_path / "c.csv").write_text(f"recording,start,stop,label\na,1,3,walk\n{row}\n")
        with pytest.raises(DataError, match=message):
            read_answers(tmp_path / "c.csv", CLASSES)

    def test_answers_come_back(self, tmp_path):
        clips = suggest_clips([prediction("a"), prediction("b")], 5)
        clips.write(tmp_path / "clips.csv")
        assert read_answers(tmp_path / "clips.csv", CLASSES) == {}
        table = clips.table.assign(label=["walk", "none", "", "groom", ""])
        table.to_csv(tmp_path / "clips.csv", index=False)
        answers = read_answers(tmp_path / "clips.csv", CLASSES)
        watched = sum(each.observed.duration for each in answers.values())
        assert watched == pytest.approx(3 * 2.0)
        first = clips.table.iloc[0]
        assert answers[first["recording"]].intervals("walk") == Intervals(
            [first["start"]], [first["stop"]]
        )
        table.assign(label="sleep").to_csv(tmp_path / "clips.csv", index=False)
        with pytest.raises(DataError, match="line 2, column 'label': 'sleep' is not among"):
            read_answers(tmp_path / "clips.csv", CLASSES)
        table.drop(columns="stop").to_csv(tmp_path / "clips.csv", index=False)
        with pytest.raises(DataError, match="found no column 'stop'"):
            read_answers(tmp_path / "clips.csv", CLASSES)


def test_diverse_choice_keeps_the_gap_within_a_group():
    features = np.array([[0.0], [1.0], [2.0], [3.0]])
    times = [0.0, 0.1, 0.2, 5.0]
    assert choose_diverse(features, np.ones(4), 4, times=times, gap=1.0).tolist() == [0, 3]
    groups = [0, 0, 1, 1]
    chosen = choose_diverse(features, np.ones(4), 4, times=times, gap=1.0, groups=groups)
    assert sorted(chosen) == [0, 2, 3]


@st.composite
def frames(draw):
    n = draw(st.integers(2, 30))
    one, other = (
        np.array(draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n))) for _ in "ab"
    )
    return np.arange(n) / 10, one, other


class TestMerging:
    @settings(max_examples=60)
    @given(frames())
    def test_corrections_win_and_the_rest_stays(self, case):
        times, old, new = case
        merged = merge_labels(
            Labels.from_frames(times, old, CLASSES), Labels.from_frames(times, new, CLASSES)
        )
        expected = np.where(new >= 0, new, old)
        np.testing.assert_array_equal(merged.labels.codes(times), expected)
        step = 0.1
        assert merged.added == pytest.approx(step * ((new >= 0) & (old < 0)).sum())
        both = (new >= 0) & (old >= 0)
        assert merged.changed == pytest.approx(step * (both & (new != old)).sum(), abs=1e-9)
        assert merged.confirmed == pytest.approx(step * (both & (new == old)).sum(), abs=1e-9)

    def test_of_one_animal_alone(self):
        columns = ["start", "stop", "label", "individual"]
        old = Labels(
            pd.DataFrame([(0.0, 4.0, "walk", "a"), (0.0, 4.0, "walk", "b")], columns=columns)
        )
        new = Labels(pd.DataFrame([(1.0, 2.0, "rest", "a")], columns=columns))
        merged = merge_labels(old, new)
        assert merged.labels.intervals("walk", "a") == Intervals([0, 2], [1, 4])
        assert merged.labels.intervals("walk", "b") == Intervals([0], [4])
        assert (merged.changed, str(merged)) == (
            1.0,
            "0.0 s newly labelled, 1.0 s changed, 0.0 s confirmed",
        )
        nobody = Labels(pd.DataFrame([(1.0, 2.0, "rest", "")], columns=columns))
        nothing = Labels(nobody.table.iloc[:0], ("rest",), Intervals([1], [2]))
        for unnamed in (nobody, nothing):
            with pytest.raises(DataError, match="labels are of a, b; .* do not say whose"):
                merge_labels(old, unnamed)
            merged = merge_labels(old, unnamed, "b").labels
            assert merged.intervals("walk", "a") == Intervals([0], [4])
            assert merged.intervals("walk", "b") == Intervals([0, 2], [1, 4])
            assert merged.intervals("rest", "b").duration == unnamed.observed.duration * (
                len(unnamed.table) > 0
            )

    def test_a_confirmed_clip_cuts_no_bout(self):
        columns = ["start", "stop", "label"]
        old = Labels(pd.DataFrame([(0.0, 9.0, "walk")], columns=columns))
        new = Labels(pd.DataFrame([(1.0, 2.0, "walk"), (9.0, 10.0, "walk")], columns=columns))
        merged = merge_labels(old, new)
        assert [row[:3] for row in merged.labels.rows] == [(0.0, 10.0, "walk")]
        assert (merged.added, merged.confirmed) == (1.0, 1.0)

    def test_the_only_animal_is_meant(self):
        columns = ["start", "stop", "label", "individual"]
        old = Labels(pd.DataFrame([(0.0, 4.0, "walk", "a")], columns=columns))
        nobody = Labels(pd.DataFrame([(1.0, 2.0, "rest", "")], columns=columns))
        merged = merge_labels(old, nobody).labels
        assert merged.individuals == ("a",)
        assert merged.intervals("rest", "a") == Intervals([1], [2])
        with pytest.raises(DataError, match="corrections are of a; the labels do not say"):
            merge_labels(nobody, old)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return tb.simulate(folder, animals=1, duration=8.0, seed=0, size=(96, 128), fps=20.0)


class TestMovies:
    def test_a_grid_of_bouts(self, study, tmp_path):
        ((name, recording),) = study.items()
        video = next(iter(recording.videos.values()))
        labels = next(s for s in recording.streams.values() if isinstance(s, Labels))
        label = labels.rows[0].label
        pose = {name: recording["keypoints"]}
        n = behaviour_movie(
            tmp_path / "m.mp4", label, {name: labels}, {name: video}, keypoints=pose, n=5, size=64
        )
        expected = min(5, sum(row.label == label for row in labels.rows))
        assert n == expected
        movie = Video(tmp_path / "m.mp4")
        side = int(np.ceil(np.sqrt(n))) * 64
        assert (movie.width, movie.n_frames) == (side, round(2.0 * 20) + 1)
        middle = movie.frames([0, 12]).frames.astype(int)
        assert (middle[1, :64, 1] > 200).mean() > 0.9  # the border while the behaviour holds
        with pytest.raises(DataError, match="No recording with a video holds a bout of 'fly'"):
            behaviour_movie(tmp_path / "n.mp4", "fly", {name: labels}, {name: video})

    def test_clips(self, study, tmp_path):
        ((name, recording),) = study.items()
        video = next(iter(recording.videos.values()))
        clips = suggest_clips([prediction(name, n=video.n_frames)], 2, length=1.0)
        paths = export_clips(clips, {name: video}, tmp_path, around=0.5)
        assert [path.name[:4] for path in paths] == ["001_", "002_"]
        assert all(20 <= Video(path).n_frames <= 41 for path in paths)
        with pytest.raises(DataError, match="has no video"):
            export_clips(clips, {}, tmp_path)


@pytest.fixture
def correct_app():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(correct)

    def call(*arguments):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            app([str(a) for a in arguments], standalone_mode=False)
        return out.getvalue()

    return call


class TestCorrectOnTheCommandLine:
    @pytest.fixture
    def files(self, tmp_path):
        (tmp_path / "l.csv").write_text("start,stop,label\n0,10,rest\n10,12,walk\n")
        rows = ["a,4,6,walk,1,", "a,14,16,none,1,", "a,1,2,,1,"]
        (tmp_path / "clips.csv").write_text(
            "\n".join(["recording,start,stop,label,worth,why", *rows])
        )
        return tmp_path

    def test_clips(self, correct_app, files):
        said = correct_app(files / "l.csv", files / "clips.csv", "-o", files / "new.csv")
        assert "2.0 s newly labelled, 2.0 s changed, 0.0 s confirmed" in said
        new = tb.recordings.read_labels(files / "new.csv")
        assert new.intervals("walk") == Intervals([4, 10], [6, 12])
        assert new.observed == Intervals([0, 14], [12, 16])

    def test_clips_that_nobody_has_answered_yet(self, correct_app, files):
        table = pd.read_csv(files / "clips.csv").assign(label="")
        table.to_csv(files / "clips.csv", index=False)
        with pytest.raises(DataError, match="fill in its column 'label'"):
            correct_app(
                files / "l.csv", files / "clips.csv", "-o", files / "new.csv", "--recording", "a"
            )

    def test_what_a_spreadsheet_saves_is_the_same_list(self, correct_app, files):
        """Taken for a table of bouts, clips without an answer would erase labels."""
        text = (files / "clips.csv").read_text().replace(",", ";")
        (files / "clips.csv").write_text(text, encoding="utf-8-sig")
        said = correct_app(files / "l.csv", files / "clips.csv", "-o", files / "new.csv")
        assert "2.0 s newly labelled, 2.0 s changed, 0.0 s confirmed" in said

    def test_a_class_that_never_occurred_before(self, correct_app, files):
        text = (files / "clips.csv").read_text().replace("walk", "groom")
        (files / "clips.csv").write_text(text)
        arguments = [files / "l.csv", files / "clips.csv", "-o", files / "new.csv"]
        with pytest.raises(DataError, match="'groom' is not among the classes rest, walk, none"):
            correct_app(*arguments)
        correct_app(*arguments, "--classes", "rest,walk,groom")
        assert "4.0,6.0,groom," in (files / "new.csv").read_text()


def test_streams_of_labels_that_are_there(tmp_path):
    times = np.arange(20) / 10
    done = Labels.from_frames(times, np.zeros(20, int), CLASSES)
    one, two = Recording("one", {"hand": done, "rule": done}), Recording("two", {})
    data = Dataset({"one": one, "two": two})
    assert _labels(data, LabelConfig(weak="rule"), None) == {"one": done}
    assert _labels(data, LabelConfig(stream="hand"), None) == {"one": done}
    with pytest.raises(ConfigError, match="several streams of labels .hand, rule."):
        _labels(data, LabelConfig(), None)
    with pytest.raises(ConfigError, match="no recording has labels in a stream 'hnad'"):
        _labels(data, LabelConfig(), "hnad")
