import tracemalloc

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from tinbergen.beast import selection as module
from tinbergen.beast.selection import (
    SelectedFrames,
    Selection,
    distinct_frames,
    scan_video,
    select_frames,
    select_many,
)
from tinbergen.configuration import resolve
from tinbergen.errors import ConfigError, VideoError
from tinbergen.recordings import Video


def scan_of(video, sample=8192, seed=0):
    return scan_video(video, sample, np.random.default_rng(seed))


def test_motion_is_the_sum_of_differences_and_frame_zero_is_not_special(array_video):
    frames = np.zeros((5, 32, 32, 3), np.uint8)
    frames[2:] = 3
    scan = scan_of(array_video(frames=frames))
    assert scan.motion.tolist() == [0, 0, 3 * 32 * 32 * 3, 0, 0]


def test_motion_after_damage_looks_ahead(array_video):
    frames = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    frames[4:] += 10
    scan = scan_of(array_video(frames=frames, bad=[2]))
    each = 32 * 32 * 3
    assert scan.motion.tolist() == [each, each, 0, 11 * each, 11 * each, each]
    assert scan.sample.tolist() == [0, 1, 3, 4, 5]


def test_the_rule_of_the_paper_on_a_short_clip(array_video):
    """Clusters differ with the seeds, but each anchor must be the frame closest to its centre."""
    video = array_video(400)
    scan = scan_of(video)
    moving = np.flatnonzero(scan.motion > np.percentile(scan.motion, 50))
    anchors = select_frames(video, Selection(frames_per_video=30)).anchors
    assert len(anchors) == 30 and np.isin(anchors, moving).all()

    pictures = scan.pictures.astype(float)
    scores = PCA(32, svd_solver="full").fit_transform(pictures[moving])
    theirs = KMeans(30, random_state=0).fit(scores)
    closest = np.argmin(((scores[:, None] - theirs.cluster_centers_) ** 2).sum(-1), axis=0)

    def spread(chosen):
        return ((pictures[moving][:, None] - pictures[chosen]) ** 2).sum(-1).min(1).mean()

    chance = np.mean(
        [spread(np.random.default_rng(s).choice(moving, 30, replace=False)) for s in range(20)]
    )
    assert spread(anchors) < 1.15 * spread(moving[closest])
    assert spread(anchors) < 0.8 * chance


def test_long_videos_choose_from_a_bounded_sample(array_video, monkeypatch):
    monkeypatch.setattr(module, "_SAMPLE", 64)
    monkeypatch.setattr(module, "_SAMPLE_PER_FRAME", 1)
    video = array_video(400)
    scan = scan_of(video, 64)
    assert scan.pictures.shape[0] == 64 and len(np.unique(scan.sample)) == 64
    chosen = select_frames(video, Selection(frames_per_video=20))
    assert len(chosen.anchors) == 20
    assert (scan.motion[chosen.anchors] > np.percentile(scan.motion, 50)).all()


def test_memory_does_not_grow_with_the_video(array_video, monkeypatch):
    """But for status, motion and the like: a few bytes a frame, as the times themselves."""
    monkeypatch.setattr(module, "_SAMPLE", 512)
    monkeypatch.setattr(module, "_SAMPLE_PER_FRAME", 1)
    frame, peaks, lengths = np.zeros((1, 32, 32, 3), np.uint8), [], (4000, 12_000)
    for n in lengths:
        video = array_video(frames=np.broadcast_to(frame, (n, 32, 32, 3)), name=f"{n}.npy")
        tracemalloc.start()
        select_frames(video, Selection(frames_per_video=50))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / (lengths[1] - lengths[0]) < 150 < 32 * 32 * 3


def test_reservoir_is_uniform(array_video):
    video = array_video(frames=np.zeros((200, 32, 32, 3), np.uint8))
    hits = np.zeros(200)
    for seed in range(200):
        hits[scan_of(video, 20, seed).sample] += 1
    assert abs(hits[:100].sum() / hits.sum() - 0.5) < 0.03
    assert hits.max() < 45 and hits.min() > 3


def test_percentile_rises_for_very_long_videos(array_video, monkeypatch):
    monkeypatch.setattr(module, "_LONG_VIDEO", 100)
    scan = scan_of(array_video(400))
    chosen = distinct_frames(scan, 20, np.random.default_rng(0))
    assert (scan.motion[chosen] > np.percentile(scan.motion, 75)).all()


@pytest.mark.parametrize("method", ["pca_kmeans", "uniform", "random", "all"])
def test_every_method(array_video, method):
    bad = [0, 17, 18, 50]
    video = array_video(120, bad=bad)
    wanted = Selection(method=method, frames_per_video=25, offset=2, seed=3)
    chosen = select_frames(video, wanted)
    again = select_frames(video, wanted)
    assert all(np.array_equal(getattr(chosen, k), getattr(again, k)) for k in vars(chosen))
    assert len(chosen.anchors) == (116 if method == "all" else 25)
    assert not np.isin(chosen.frames, bad).any()
    assert (chosen.n_frames, chosen.n_bad) == (120, 4)
    assert (np.diff(chosen.frames) > 0).all()
    for i, (before, after) in enumerate(zip(chosen.before, chosen.after, strict=True)):
        frame = chosen.frames[i]
        for j, other in ((before, frame - 2), (after, frame + 2)):
            if j >= 0:
                assert chosen.frames[j] == other
                assert not np.isin(np.arange(min(frame, other), max(frame, other)), bad).any()
            elif chosen.anchor[i]:
                path = np.arange(min(frame, other), max(frame, other) + 1)
                assert np.isin(path, bad).any() or path[0] < 0 or path[-1] >= 120


def test_uniform_is_even_and_random_depends_on_the_seed(array_video):
    video = array_video(120)
    uniform = select_frames(video, Selection(method="uniform", frames_per_video=12)).anchors
    assert np.diff(uniform).tolist() == [10] * 11
    a, b = (select_frames(video, Selection(method="random", frames_per_video=12, seed=s)).anchors
            for s in (0, 1))  # fmt: skip
    assert not np.array_equal(a, b)


def test_offset_in_seconds_and_gaps_in_time(array_video):
    times = np.arange(100) / 50 + 5.0 * (np.arange(100) >= 50)
    video = array_video(100, times=times)
    chosen = select_frames(video, Selection(method="all", offset=0.1, offset_unit="seconds"))
    assert chosen.after[:45].tolist() == list(range(5, 50))
    assert (chosen.after[45:50] == -1).all() and chosen.after[50] == 55


def test_few_or_still_frames(array_video):
    assert len(select_frames(array_video(3), Selection()).anchors) == 3
    assert len(select_frames(array_video(1), Selection()).anchors) == 1
    still = array_video(frames=np.full((90, 40, 40, 3), 7, np.uint8))
    assert len(select_frames(still, Selection(frames_per_video=30)).anchors) == 30


def test_nothing_decodable(array_video):
    with pytest.raises(VideoError, match="none of its 4 frames"):
        select_frames(array_video(4, bad=range(4)), Selection())


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="whole number"):
        resolve(Selection, {"offset": 0.5})


def test_processes_give_the_same_frames_and_errors_do_not_stop_them(tmp_path, write_clip):
    paths = {str(i): write_clip(tmp_path / f"é {i}.mp4", seed=i) for i in range(2)}
    (tmp_path / "bad.mp4").write_text("no video")
    videos = {name: Video(path) for name, path in paths.items()}
    videos["bad"] = Video(tmp_path / "bad.mp4")
    settings = Selection(frames_per_video=8)
    many = dict(select_many(videos, settings, workers=2))
    assert isinstance(many["bad"], VideoError)
    for name in paths:
        chosen = many[name]
        assert isinstance(chosen, SelectedFrames)
        assert np.array_equal(chosen.frames, select_frames(videos[name], settings).frames)


def test_mirror_mouse(real_data):
    video = Video(real_data / "video/mouse_treadmill_mirror_lp/videos/test_vid.mp4")
    chosen = select_frames(video, Selection(frames_per_video=100))
    assert len(chosen.anchors) == 100 and chosen.n_frames == 994
    assert 250 <= len(chosen.frames) <= 300  # the reference exports 294
