"""Everything that can be wrong in a study.yaml is named before anything runs."""

import pytest

from tinbergen.errors import ConfigError, MissingFileError
from tinbergen.study import check_settings, read_study


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({"a": {"kind": "embedd"}}, "'a', kind: there is no 'embedd'; did you mean 'embed'"),
        ({"a": {"kind": "check", "setings": {}}}, "did you mean 'settings'"),
        ({"a": {"kind": "check", "uses": "b"}}, "'a', uses: there is no step 'b'; there are: a"),
        ({"a": {"kind": "embed"}}, "embed needs the run of a step of kind pretrain"),
        ({"a b": {"kind": "check"}}, "names of steps are letters"),
        ({"a": 3}, "expected 'key: value' lines, found 3"),
        ({}, "names no step"),
        ({"a": {"kind": "encode", "predict": {"x": 1}}}, "encode has no part 'predict'"),
        ({"a": {"kind": "check", "cores": 0}}, "cores: Input should be greater than"),
        (
            {"a": {"kind": "pretrain"}, "b": {"kind": "decode", "uses": "a"}},
            "decode takes nothing from pretrain",
        ),
        (
            {"a": {"kind": "pretrain", "uses": "b"}, "b": {"kind": "pretrain", "uses": "a"}},
            "in a circle: a -> b -> a",
        ),
        (
            {
                "a": {"kind": "pretrain"},
                "b": {"kind": "pretrain"},
                "c": {"kind": "embed", "uses": ["a", "b"]},
            },
            "one run at most, found a, b",
        ),
    ],
)
def test_a_wrong_study_is_refused(small, steps, said):
    small.write(steps)
    with pytest.raises(ConfigError, match=said):
        read_study(small.file)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"kind": "pretrain", "settings": {"stepz": 3}}, "stepz: .*did you mean 'steps'"),
        ({"kind": "pretrain", "settings": {"steps": "many"}}, "valid integer"),
        ({"kind": "pretrain", "settings": {"steps": 0}}, "--steps"),
        ({"kind": "pretrain", "settings": {"report": "no"}}, "expected true or false"),
        ({"kind": "pretrain", "settings": {"out": "here"}}, "out: there is no such setting"),
        ({"kind": "pretrain", "settings": {"resume": True}}, "resume: there is no such setting"),
        ({"kind": "pretrain", "settings": {"size": {"a": 1}}}, "size: expected a value"),
        ({"kind": "encode"}, "--from"),
        ({"kind": "pose"}, "LABELS"),
        ({"kind": "decode", "settings": {"to": "wheel"}, "streams": ["weel"]}, "stream 'weel'"),
        ({"kind": "population", "evaluate": {"taskz": "encoding"}}, "did you mean 'tasks'"),
    ],
)
def test_settings_that_a_command_would_not_take(small, step, said):
    small.write({"it": step})
    with pytest.raises(ConfigError, match=rf"study.yaml, step 'it': .*{said}"):
        small.plan()


def test_settings_of_models_are_checked_before_the_first_step(small):
    small.write({"it": {"kind": "pretrain", "settings": {"set": {"train": {"stepz": 3}}}}})
    plan = small.plan()
    with pytest.raises(ConfigError, match="step 'it', set: train.stepz: .* did you mean 'steps'"):
        check_settings(plan)
    small.write({"it": {"kind": "crossanimal", "settings": {"set": {"netwrk": {}}}}})
    with pytest.raises(ConfigError, match="did you mean 'network'"):
        check_settings(small.plan())


def test_unknown_keys_and_versions(small):
    small.write({"a": {"kind": "check"}}, daata="x")
    with pytest.raises(ConfigError, match="daata: there is no such setting; did you mean 'data'"):
        read_study(small.file)
    small.write({"a": {"kind": "check"}}, schema_version=2)
    with pytest.raises(ConfigError, match="schema_version 2 is not known"):
        read_study(small.file)


def test_files_that_are_not_there(small):
    small.write({"a": {"kind": "pose", "settings": {"labels": "nowhere"}}})
    with pytest.raises(MissingFileError, match="step 'a': .*nowhere"):
        small.plan()
    (small.folder / "data" / "b.mp4").unlink()
    with pytest.raises(MissingFileError, match="recording 'b', 'video'.*b.mp4"):
        small.write({"a": {"kind": "check"}}).plan()
    small.write({"a": {"kind": "check"}}, data="elsewhere")
    with pytest.raises(MissingFileError, match="data: expected a dataset.yaml or a folder"):
        read_study(small.file)


def test_results_do_not_lie_among_videos(small):
    (small.folder / "data" / "dataset.yaml").unlink()
    small.write({"a": {"kind": "check"}}, out="data/results")
    with pytest.raises(ConfigError, match="results would lie among the videos"):
        read_study(small.file)


def test_steps_come_after_those_they_use_else_as_in_the_file(small):
    small.write(
        {
            "z": {"kind": "check"},
            "e": {"kind": "embed", "uses": ["f", "z"]},
            "a": {"kind": "check"},
            "f": {"kind": "pretrain"},
        }
    )
    assert list(read_study(small.file).steps) == ["z", "f", "e", "a"]
