"""What a step depends on, and what it would run."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
from small_study import STEPS, SmallStudy

from tinbergen.configuration import read_yaml, write_yaml
from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.recordings import Dataset
from tinbergen.recordings.embedding_entry import read_embedding
from tinbergen.study import estimate
from tinbergen.study.running import plan_file, snakemake_command


def changed(before, after):
    return {name for name in after if before[name] != after[name]}


class TestFingerprints:
    def test_times_of_files_do_not_matter(self, small):
        before = small.fingerprints()
        for path in (small.folder / "data").iterdir():
            os.utime(path, (1e9, 1e9))
        assert small.fingerprints() == before

    def test_where_the_study_lies_does_not_matter(self, small, tmp_path_factory):
        elsewhere = tmp_path_factory.mktemp("elsewhere") / "moved"
        shutil.copytree(small.folder, elsewhere)
        moved = SmallStudy.__new__(SmallStudy)
        moved.folder, moved.file = elsewhere, elsewhere / "study.yaml"
        assert moved.fingerprints() == small.fingerprints()

    @pytest.mark.parametrize(
        ("file", "whose"),
        [
            ("a.mp4", {"features", "embeddings", "neurons", "wheel"}),
            ("a.spikes.npz", {"neurons", "wheel"}),
            ("b.csv", {"neurons", "wheel"}),
        ],
    )
    def test_a_changed_file_changes_what_reads_it(self, small, file, whose):
        before = small.fingerprints()
        small.data(file, "second")
        assert changed(before, small.fingerprints()) == whose

    def test_a_step_that_names_its_streams_depends_on_no_others(self, small):
        steps = {**STEPS, "wheel": {**STEPS["wheel"], "streams": ["spikes", "wheel"]}}
        before = small.write(steps).fingerprints()
        small.data("a.csv", "second")
        assert changed(before, small.fingerprints()) == {"neurons"}
        small.data("a.wheel.npz", "second")
        assert "wheel" in changed(before, small.fingerprints())

    @pytest.mark.parametrize(
        ("step", "whose"),
        [
            ("features", {"features", "embeddings", "neurons"}),
            ("embeddings", {"embeddings", "neurons"}),
            ("wheel", {"wheel"}),
        ],
    )
    def test_a_changed_setting_changes_the_step_and_what_follows(self, small, step, whose):
        before = small.fingerprints()
        extra = {"features": {"size": "s"}, "embeddings": {"tokens": "mean"}, "wheel": {"gap": 2}}
        small.changed(step, **extra[step])
        assert changed(before, small.fingerprints()) == whose

    def test_what_it_may_cost_does_not_matter(self, small):
        before = small.fingerprints()
        steps = {name: {**step, "cores": 2, "hours": 3.0} for name, step in STEPS.items()}
        assert small.write(steps).fingerprints() == before

    def test_files_that_settings_name_matter(self, small):
        labels = small.folder / "labels" / "CollectedData.csv"
        labels.parent.mkdir()
        labels.write_text("one")
        small.write({"pose": {"kind": "pose", "settings": {"labels": "labels"}}})
        before = small.fingerprints()
        labels.write_text("two")
        assert changed(before, small.fingerprints()) == {"pose"}

    def test_a_split_is_for_those_who_read_splits(self, small):
        before = small.fingerprints()
        path = small.folder / "data" / "dataset.yaml"
        value = read_yaml(path)
        write_yaml(path, {**value, "splits": {"days": {"train": {"a": "all"}}}})
        assert changed(before, small.fingerprints()) == {"neurons", "wheel"}


class TestCommands:
    def test_a_run_and_a_stream_go_where_they_belong(self, small):
        plan = small.plan()
        features, embeddings, neurons = (
            plan.steps[n] for n in ("features", "embeddings", "neurons")
        )
        assert features.commands[0][:3] == ("pretrain", str(features.dataset), "--out")
        assert embeddings.commands == (
            (
                *("embed", str(features.folder / "run"), str(embeddings.dataset)),
                *("--out", str(embeddings.folder / "run")),
            ),
        )
        (command,) = neurons.commands
        assert command[-2:] == ("--from", "embeddings")
        entry = neurons.catalogue.recordings["a"]["streams"]["embeddings"]
        folder = str(embeddings.folder / "run" / "a")
        assert entry == {"kind": "embedding", "file": folder, "tokens": "cls"}
        assert set(embeddings.catalogue.recordings["a"]["streams"]) == {"video"}

    def test_keypoints_of_a_step_bring_the_video_that_gives_their_times(self, small):
        labels = small.folder / "labels.csv"
        labels.write_text("x")
        steps = {
            "tracking": {"kind": "pose", "settings": {"labels": "labels.csv"}},
            "wheel": {**STEPS["wheel"], "uses": "tracking", "streams": ["spikes"]},
        }
        plan = small.write(steps).plan()
        streams = plan.steps["wheel"].catalogue.recordings["b"]["streams"]
        assert set(streams) == {"spikes", "tracking", "video"}
        file = plan.steps["tracking"].folder / "predicted" / "b.csv"
        assert streams["tracking"] == {"kind": "keypoints", "file": str(file), "times": "video"}

    def test_tokens_of_a_step_are_its_folder(self, small):
        small.changed("neurons", **{"from": ["embeddings:mean", "wheel"]})
        plan = small.plan()
        folder = plan.steps["embeddings"].folder / "run"
        assert f"{folder}:mean" in plan.steps["neurons"].commands[0]

    def test_values_as_the_command_line_has_them(self, small):
        settings = {
            "hold_out": ["a", "b"],
            "modality": ["wheel", "speed=wheel/speed"],
            "set": {"train": {"learning_rate": 5e-5}, "units": {"recent": True}},
        }
        small.write({"brain": {"kind": "population", "settings": settings}})
        first, second = small.plan().steps["brain"].commands
        text = " ".join(first)
        assert "--hold-out a,b --modality wheel --modality speed=wheel/speed" in text
        assert "--set train.learning_rate=5e-05 --set units.recent=true" in text
        assert second[:2] == ("population", "evaluate")
        folder = small.plan().steps["brain"].folder
        assert second[2] == str(folder / "run") and second[-1] == str(folder / "evaluation")

    def test_switches(self, small):
        small.changed("neurons", compare=True, report=False, together=False)
        command = small.plan().steps["neurons"].commands[0]
        assert "--compare" in command and "--no-report" in command
        assert "--together" not in command

    def test_a_stream_of_the_same_name_is_refused(self, small):
        small.write(
            {
                "features": STEPS["features"],
                "wheel": {"kind": "embed", "uses": "features"},
                "neurons": {"kind": "encode", "uses": "wheel", "settings": {"from": "wheel"}},
            }
        )
        with pytest.raises(ConfigError, match="has a stream 'wheel' already"):
            small.plan()

    def test_a_folder_of_videos(self, small):
        (small.folder / "data" / "dataset.yaml").unlink()
        small.write({"features": STEPS["features"]})
        plan = small.plan()
        streams = {n: r["streams"] for n, r in plan.steps["features"].catalogue.recordings.items()}
        assert list(streams) == ["a", "b"]
        assert streams["a"]["video"]["file"] == str(small.folder / "data" / "a.mp4")


class TestSlurm:
    def test_what_is_asked_for(self, small):
        steps = {
            "features": {**STEPS["features"], "cores": 4, "gpus": 1, "hours": 2, "memory_gb": 16},
            "wheel": STEPS["wheel"],
        }
        small.write(steps, slurm={"partition": "gpu", "account": "lab", "qos": "high"})
        plan = small.plan()
        written = plan_file(plan, estimate(plan), cores=None)["steps"]
        assert written["features"]["resources"] == {
            "mem_mb": 16000,
            "runtime": 120,
            "slurm_partition": "gpu",
            "slurm_account": "lab",
            "qos": "high",
            "gpu": 1,
        }
        assert written["features"]["cores"] == 4
        assert written["wheel"]["resources"]["runtime"] >= 30
        command = snakemake_command(plan, cores=1, slurm=True)
        assert command[command.index("--executor") + 1] == "slurm"
        assert command[command.index("--jobs") + 1] == "20"


class TestEmbeddingEntry:
    def write(self, folder, rows=3):
        folder.mkdir(parents=True)
        np.save(folder / "cls.npy", np.arange(6, dtype=np.float16).reshape(3, 2))
        index = pd.DataFrame({"frame": range(rows), "time": np.arange(rows) / 2, "status": 0})
        index.to_parquet(folder / "index.parquet")

    def test_a_dataset_names_it(self, tmp_path):
        self.write(tmp_path / "run" / "a")
        entry = {"kind": "embedding", "file": "run/a"}
        write_yaml(
            tmp_path / "dataset.yaml", {"recordings": {"a": {"streams": {"features": entry}}}}
        )
        found = Dataset.open(tmp_path)["a"]["features"]
        assert found.channels == ("cls0", "cls1") and found.values.dtype == np.float32
        np.testing.assert_array_equal(found.times, [0.0, 0.5, 1.0])
        np.testing.assert_array_equal(found.values, [[0, 1], [2, 3], [4, 5]])

    def test_what_is_missing_is_named(self, tmp_path):
        with pytest.raises(MissingFileError, match="index.parquet.*tinbergen embed"):
            read_embedding(tmp_path)
        self.write(tmp_path / "a")
        with pytest.raises(MissingFileError, match="no 'mean' tokens; it has: cls"):
            read_embedding(tmp_path / "a", "mean")
        self.write(tmp_path / "b", rows=2)
        with pytest.raises(DataError, match="expected 2 rows.*found 3"):
            read_embedding(tmp_path / "b")
