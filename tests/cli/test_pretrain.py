"""``tinbergen pretrain`` on good and on broken input: one message, its exit code, nothing lost."""

import json
import random
import shutil

import pandas as pd
import pytest

from tinbergen.recordings.check import check_dataset
from tinbergen.training import RunFolder


def files_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def assert_refused(said, code, *words):
    """One message that starts with ``error:`` and names what matters; no traceback."""
    assert said.code == code, said
    assert "Traceback" not in said.err
    message = said.err[said.err.index("error: ") :]
    assert message.count("error: ") == 1
    for word in words:
        assert word in message, message


def test_a_run_from_videos_to_report(cli, tiny, videos, tmp_path):
    before = files_in(videos)
    said = cli("pretrain", videos, "--out", tmp_path / "run", *tiny())
    assert said.code == 0, said.err
    assert said.out.splitlines() == [str(tmp_path / "run"), str(tmp_path / "run" / "report.html")]
    run = RunFolder.open(tmp_path / "run")
    assert run.status["state"] == "done"
    assert {"v0", "v1"} == {entry["recording"] for entry in (run.splits or {})["validation"]}
    assert {"summary.json", "scores.csv", "videos.csv", "report.html"} <= set(files_in(run.path))
    assert files_in(videos) == before


# --- settings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        (["--set", "train.stesp=5"], 2, ["train.stesp", "did you mean 'steps'"]),
        (["--set", "train=5"], 2, ["train", "found 5"]),
        (["--set", "train=5", "--steps", "3"], 2, ["train", "found 5"]),
        (["--set", "train.steps"], 2, ["key=value", "train.steps"]),
        (["--preset", "best"], 2, ["preset", "vit-m", "'best'"]),
        (["--size", "xl"], 2, ["size", "ti, s, b, l", "'xl'"]),
        (["--set", "encoder.patch=7"], 2, ["multiples of patch 7"]),
        (["--set", "train.device=tpu"], 2, ["train.device", "'tpu'"]),
        (["--from", "nothing.pth"], 1, ["nothing.pth", "found none"]),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(
    cli, tiny, videos, tmp_path, extra, code, words
):
    said = cli("pretrain", videos, "--out", tmp_path / "run", *tiny(), *extra)
    assert_refused(said, code, *words)
    assert files_in(tmp_path) == []


def test_absent_gpu_is_refused_before_anything_is_written(cli, tiny, videos, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    said = cli("pretrain", videos, "--out", tmp_path / "run", *tiny(train__device="cuda"))
    assert_refused(said, 1, "found 0", "device=cpu")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("preset", ["tinbergen", "vit-m"])
def test_too_few_frames_for_the_batch(cli, tiny, videos, tmp_path, preset):
    said = cli(
        "pretrain", videos, "--out", tmp_path / "run", "--preset", preset,
        *tiny(train__batch_size=1024),
    )  # fmt: skip
    assert_refused(said, 2, "Too few frames for the batch", "train.batch_size")
    assert not (tmp_path / "run").exists()


def test_weights_of_another_width(cli, tiny, videos, trained, tmp_path):
    said = cli(
        "pretrain", videos, "--out", tmp_path / "run", "--from", trained,
        *tiny(encoder__width=32),
    )  # fmt: skip
    assert_refused(said, 1, "does not fit this model", "(1, 1, 16) for (1, 1, 32)")
    assert files_in(tmp_path) == []


def test_fine_tuning_starts_from_a_run(cli, tiny, videos, trained, tmp_path):
    said = cli(
        "pretrain", videos, "--out", tmp_path / "run", "--from", trained, "--no-report", *tiny()
    )
    assert said.code == 0, said.err
    assert "starting from" in said.err and "missing" not in said.err
    status = RunFolder.open(tmp_path / "run").status
    assert set(status["inputs"]) == {"frames", "start_from"}


# --- broken videos -------------------------------------------------------------------------


def cut(data):
    return data[: len(data) // 2]


def flipped(data):
    """Flip bits in the middle, where the frames are."""
    generator, broken = random.Random(0), bytearray(data)
    for _ in range(30):
        broken[generator.randrange(len(data) // 4, len(data) // 2)] ^= 1 << generator.randrange(8)
    return bytes(broken)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, ["not a readable video", "cut short"]),
        (lambda data: b"a text file\n" * 20, ["not a readable video"]),
        (lambda data: b"", ["is empty (0 bytes)"]),
    ],
    ids=["truncated", "text", "zero-length"],
)
def test_unreadable_videos_are_refused_or_skipped(cli, tiny, videos, tmp_path, damage, words):
    data = tmp_path / "data"
    shutil.copytree(videos, data)
    (data / "broken.mp4").write_bytes(damage((videos / "v0.mp4").read_bytes()))
    arguments = ["pretrain", data, "--out", tmp_path / "runs" / "run", "--no-report", *tiny()]
    assert_refused(cli(*arguments), 1, "broken.mp4", "--skip-bad", *words)
    assert not (tmp_path / "runs" / "run").exists()
    said = cli(*arguments, "--skip-bad")
    assert said.code == 3
    assert "left out" in said.err and "broken.mp4" in said.err
    status = RunFolder.open(tmp_path / "runs" / "run").status
    assert status["state"] == "done"
    assert len(status["losses"]) == 1 and "broken.mp4" in status["losses"][0]
    said = cli(*arguments, "--resume")  # what was left out at the start needs no asking again
    assert said.code == 3, said.err
    assert "with losses:\n  left out" in said.err and "broken.mp4" in said.err


def test_a_flipped_bit_loses_frames_not_the_run(cli, tiny, videos, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(videos, data)
    (data / "flip.mp4").write_bytes(flipped((videos / "v0.mp4").read_bytes()))
    said = cli("pretrain", data, "--out", tmp_path / "run", *tiny())
    assert said.code == 3, said
    assert "flip.mp4" in said.err and "cannot be decoded" in said.err
    assert "Traceback" not in said.err
    losses = RunFolder.open(tmp_path / "run").status["losses"]
    assert len(losses) == 1 and "of 120 frames" in losses[0]


def test_the_report_lists_where_videos_are_damaged_and_those_left_out(cli, tiny, videos, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(videos, data)
    (data / "flip.mp4").write_bytes(flipped((videos / "v0.mp4").read_bytes()))
    (data / "broken.mp4").write_bytes(b"a text file\n" * 20)
    assert cli("pretrain", data, "--out", tmp_path / "run", "--skip-bad", *tiny()).code == 3
    table = pd.read_csv(tmp_path / "run" / "videos.csv", keep_default_na=False, index_col=0)
    (checked,) = check_dataset(data / "flip.mp4", workers=1)
    assert [checked.corrupt, checked.missing] == [*table.loc["flip", ["corrupt", "missing"]]]
    spans = ";".join(f"{first}-{last}" for first, last in checked.damaged)
    assert table.loc["flip", "damaged_frames"] == spans
    assert "not a readable video" in table.loc["broken", "message"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "1 could not be used at all" in page and "broken.mp4 is not a readable video" in page


def test_a_video_cut_short_in_a_container_that_allows_it(cli, tiny, videos, clip, tmp_path):
    whole = clip(tmp_path / "whole.mkv").read_bytes()
    data = tmp_path / "data"
    shutil.copytree(videos, data)
    (data / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    said = cli("pretrain", data, "--out", tmp_path / "run", "--no-report", *tiny())
    assert said.code in (0, 3), said
    assert "Traceback" not in said.err
    assert RunFolder.open(tmp_path / "run").status["state"] == "done"


def test_a_video_of_one_frame_goes_along(cli, tiny, videos, clip, tmp_path):
    clip(tmp_path / "one.mp4", 1)
    said = cli("pretrain", videos, tmp_path / "one.mp4", "--out", tmp_path / "run", *tiny())
    assert said.code == 0, said


def test_only_a_video_of_one_frame_is_too_little(cli, tiny, clip, tmp_path):
    clip(tmp_path / "one.mp4", 1)
    said = cli("pretrain", tmp_path / "one.mp4", "--out", tmp_path / "run", *tiny())
    assert said.code in (1, 2)
    assert_refused(said, said.code)
    assert not (tmp_path / "run").exists()


def test_one_name_in_two_folders_unicode_and_spaces(cli, tiny, videos, tmp_path):
    data = tmp_path / "Mäuse und Ratten"
    for folder in ("день 1", "день 2 (ü)"):
        (data / folder).mkdir(parents=True)
        shutil.copy(videos / "v0.mp4", data / folder / "a b.mp4")
    out = tmp_path / "Läufe 1" / "run ü"
    said = cli("pretrain", data, "--out", out, *tiny())
    assert said.code == 0, said.err
    names = {entry["recording"] for entry in (RunFolder.open(out).splits or {})["validation"]}
    assert names == {"день 1/a b", "день 2 (ü)/a b"}


@pytest.mark.parametrize("what", ["empty folder", "absent"])
def test_no_videos(cli, tiny, tmp_path, what):
    data = tmp_path / "data"
    if what == "empty folder":
        data.mkdir()
        (data / "notes.txt").write_text("none")
    said = cli("pretrain", data, "--out", tmp_path / "run", *tiny())
    assert_refused(said, 1, str(data), "found nothing" if what == "absent" else "Found no video")
    assert not (tmp_path / "run").exists()


# --- outputs -------------------------------------------------------------------------------


def test_an_existing_run_is_not_touched(cli, tiny, videos, trained, clip, tmp_path):
    before = (trained / "status.json").read_bytes(), (trained / "weights.safetensors").read_bytes()
    said = cli("pretrain", videos, "--out", trained, "--no-report", *tiny())
    assert_refused(said, 1, "already holds a run (done)", "--resume")
    other = cli("pretrain", videos, "--out", trained, "--resume", *tiny(train__steps=13))
    assert_refused(other, 2, "train.steps: 12 in the run, 13 now")
    fewer = cli("pretrain", videos / "v0.mp4", "--out", trained, "--resume", *tiny())
    assert_refused(fewer, 1, "without the recordings that it began with", "v1")
    for number in (0, 5):  # another video under the name of the second
        clip(tmp_path / f"v{min(number, 1)}.mp4", seed=number)
    data = cli("pretrain", tmp_path, "--out", trained, "--resume", *tiny())
    assert_refused(data, 1, "other data", "frames")
    now = (trained / "status.json").read_bytes(), (trained / "weights.safetensors").read_bytes()
    assert now == before


def test_resume_needs_no_settings(cli, videos, trained):
    before = (trained / "weights.safetensors").read_bytes()
    said = cli("pretrain", videos, "--out", trained, "--no-report", "--resume")
    assert said.code == 0, said.err
    assert (trained / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize("where", ["out", "out/run"])
def test_a_file_where_a_folder_should_be(cli, tiny, videos, tmp_path, where):
    (tmp_path / "out").write_text("precious")
    said = cli("pretrain", videos, "--out", tmp_path / where, *tiny())
    assert_refused(said, 1, "Expected a folder at", "found a file")
    assert (tmp_path / "out").read_text() == "precious"
    assert files_in(tmp_path) == ["out"]


def test_a_folder_of_other_things_is_not_written_into(cli, tiny, videos, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("precious")
    said = cli("pretrain", videos, "--out", tmp_path / "thesis", *tiny())
    assert_refused(said, 1, "is not empty", "nothing is overwritten")
    assert files_in(tmp_path) == ["thesis", "thesis/chapter.tex"]


def test_read_only_disk(cli, tiny, videos, small_disk):
    disk = small_disk("size=1m,ro")
    assert_refused(cli("pretrain", videos, "--out", disk / "run", *tiny()), 1, "read-only")


def test_full_disk_before_caching(cli, tiny, videos, small_disk):
    disk = small_disk("size=256k")
    said = cli("pretrain", videos, "--out", disk / "run", *tiny())
    assert_refused(said, 1, "free")
    assert not (disk / "run").exists()


def test_full_disk_while_training_then_resumed(cli, tiny, videos, small_disk, trained, tmp_path):
    disk = small_disk("size=2m")
    fill = disk / "fill"
    fill.write_bytes(bytes(1_980_000))
    arguments = ["pretrain", videos, "--out", disk / "run", "--cache", tmp_path / "cache"]
    said = cli(*arguments, "--no-report", *tiny())
    assert_refused(said, 1, "the disk is full", str(disk))
    status = json.loads((disk / "run" / "status.json").read_text())
    assert status["state"] in ("failed", "running")
    fill.unlink()
    said = cli(*arguments, "--no-report", "--resume")
    assert said.code == 0, said.err
    resumed = (disk / "run" / "weights.safetensors").read_bytes()
    assert resumed == (trained / "weights.safetensors").read_bytes()
