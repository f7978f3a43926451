import json
import os
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from tinbergen.beast import cache_build, selection
from tinbergen.beast.cache import CacheConfig, FrameCache, cache_key, fingerprint
from tinbergen.beast.cache_build import build_cache
from tinbergen.beast.selection import Selection
from tinbergen.errors import DataError, MissingFileError, OutputError
from tinbergen.recordings import AnimalView, Dataset, ImageFolder, Recording, Video

SMALL = CacheConfig(selection=Selection(frames_per_video=8, offset=2), size=(24, 32))
ALL = CacheConfig(selection=Selection(method="all"), size=(24, 32), gray=True)


def dataset_of(**videos):
    return Dataset({name: Recording(name, {"video": video}) for name, video in videos.items()})


@pytest.mark.parametrize("config", [SMALL, ALL], ids=["selected", "all"])
def test_rows_hold_what_the_index_says(tmp_path, array_video, config):
    videos = {
        "a": array_video(60, "a.npy", bad=[7, 8]),
        "b": array_video(45, "b.npy", times=np.arange(45) / 10 + 3),
    }
    cache = build_cache(dataset_of(**videos), tmp_path / "cache", config)
    shape = (24, 32, 1 if config.gray else 3)
    rows = cache.index.to_dict("records")
    assert cache.frames.shape == (len(rows), *shape) == (len(cache), *shape)
    for row, line in enumerate(rows):
        video = videos[line["recording"]].view(size=(24, 32), gray=config.gray)
        assert line["time"] == video.times[line["frame"]]
        assert cache.videos[line["video"]].recording == line["recording"]
        assert line["stream"] == "video"
        if line["status"] == 0:
            assert np.array_equal(cache.frames[row], video.frame(line["frame"]).reshape(shape))
        else:
            assert not cache.frames[row].any() and not line["anchor"]
        for other, sign in ((line["before"], -1), (line["after"], 1)):
            if other >= 0:
                step = config.selection.offset * sign
                assert rows[other]["frame"] == line["frame"] + step
                assert all(rows[other][k] == line[k] for k in ("video", "stretch"))
    anchors = np.bincount([line["video"] for line in rows if line["anchor"]])
    assert anchors.tolist() == ([58, 45] if config is ALL else [8, 8])
    assert sum(line["status"] != 0 for line in rows) == (2 if config is ALL else 0)
    assert len(cache.usable) == (103 if config is ALL else len(rows))
    assert len(cache.losses) == 1 and "2 of 60" in cache.losses[0] and "7" in cache.losses[0]


def test_mean_and_deviation_of_each_video(tmp_path, array_video):
    data = dataset_of(a=array_video(40, "a.npy", bad=[3]), b=array_video(1, "b.npy"))
    cache = build_cache(data, tmp_path / "cache", ALL)
    index = cache.index
    for number in range(2):
        rows = index[(index["video"] == number) & (index["status"] == 0)].index
        frames = cache.frames[rows].astype(float)
        np.testing.assert_allclose(cache.mean[number], frames.mean(0), atol=1e-4)
        np.testing.assert_allclose(cache.std[number], frames.std(0), atol=1e-3)


def test_read_equals_the_memory_map(tmp_path, array_video):
    cache = build_cache(dataset_of(a=array_video(40)), tmp_path / "cache", SMALL)
    rows = np.array([3, 0, 3, len(cache) - 1])
    assert np.array_equal(cache.read(rows), cache.frames[rows])
    again = pickle.loads(pickle.dumps(cache))
    assert np.array_equal(again.read(rows), cache.frames[rows])


def test_reused_if_nothing_changed(tmp_path, array_video, monkeypatch):
    data = dataset_of(a=array_video(40))
    first = build_cache(data, tmp_path / "cache", SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(cache_build, "_write_video", None)
        patch.setattr(cache_build, "select_many", None)
        os.utime(tmp_path / "clip.npy")
        again = build_cache(data, tmp_path / "cache", SMALL)
    assert again.key == first.key
    with pytest.raises(OutputError, match="other videos or settings"):
        build_cache(data, tmp_path / "cache", ALL)
    assert build_cache(data, tmp_path / "cache", ALL, overwrite=True).key != first.key
    other = dataset_of(a=array_video(41))
    with pytest.raises(OutputError, match="other videos"):
        build_cache(other, tmp_path / "cache", ALL)


@pytest.mark.parametrize(
    ("stage", "config"),
    [("select_frames", SMALL), ("_write_video", SMALL), ("_write_video", ALL)],
)
def test_a_kill_goes_on_with_the_next_video(tmp_path, array_video, monkeypatch, stage, config):
    data = dataset_of(**{name: array_video(40, f"{name}.npy") for name in "abc"})
    whole = build_cache(data, tmp_path / "whole", config)
    done = []
    module = cache_build if stage == "_write_video" else selection
    original = getattr(module, stage)

    def killed(item, *args, **kwargs):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(item)
        return original(item, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(module, stage, killed)
        with pytest.raises(KeyboardInterrupt):
            build_cache(data, tmp_path / "cache", config)
        with pytest.raises(DataError, match="no finished frame cache"):
            FrameCache.open(tmp_path / "cache")
        done.clear()
        resumed = build_cache(data, tmp_path / "cache", config)
    assert len(done) == 1
    assert resumed.frames.tobytes() == whole.frames.tobytes()
    assert resumed.index.equals(whole.index)
    assert np.array_equal(resumed.mean, whole.mean)
    assert sorted(os.listdir(tmp_path / "cache")) == sorted(os.listdir(tmp_path / "whole"))


def test_half_done_with_other_settings_starts_anew(tmp_path, array_video, monkeypatch):
    data = dataset_of(a=array_video(40, "a.npy"), b=array_video(40, "b.npy"))
    with monkeypatch.context() as patch:
        patch.setattr(cache_build, "_save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_cache(data, tmp_path / "cache", SMALL)
    cache = build_cache(data, tmp_path / "cache", ALL)
    assert len(cache) == 80


def test_broken_videos_are_all_named_before_anything_starts(tmp_path, write_clip, capsys):
    good = write_clip(tmp_path / "in/sub dir/ü.mp4")
    (tmp_path / "in/text.mp4").write_text("this is no video")
    (tmp_path / "in/empty.mp4").touch()
    cut = tmp_path / "in/cut.mp4"
    cut.write_bytes(good.read_bytes()[:300])
    with pytest.raises(DataError, match="3 of 4 videos") as caught:
        build_cache(tmp_path / "in", tmp_path / "cache", SMALL)
    assert all(name in str(caught.value) for name in ("text.mp4", "empty.mp4", "cut.mp4"))
    assert "skip" in str(caught.value) and not (tmp_path / "cache").exists()
    cache = build_cache(tmp_path / "in", tmp_path / "cache", SMALL, skip_bad=True)
    assert [v.recording for v in cache.videos] == ["sub dir/ü"]
    assert len(cache.losses) == 3 and "left out" in capsys.readouterr().err
    with pytest.raises(DataError, match="text.mp4"):
        build_cache(tmp_path / "in/text.mp4", tmp_path / "c2", SMALL, skip_bad=True)


def test_undecodable_video_is_found_while_selecting(tmp_path, array_video):
    sound = {name: array_video(30, f"{name}.npy") for name in "ac"}
    data = dataset_of(a=sound["a"], b=array_video(5, "b.npy", bad=range(5)), c=sound["c"])
    for config in (SMALL, ALL):
        out = tmp_path / config.selection.method
        with pytest.raises(DataError, match=r"b\.npy: no.* frame.* decoded"):
            build_cache(data, out, config)
        cache = build_cache(data, out, config, skip_bad=True)
        assert len(cache.losses) == 1 and "b.npy" in cache.losses[0]
        index = cache.index.iloc[cache.usable]
        assert set(index["recording"]) == {"a", "c"}
        assert index.groupby("stretch")["video"].nunique().eq(1).all()


def test_folder_exported_by_the_reference(tmp_path):
    """Anchors 10 and 12 share a neighbour; 30 stands alone at the end of its video."""
    folder = tmp_path / "in/mouse 1"
    folder.mkdir(parents=True)
    frames = [9, 10, 11, 12, 13, 29, 30]
    for frame in frames:
        cv2.imwrite(str(folder / f"img{frame:08d}.png"), np.full((20, 30, 3), frame, np.uint8))
    names = "".join(f"img{frame:08d}.png\n" for frame in (10, 12, 30))
    (folder / "selected_frames.csv").write_text(names)
    data = dataset_of(**{"mouse 1": ImageFolder(folder)})
    cache = build_cache(data, tmp_path / "cache", CacheConfig(size=(24, 32)))
    assert cache.frames[:, 5, 5, 0].tolist() == frames
    assert cache.index["anchor"].tolist() == [False, True, False, True, False, False, True]
    assert cache.index["after"].tolist() == [1, 2, 3, 4, -1, 6, -1]
    assert Dataset.open(tmp_path / "in").videos()


def test_two_videos_of_one_name_and_several_processes(tmp_path, write_clip):
    write_clip(tmp_path / "in/day1/clip.mp4", seed=1)
    write_clip(tmp_path / "in/day2/clip.mp4", seed=2)
    one = build_cache(tmp_path / "in", tmp_path / "one", SMALL)
    two = build_cache(tmp_path / "in", tmp_path / "two", SMALL, workers=2)
    assert [v.recording for v in one.videos] == ["day1/clip", "day2/clip"]
    assert one.frames.tobytes() == two.frames.tobytes() and one.index.equals(two.index)


def test_region_of_interest_is_part_of_the_key(tmp_path, array_video):
    video = array_video(30)
    whole = build_cache(dataset_of(a=video), tmp_path / "whole", ALL)
    part = build_cache(dataset_of(a=video.view(roi=(4, 4, 20, 20))), tmp_path / "part", ALL)
    assert whole.key != part.key
    view = video.view(roi=(4, 4, 20, 20), size=(24, 32), gray=True)
    assert np.array_equal(part.frames[11, ..., 0], view.frame(11))


def test_the_view_that_goes_with_the_animal_has_a_key_of_its_own(array_video):
    video = array_video(30)
    views = [video, AnimalView(video, 16), AnimalView(video, 24)]
    assert len({cache_key({("a", "video"): view}, SMALL) for view in views}) == 3


def test_outputs_in_the_way(tmp_path, array_video, monkeypatch):
    data = dataset_of(a=array_video(30))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("keep")
    with pytest.raises(OutputError, match="something else"):
        build_cache(data, tmp_path / "mine", SMALL)
    assert (tmp_path / "mine/thesis.txt").read_text() == "keep"
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file"):
        build_cache(data, tmp_path / "file", SMALL)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(OutputError, match="GB"):
        build_cache(data, tmp_path / "full", SMALL)


def test_two_builders_at_once(tmp_path, array_video, monkeypatch, capfd):
    data, out = dataset_of(a=array_video(30)), tmp_path / "cache"
    original, calls, waiting = cache_build._write_video, [], []

    def slow(task):
        calls.append(task)
        waiting.append(ThreadPoolExecutor().submit(build_cache, data, out, SMALL))
        deadline = time.monotonic() + 30
        while "Waiting for another process" not in capfd.readouterr().err:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        original(task)

    monkeypatch.setattr(cache_build, "_write_video", slow)
    first = build_cache(data, out, SMALL)
    second = waiting[0].result(timeout=30)
    assert len(calls) == 1  # the second takes what the first made
    assert first.meta == second.meta
    assert {path.name for path in out.iterdir()} <= set(cache_build._RESULTS)


def test_disk_runs_full_while_writing(tmp_path, array_video, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_build, "write_all", full)
    with pytest.raises(OutputError, match="disk is full"):
        build_cache(dataset_of(a=array_video(30)), tmp_path / "cache", SMALL)


def test_missing_or_future_cache(tmp_path, array_video):
    with pytest.raises(MissingFileError):
        FrameCache.open(tmp_path / "nowhere")
    cache = build_cache(dataset_of(a=array_video(30)), tmp_path / "cache", SMALL)
    meta = json.loads((cache.path / "meta.json").read_text())
    (cache.path / "meta.json").write_text(json.dumps(meta | {"format": 99}))
    with pytest.raises(DataError, match="format 99"):
        _ = FrameCache.open(cache.path).meta


def test_fingerprint_follows_content_not_place(tmp_path):
    generator = np.random.default_rng(0)
    data = bytearray(generator.bytes(6 << 20))
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(data)
    b.write_bytes(data)
    assert fingerprint(a) == fingerprint(b)
    data[-1] ^= 1
    b.write_bytes(data)
    assert fingerprint(a) != fingerprint(b)
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "img00000001.png").write_bytes(b"1")
    before = fingerprint(folder)
    (folder / "img00000002.png").write_bytes(b"2")
    assert fingerprint(folder) != before


def test_mirror_mouse_with_a_damaged_copy(tmp_path, real_data, write_clip):
    source = Path(real_data / "video/mouse_treadmill_mirror_lp/videos/test_vid.mp4")
    data = bytearray(source.read_bytes())
    for place in range(200_000, 1_400_000, 100_000):
        data[place : place + 64] = bytes(64)
    (tmp_path / "flipped.mp4").write_bytes(data)
    config = CacheConfig(selection=Selection(frames_per_video=40), size=(64, 64), gray=True)
    cache = build_cache(tmp_path / "flipped.mp4", tmp_path / "cache", config)
    assert cache.losses and cache.videos[0].n_bad > 0
    assert cache.index["anchor"].to_numpy().sum() == 40 and len(cache.usable) == len(cache)
    assert cache.videos[0].n_frames == Video(source).n_frames == 994
    check = Video(tmp_path / "flipped.mp4").check()
    assert check.missing == cache.videos[0].n_missing > 0
    assert check.corrupt == cache.videos[0].n_bad - check.missing
