"""From a dataset on the disk to bouts: runs, their command line, and what is refused."""

import json
import os
import signal
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from tinbergen.actions import (
    ActionConfig,
    ActionModel,
    LogisticFrames,
    compare,
    density,
    evaluate,
    gradient,
    label_density,
    labelled_sequences,
    thin_labels,
    train,
)
from tinbergen.actions.evaluation import shuffled_bouts
from tinbergen.actions.evaluation_folder import _around
from tinbergen.actions.thinning import SEEDS
from tinbergen.errors import (
    ConfigError,
    DataError,
    OutputError,
    PreemptedError,
    TinbergenError,
)
from tinbergen.metrics import frame_scores
from tinbergen.recordings import (
    ArrayVideo,
    Dataset,
    Intervals,
    Keypoints,
    Labels,
    Recording,
    Series,
    Split,
    read_labels,
)
from tinbergen.recordings.splits import WHOLE
from tinbergen.report import write_report
from tinbergen.training import RunFolder

CLASSES = ("rest", "run", "turn")
FPS = 20.0
QUICK = {"model": "logistic", "folds": 3}


def recording(name, seed, seconds=40, fps=FPS):
    """One animal that rests, runs and turns, and somebody who says so."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(rng.integers(0, 3, seconds), round(fps))
    heading = np.cumsum(np.where(codes == 2, 0.3, 0.0))
    ahead = np.stack([np.cos(heading), np.sin(heading)], axis=1)
    place = np.cumsum(ahead * np.where(codes == 1, 3.0, 0.1)[:, None], axis=0)
    parts = place[:, None] + np.array([8.0, 0.0, -8.0])[:, None] * ahead[:, None]
    parts = parts + rng.normal(0, 0.2, parts.shape)
    times = np.arange(len(codes)) / fps
    labels = Labels.from_frames(times, codes, CLASSES)
    pose = Keypoints(times, parts[:, None], keypoints=("head", "body", "tail"))
    return Recording(name, {"pose": pose, "behaviour": labels})


def study(n=6):
    names = [f"day{i}" for i in range(n)]
    parts = {
        "train": {name: WHOLE for name in names[:-2]},
        "test": {name: WHOLE for name in names[-2:]},
    }
    recordings = [recording(name, i) for i, name in enumerate(names)]
    return Dataset(recordings, {"days": Split(parts)})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("actions")
    study().save(folder / "study")
    return folder, train(study(), folder / "run", split="days", overrides=QUICK)


def test_a_run_holds_its_model_its_split_and_how_its_decoder_was_chosen(finished):
    _, run = finished
    assert run.status["state"] == "done"
    assert run.splits["train"] == ["day0", "day1", "day2", "day3"]
    table = pd.read_csv(run.path / "decoders.csv")
    assert table["chosen"].tolist().count(True) == 1
    model = ActionModel.load(run.path / "model")
    assert model.classes == CLASSES
    assert model.rate == pytest.approx(FPS)


def test_the_test_part_is_scored_and_was_learned(finished):
    folder, run = finished
    result = evaluate(run, study(), out=folder / "scores")
    scores: dict[str, Any] = {score.name: score for score in result.scores}
    assert [each.recording for each in result.predictions] == ["day4", "day5"]
    assert scores["macro F1"].value > 0.9
    assert scores["macro F1"].null < 0.6
    assert scores["F1@50"].value > 0.7
    summary = json.loads((folder / "scores" / "summary.json").read_text())
    assert summary["headline"]["value"] == pytest.approx(scores["macro F1"].value)
    bouts = read_labels(folder / "scores" / "predictions" / "day4.bouts.csv")
    times = result.predictions[0].times
    found = np.array(bouts.classes)[bouts.codes(times)]
    assert_array_equal(found, np.array(CLASSES)[result.predictions[0].codes])


def test_bouts_a_minute(finished):
    _, run = finished
    found = ActionModel.load(run.path / "model").predict(recording("day4", 4))
    rates: Any = found.rates().set_index("label")
    listed: Any = found.bouts()
    assert rates["bouts"].sum() == len(listed)
    runs = listed[listed["label"] == "run"]
    assert rates.loc["run", "bouts_per_minute"] == pytest.approx(len(runs) / (40 / 60), abs=1e-3)
    lasted = (runs["stop"] - runs["start"]).median()
    assert rates.loc["run", "median_duration"] == pytest.approx(lasted, abs=1e-3)
    assert rates["share"].sum() == pytest.approx(1, abs=1e-3)


def test_a_second_rater_stands_beside_the_model(finished):
    _, run = finished
    rng = np.random.default_rng(1)
    mine = {name: recording(name, seed) for name, seed in (("day4", 4), ("day5", 5))}
    watched, truths, theirs = [], [], []
    for name, each in mine.items():
        times = each["pose"].times
        truth = each["behaviour"].codes(times)
        codes = np.where(np.repeat(rng.random(len(truth) // 20) < 0.3, 20), 0, truth)
        codes[:100] = -1
        seen = Labels.from_frames(times, codes, CLASSES)
        watched.append(Recording(name, {**each.streams, "bob": seen}))
        truths.append(np.where(codes >= 0, truth, -1))
        theirs.append(codes)
    found = evaluate(run, Dataset(watched), part="all", rater="bob", out=False)
    by_name: dict[str, Any] = {score.name: score for score in found.scores}
    expected = frame_scores(truths, theirs, 3)
    assert by_name["macro F1"].baselines[0].name == "bob"
    assert by_name["macro F1"].baselines[0].value == pytest.approx(expected.macro_f1)
    assert by_name["Cohen's kappa"].baselines[0].value == pytest.approx(expected.kappa)
    assert 0 < by_name["F1@50"].baselines[0].value < 1
    with pytest.raises(DataError, match="has labels called 'eve'; there are: behaviour"):
        evaluate(run, Dataset([recording("day4", 4)]), part="all", rater="eve", out=False)


def test_model_and_raters_are_scored_on_the_frames_of_all(finished):
    _, run = finished
    each = recording("day4", 4)
    times = each["pose"].times
    truth = each["behaviour"].codes(times)
    theirs = {"bob": np.where(times < 30, truth, -1), "eve": np.where(times >= 10, truth, -1)}
    streams = {name: Labels.from_frames(times, y, CLASSES) for name, y in theirs.items()}
    data = Dataset([Recording("day4", {**each.streams, **streams})])
    found = evaluate(run, data, part="all", rater=["bob", "eve"], out=False)
    assert found.scores[0].n == 20 * FPS
    assert [one.value for one in found.scores[0].baselines] == [1.0, 1.0]
    assert any("400 of 800 labelled frames that bob and eve" in n for n in found.sequences.notes)
    with pytest.raises(ConfigError, match="name all others with --rater"):
        evaluate(run, data, part="all", rater="bob", out=False)


def test_classes_that_are_one_word_written_in_two_ways_are_named():
    each = recording("day1", 1)
    times = each["pose"].times
    codes = each["behaviour"].codes(times)
    other = Labels.from_frames(times, codes, ("Rest", "run", "turn"))
    data = Dataset([each, Recording("day2", {**each.streams, "behaviour": other})])
    found = labelled_sequences(data, ActionConfig())
    assert [n for n in found.notes if "'rest' and 'Rest' count as different classes" in n]


def test_predicted_bouts_are_shown_where_there_is_a_video(finished, capsys):
    folder, run = finished
    with h5py.File(folder / "day4.h5", "w") as file:
        file["video"] = np.full((800, 48, 64), 90, np.uint8)
    video = ArrayVideo(folder / "day4.h5", fps=FPS)
    filmed = recording("day4", 4)
    filmed = Recording("day4", {**filmed.streams, "video": video})
    unseen = Dataset([filmed, recording("day5", 5)])
    out = folder / "filmed"
    result = evaluate(run, unseen, part="all", out=out)
    table = pd.read_csv(out / "diagnostics" / "movies.csv", dtype={"file": str})
    predicted = result.predictions[0].bouts()["label"].value_counts()
    assert dict(zip(table["label"], table["bouts"], strict=True)) == {
        name: min(n, 9) for name, n in predicted.items()
    }
    page = write_report(out).read_text()
    evaluate(run, unseen, part="all", out=folder / "unseen", movies=False)
    assert not (folder / "unseen" / "diagnostics" / "movies").exists()
    assert page.count('<video src="data:video/mp4;base64,') == len(table) > 0
    (folder / "day4.h5").unlink()  # then none is left over, and nothing else is lost
    evaluate(run, unseen, part="all", out=out)
    assert "no movies of recording 'day4': " in capsys.readouterr().err
    assert not (out / "diagnostics" / "movies").exists()
    assert "<video" not in write_report(out).read_text()


def test_all_recordings_have_been_seen_and_other_parts_can_be_named(finished):
    _, run = finished
    assert len(evaluate(run, study(), part="all", out=False).predictions) == 6
    assert len(evaluate(run, study(), part="train", out=False).predictions) == 4
    with pytest.raises(
        ConfigError, match="no 'evening' in the run's split; there is: train, test"
    ):
        evaluate(run, study(), part="evening", out=False)
    trained = Dataset([recording(f"day{i}", i) for i in range(4)])
    with pytest.raises(DataError, match="trained on all of these"):
        evaluate(run, trained, out=False)


def test_predicting_needs_no_labels_and_the_same_frames_and_features(finished):
    _, run = finished
    model = ActionModel.load(run.path / "model")
    whole = recording("new", 7)
    bare = Recording("new", {"pose": whole["pose"]})
    prediction = model.predict(bare)
    assert prediction.probabilities.shape == (800, 3)
    assert prediction.variance is not None and (prediction.variance >= 0).all()
    assert prediction.entropy.max() <= np.log(3) + 1e-9
    with pytest.raises(DataError, match="30 frames per second, the model has 20"):
        model.predict(recording("new", 7, fps=30.0))
    renamed = replace(whole["pose"], keypoints=("nose", "body", "tail"))
    with pytest.raises(DataError, match="'ego head x' is missing"):
        model.predict(Recording("new", {"pose": renamed}))


def test_labels_that_do_not_fit_are_refused_or_counted(tmp_path):
    day = recording("day0", 0)
    labels = day["behaviour"]
    shifted = labels.table.assign(start=labels.table["start"] * 3, stop=labels.table["stop"] * 3)
    wrong = Recording("day0", {**day.streams, "behaviour": Labels(shifted, CLASSES)})
    rest = [recording(f"day{i}", i) for i in (1, 2)]
    with pytest.raises(DataError, match=r"'day0': .* of 120.00 s with labels lie outside"):
        train(Dataset([wrong, *rest]), tmp_path / "a", overrides=QUICK)
    assert not (tmp_path / "a").exists()
    run = train(Dataset([wrong, *rest]), tmp_path / "b", overrides=QUICK, skip_bad=True)
    assert "day0" in run.status["losses"][0]
    little = labels.table.copy()
    little.loc[little.index[-1], "stop"] += 0.5
    longer = Recording("day0", {**day.streams, "behaviour": Labels(little, CLASSES)})
    run = train(Dataset([longer, *rest]), tmp_path / "c", overrides=QUICK)
    assert any("0.50 s" in note and "not used" in note for note in run.status["notes"])


def with_labels(table, classes=()):
    labels = Labels(pd.DataFrame(table, columns=["start", "stop", "label"]), classes)
    return Recording("day0", {"pose": recording("day0", 0)["pose"], "behaviour": labels})


@pytest.mark.parametrize(
    ("table", "settings", "text"),
    [
        ([(0, 5, "run"), (3, 8, "rest")], {}, "'day0': .* hold at once"),
        ([(0, 5, "jump")], {"classes": ["run", "rest"]}, "labels of 'jump', .* not among"),
        ([(0, 5, "run")], {"background": "calm"}, "'calm' is not among the classes"),
        ([(0, 5, "run")], {"stream": "mood"}, "None of the 2 recordings has labels under 'mood'"),
    ],
)
def test_labels_that_say_two_things_or_unknown_ones_are_refused(table, settings, text):
    config = ActionConfig.model_validate({"labels": settings})
    with pytest.raises(TinbergenError, match=text):
        labelled_sequences(Dataset([with_labels(table), recording("day1", 1)]), config)


def test_frames_without_a_label_are_counted():
    half = Dataset([with_labels([(0, 10, "rest")]), recording("day1", 1)])
    found = labelled_sequences(half, ActionConfig())
    assert found.notes == (
        "600 of 1,600 frames have no label, or one that means unscored: neither learned nor "
        "scored. The largest share is that of day0: 600 of 800.",
    )


def test_unscored_classes_and_background_become_codes():
    table = [(0, 5, "run"), (5, 8, "base"), (10, 12, "rest")]
    config = ActionConfig.model_validate({"labels": {"unscored": ["base"]}})
    found = labelled_sequences(Dataset([with_labels(table)]), config)
    assert found.classes == ("rest", "run")
    assert found.codes[0][[0, 120, 180, 210]].tolist() == [1, -1, -1, 0]


def test_recordings_need_no_labels_by_a_rule():
    day = recording("day0", 0)
    ruled = Recording("day0", {**day.streams, "rules": day["behaviour"]})
    labels = {"stream": "behaviour", "weak": "rules"}
    config = ActionConfig.model_validate({"labels": labels, "features": {"keypoints": "pose"}})
    found = labelled_sequences(Dataset([ruled, recording("day1", 1)]), config)
    assert found.weak is not None
    assert_array_equal(found.weak[0], found.codes[0])
    assert (found.weak[1] == -1).all()
    wrong = Recording("day0", {**day.streams, "rules": day["pose"]})
    with pytest.raises(ConfigError, match="'rules' of 'day0' holds no labels"):
        labelled_sequences(Dataset([wrong]), config)


def test_a_bout_that_goes_on_from_frames_nobody_scored_has_no_onset():
    codes = np.repeat([-1, 1, 0, 1], 5)
    windows = _around(np.arange(20.0)[:, None], codes, codes, k=1, reach=2)
    assert windows[..., 0].tolist() == [[13, 14, 15, 16, 17]]


def test_a_class_without_a_training_frame_is_named_and_never_predicted(tmp_path):
    data = Dataset([recording(f"day{i}", i) for i in range(3)])
    settings = {**QUICK, "labels": {"classes": [*CLASSES, "sleep"]}}
    run = train(data, tmp_path / "run", overrides=settings)
    assert any("sleep: never predicted" in note for note in run.status["notes"])
    found = ActionModel.load(run.path / "model").predict(data["day0"])
    assert found.probabilities[:, 3].max() == 0


def test_other_frame_rates_one_recording_and_unknown_settings_are_refused(tmp_path):
    data = Dataset([recording("day0", 0), recording("day1", 1, fps=30.0)])
    with pytest.raises(DataError, match="30 frames per second, 'day0' has 20"):
        train(data, tmp_path / "run", overrides=QUICK)
    with pytest.raises(DataError, match="two training recordings or more"):
        train(Dataset([recording("day0", 0)]), tmp_path / "run", overrides=QUICK)
    with pytest.raises(ConfigError, match="did you mean 'features'"):
        train(data, tmp_path / "run", overrides={"feature": {}})
    with pytest.raises(ConfigError, match="no segmenter 'tnc'; did you mean 'tcn'"):
        train(data, tmp_path / "run", overrides={"model": "tnc"})
    assert not (tmp_path / "run").exists()


def test_one_model_without_folds_takes_its_decoder_as_it_is_given(tmp_path):
    data = Dataset([recording("day0", 0)])
    settings = {"model": "logistic", "folds": 0, "decoder": {"path": "sticky", "shortest": 5}}
    run = train(data, tmp_path / "run", overrides=settings)
    model = ActionModel.load(run.path / "model")
    assert (model.decoder.path, model.decoder.shortest) == ("sticky", 5)
    assert model.predict(data["day0"]).variance is None


def test_a_run_is_not_overwritten_and_goes_on_when_asked_to(tmp_path):
    data = Dataset([recording(f"day{i}", i) for i in range(3)])
    settings = {
        "folds": 2,
        "settings": {"epochs": 3, "width": 8, "length": 200},
        "decoder": {"window": 5},
    }
    first = train(data, tmp_path / "run", overrides=settings)
    with pytest.raises(OutputError, match="already"):
        train(data, tmp_path / "run", overrides=settings)
    assert train(data, tmp_path / "run", overrides=settings, resume=True).status["state"] == "done"
    before = ActionModel.load(first.path / "model").predict(data["day0"]).probabilities
    RunFolder(tmp_path / "run").update_status(state="preempted")
    again = train(data, tmp_path / "run", overrides=settings, resume=True)
    after = ActionModel.load(again.path / "model").predict(data["day0"]).probabilities
    assert_array_equal(before, after)


def crash(after):
    raise RuntimeError("out of memory")


def terminate(after):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("stop", "state"), [(terminate, "preempted"), (crash, "failed")], ids=["SIGTERM", "crash"]
)
def test_a_run_that_stopped_inside_a_member_goes_on_to_the_same_model(
    stop, state, tmp_path, monkeypatch
):
    data = Dataset([recording(f"day{i}", i) for i in range(3)])
    settings = {
        "folds": 2,
        "settings": {"epochs": 8, "width": 8, "length": 200},
        "decoder": {"window": 5},
    }
    whole = train(data, tmp_path / "whole", overrides=settings)
    fetch, asked = gradient.SegmentationTask.fetch, []

    def stopping(self, indices, step):
        asked.append(step)
        if len(asked) > 1 and step == 3 and asked.count(0) > 1:
            stop(step)
        return fetch(self, indices, step)

    with monkeypatch.context() as patch:
        patch.setattr(gradient.SegmentationTask, "fetch", stopping)
        with pytest.raises((PreemptedError, RuntimeError)):
            train(data, tmp_path / "run", overrides=settings)
    assert RunFolder(tmp_path / "run").status["state"] == state
    again = train(data, tmp_path / "run", overrides=settings, resume=True)
    assert again.status["state"] == "done"
    one, other = (
        ActionModel.load(run.path / "model").predict(data["day0"]).probabilities
        for run in (whole, again)
    )
    assert_array_equal(one, other)


def test_going_on_with_other_labels_is_refused(tmp_path):
    data = Dataset([recording(f"day{i}", i) for i in range(3)])
    run = train(data, tmp_path / "run", overrides=QUICK)
    run.update_status(state="preempted")
    other = Dataset([recording(f"day{i}", i + 1) for i in range(3)])
    with pytest.raises(DataError, match="other data: training"):
        train(other, tmp_path / "run", overrides=QUICK, resume=True)
    renamed = {**QUICK, "labels": {"classes": ["run", "rest", "turn"]}}
    with pytest.raises(ConfigError, match="other settings"):
        train(data, tmp_path / "run", overrides=renamed, resume=True)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"settings": {"epoch": 3}}, "'tcn': there is no 'epoch'; did you mean 'epochs'"),
        ({"settings": {"epochs": "x"}}, "settings of 'tcn': epochs: .* found 'x'"),
        ({"decoder": {"window": 4}}, "window: expected an odd number"),
        ({"decoder": {"path": "sticky", "stay": 0.2}}, "stay: expected a probability from 1/3"),
        ({"decoder": {"gap": 3}}, "Name the background class"),
        ({"model": "trees", "labels": {"stream": "behaviour", "weak": "rules"}}, "does not learn"),
        ({"model": "mstcn", "labels": {"stream": "behaviour", "weak": "rules"}}, "does not learn"),
        ({"labels": {"stream": "behaviour", "weak": "rules"}}, "no training recording .* 'rules'"),
        ({"settings": {"tokens": 2}}, "all features have to be tokens, and 'ego head x'"),
        ({"settings": {"tokens": 2, "width": 30}}, "width: expected a multiple of 4"),
    ],
)
def test_settings_of_no_use_are_refused_before_anything_is_written(settings, text, tmp_path):
    data = Dataset([recording(f"day{i}", i) for i in range(3)])
    with pytest.raises(ConfigError, match=text):
        train(data, tmp_path / "run", overrides=settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (lambda: with_labels([(0, 5, "jump")]), "'day0' has labels of 'jump', .* labels.classes"),
        (lambda: with_labels([(0, 5, "run"), (4, 6, "turn")]), "run and turn hold at once"),
        (lambda: recording("day0", 0, fps=30.0), "30 frames per second, the training part has 20"),
    ],
)
def test_a_test_part_that_cannot_be_scored_is_refused_before_training(bad, text, tmp_path):
    parts = {"train": {"day1": WHOLE, "day2": WHOLE}, "test": {"day0": WHOLE}}
    seen = [recording("day1", 1), recording("day2", 2)]
    data = Dataset([bad(), *seen], {"days": Split(parts)})
    with pytest.raises(DataError, match=text):
        train(data, tmp_path / "run", split="days", overrides=QUICK)
    assert not (tmp_path / "run").exists()
    train(data, tmp_path / "run", split="days", overrides=QUICK, skip_bad=True)


def test_a_test_part_without_labels_is_no_matter(tmp_path):
    parts = {"train": {"day1": WHOLE, "day2": WHOLE}, "test": {"day0": WHOLE}}
    new = Recording("day0", {"pose": recording("day0", 0)["pose"]})
    data = Dataset([new, recording("day1", 1), recording("day2", 2)], {"days": Split(parts)})
    run = train(data, tmp_path / "run", split="days", overrides={**QUICK, "folds": 2})
    assert run.status["state"] == "done"


def tokens(name, seed, n=3):
    """A recording with ``n`` tokens of two numbers a frame beside its keypoints."""
    made = recording(name, seed)
    pose = made["pose"]
    values = np.tile(pose.positions[:, 0, 0], n)
    series = Series(pose.times, values, tuple(f"{i}" for i in range(values.shape[1])))
    return Recording(name, {**made.streams, "patch": series})


def test_patch_tokens_are_the_only_features_if_there_are_to_be_any(tmp_path):
    data = Dataset([tokens(f"day{i}", i) for i in range(2)])
    features = {"series": ["patch"], "sets": [], "velocity": False}
    settings = {"model": "tcn", "settings": {"tokens": 4, "epochs": 1, "blocks": 1}, "folds": 0}
    with pytest.raises(ConfigError, match="6 features are not 4 tokens"):
        train(data, tmp_path / "run", overrides={**settings, "features": features})
    changes = {**features, "velocity": True}
    with pytest.raises(ConfigError, match="'change of patch:0' is none"):
        train(data, tmp_path / "run", overrides={**settings, "features": changes})
    settings["settings"]["tokens"] = 3
    run = train(data, tmp_path / "run", overrides={**settings, "features": features})
    assert len(evaluate(run, data, part="all", out=False).predictions) == 2
    with pytest.raises(DataError, match="there are no features"):
        train(data, tmp_path / "none", overrides={"features": {"sets": []}})


def test_recordings_without_a_labelled_frame_teach_nothing(tmp_path):
    nothing = [with_labels([]), replace(with_labels([]), name="day1")]
    settings = {**QUICK, "labels": {"classes": CLASSES}}
    with pytest.raises(DataError, match="None of the 2 training recordings has a labelled frame"):
        train(Dataset(nothing), tmp_path / "run", overrides=settings)
    one = Dataset([nothing[0], recording("day2", 2)])
    with pytest.raises(DataError, match="labels in two sequences, found them in one of 2"):
        train(one, tmp_path / "one", overrides=settings)
    validation = Split({"train": {"day2": WHOLE}, "validation": {"day0": WHOLE}})
    with pytest.raises(DataError, match="None of the 1 validation recordings has a labelled"):
        train(
            one.with_split("days", validation),
            tmp_path / "run",
            split="days",
            overrides={**settings, "folds": 0},
        )


def test_validation_and_test_have_the_frames_and_features_of_the_training(finished, tmp_path):
    _, run = finished
    fast = recording("day5", 5, fps=30.0)
    data = Dataset([*(study()[f"day{i}"] for i in range(5)), fast], study().splits)
    with pytest.raises(DataError, match="30 frames per second, the model has 20"):
        evaluate(run, data, out=False)
    result = evaluate(run, data, out=False, skip_bad=True)
    assert [each.recording for each in result.predictions] == ["day4"]
    assert "day5" in result.sequences.lost[0]
    parts = {"train": {"day0": WHOLE, "day1": WHOLE}, "validation": {"day5": WHOLE}}
    with pytest.raises(DataError, match="30 frames per second, the training part has 20"):
        train(data.with_split("v", Split(parts)), tmp_path / "run", split="v", overrides=QUICK)


def test_what_was_trained_on_in_part_is_not_held_out(tmp_path):
    stretches = Intervals([0.0, 20.0], [10.0, 30.0])
    parts = {"train": {"day0": stretches, "day1": WHOLE}}
    data = Dataset([recording(f"day{i}", i) for i in range(3)], {"times": Split(parts)})
    run = train(data, tmp_path / "run", split="times", overrides={**QUICK, "folds": 2})
    elsewhere = Dataset(list(data.values()))
    result = evaluate(run, elsewhere, out=False)
    assert [each.recording for each in result.predictions] == ["day2"]
    assert evaluate(run, elsewhere, part="all", out=False).part == (
        "all recordings, 2 of 3 trained on"
    )


def test_a_comparison_with_nothing_to_score_is_refused_before_training(tmp_path):
    with pytest.raises(ConfigError, match="All recordings would train, and none be scored"):
        compare(study(), tmp_path / "comparison", ["logistic"])
    assert not (tmp_path / "comparison").exists()


def test_models_are_compared_in_one_table(tmp_path):
    table = compare(study(), tmp_path, ["logistic", "hmm"], split="days", overrides={"folds": 2})
    assert sorted(table["model"]) == ["hmm", "logistic"]
    assert table["macro_f1"].is_monotonic_decreasing
    assert min(table["train_s"]) > 0
    assert set(table["left_out"]) == {0}
    assert pd.read_csv(tmp_path / "comparison.csv")["model"].tolist() == table["model"].tolist()
    with pytest.raises(ConfigError, match="settings are those of one model"):
        compare(study(), tmp_path, ["logistic", "trees"], overrides={"settings": {"lags": 1}})


def test_few_labels_are_drawn_trained_on_and_shown_in_the_report(tmp_path, monkeypatch):
    run = train(study(), tmp_path / "run", split="days", overrides=QUICK)
    assert "How many labels are enough" not in write_report(run.path).read_text()
    table: Any = label_density(run, study(), goals=(50, 100), draws=2)
    assert table[["frames", "draw"]].to_numpy().tolist() == [[50, 0], [50, 1], [100, 0], [100, 1]]
    # Bouts are 20 frames, or several of them in a row: chunks of 50 are few, and never too many.
    assert (table["labelled"] <= 3 * table["frames"]).all()
    data = study().split("days")
    training = labelled_sequences(data["train"], ActionConfig())
    scored = labelled_sequences(data["test"], ActionConfig())
    codes = thin_labels(training.codes, 3, 100, seed=SEEDS[1]).codes
    model = LogisticFrames(random_state=1).fit(training.x, codes, classes=CLASSES)
    expected = model.score(scored.x, scored.codes)
    assert table["macro_f1"].iloc[-1] == pytest.approx(expected, abs=1e-4)
    assert "How many labels are enough" in write_report(run.path).read_text()

    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(density, "new_segmenter", never)  # rows that are there stay
    assert label_density(run, study(), goals=(100, 50), draws=2).equals(table)
    with pytest.raises(ConfigError, match="goals: expected 50 frames or more each, found"):
        label_density(run, study(), goals=(20,))
    with pytest.raises(ConfigError, match="draws: expected 1 to 5, found 6"):
        label_density(run, study(), draws=6)
    whole = train(study(), tmp_path / "whole", overrides=QUICK)
    with pytest.raises(ConfigError, match="Train with --split"):
        label_density(whole, study(), part="train")


def test_shuffled_bouts_are_the_same_bouts():
    codes = np.repeat([0, 2, 1, 0], [5, 3, 7, 2])
    mixed = shuffled_bouts(codes, np.random.default_rng(0))
    assert_array_equal(np.bincount(mixed), np.bincount(codes))
    assert not np.array_equal(mixed, codes)


class TestCommandLine:
    def test_training_scores_what_was_held_out_and_writes_a_page(self, cli, finished, tmp_path):
        folder, _ = finished
        found = cli(
            *("actions", "train", folder / "study", "-o", tmp_path / "run", "--split", "days"),
            *("--model", "logistic", "--set", "folds=3"),
        )
        assert found.code == 0, found.err
        assert "macro F1" in found.out
        page = (tmp_path / "run" / "report.html").read_text()
        assert all(
            f'<section id="{name}">' in page for name in ("ethograms", "certainty", "bouts")
        )

    def test_predicting_writes_bouts_and_frames_and_overwrites_only_when_told(
        self, cli, finished, tmp_path
    ):
        folder, run = finished
        command = ("actions", "predict", run.path, folder / "study", "-o", tmp_path)
        assert cli(*command).code == 0
        frames = pd.read_csv(tmp_path / "day0.frames.csv")
        assert list(frames.columns[:3]) == ["time", "label", "entropy"]
        assert len(frames) == 800
        bouts = pd.read_csv(tmp_path / "day0.bouts.csv")
        assert bouts["probability"].between(0, 1).all()
        again = cli(*command)
        assert again.code == 1
        assert "--overwrite" in again.err
        assert cli(*command, "--overwrite").code == 0

    def test_recordings_that_do_not_fit_are_left_out_when_told(self, cli, finished, tmp_path):
        folder, run = finished
        Dataset([recording("slow", 0), recording("fast", 1, fps=50.0)]).save(tmp_path / "mixed")
        command = ("actions", "predict", run.path, tmp_path / "mixed", "-o", tmp_path / "out")
        found = cli(*command)
        assert found.code == 1 and "1 of 2 recordings" in found.err
        assert not (tmp_path / "out").exists()
        found = cli(*command, "--skip-bad")
        assert found.code == 3
        assert "left out" in found.err
        assert (tmp_path / "out" / "slow.bouts.csv").is_file()

    def test_one_recording_gives_no_interval_and_it_is_said(self, finished, tmp_path):
        folder, run = finished
        one = Dataset([recording("alone", 9)])
        for data, alone in ((one, True), (Dataset.open(folder / "study"), False)):
            found = evaluate(run, data, part="all", out=tmp_path)
            notes = json.loads((tmp_path / "summary.json").read_text())["notes"]
            assert any("gives no interval" in note for note in notes) == alone
            assert (found.scores[0].interval is None) == alone

    def test_evaluating_prints_scores(self, cli, finished, tmp_path):
        folder, run = finished
        found = cli(
            "actions", "evaluate", run.path, folder / "study", "-o", tmp_path, "--no-report"
        )
        assert found.code == 0, found.err
        assert "edit score" in found.out
        assert (tmp_path / "diagnostics" / "ethogram.csv").is_file()
