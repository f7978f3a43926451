"""Video: exact random access, times, geometry, damage."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.errors import ConfigError, DataError, MissingFileError, VideoError
from tinbergen.recordings import FrameStatus, Video, find_videos

KINDS = {
    "h264_b_frames.mp4": {},
    "h264_open_gop.mp4": {"options": {"x264-params": "open-gop=1:keyint=8:scenecut=0"}},
    "h264_intra_refresh.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=8"}},
    "h264_one_key.mkv": {"gop": 500},
    "h264.ts": {},
    "h264_b_frames.avi": {},
    "mpeg4_b_frames.avi": {"codec": "mpeg4"},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "gray.avi": {"codec": "rawvideo", "pix_fmt": "gray"},
    "lossless.mkv": {"codec": "ffv1", "pix_fmt": "gray"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "vfr.mp4": {"pts": list(np.cumsum([10, 35, 80, 5] * 15))},
}


def everything(video: Video) -> tuple[np.ndarray, np.ndarray]:
    batches = list(video.iterate(batch_size=7))
    return (
        np.concatenate([batch.frames for batch in batches]),
        np.concatenate([batch.status for batch in batches]),
    )


@pytest.fixture(scope="module")
def clip(videos, tmp_path_factory) -> Path:
    return videos.write_video(tmp_path_factory.mktemp("clip") / "mouse.mp4", 60)


class TestRandomAccess:
    @pytest.mark.parametrize("name", KINDS)
    def test_every_random_access_equals_the_sequential_frame(self, videos, tmp_path, name):
        video = Video(videos.write_video(tmp_path / name, 60, **KINDS[name]))
        frames, status = everything(video)
        assert video.n_frames == 60
        assert (status == FrameStatus.OK).all()
        for i in np.random.default_rng(0).permutation(60):
            np.testing.assert_array_equal(video.frame(i), frames[i])
        for start in (0, 7, 8, 31, 59):
            np.testing.assert_array_equal(next(video.iterate(start)).frames[0], frames[start])

    @pytest.mark.parametrize("name", ["h264_b_frames.mp4", "lossless.mkv", "h264_b_frames.avi"])
    def test_frames_hold_what_was_written(self, videos, tmp_path, name):
        options = {"crf": "1"} if "h264" in name else {}
        path = videos.write_video(tmp_path / name, 60, **KINDS[name], options=options)
        frames, _ = everything(Video(path, gray=True))
        written = np.stack([videos.picture(i) for i in range(60)])
        # Each decoded frame is closest to the picture of its own index.
        distance = np.abs(frames[:, None].astype(float) - written[None]).mean(axis=(2, 3))
        np.testing.assert_array_equal(distance.argmin(axis=1), np.arange(60))

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.integers(0, 59), max_size=12))
    def test_any_order_and_duplicates(self, clip, indices):
        video = Video(clip, gray=True)
        frames, _ = everything(video)
        batch = video.frames(np.array(indices, dtype=int))
        np.testing.assert_array_equal(batch.frames, frames[indices])
        np.testing.assert_array_equal(batch.times, video.times[indices])
        np.testing.assert_array_equal(batch.indices, indices)

    def test_threads_see_the_same_frames(self, clip):
        video = Video(clip, gray=True)
        frames, _ = everything(video)
        order = np.random.default_rng(1).integers(0, 60, 80)
        with ThreadPoolExecutor(4) as pool:
            for i, frame in zip(order, pool.map(video.frame, order), strict=True):
                np.testing.assert_array_equal(frame, frames[i])

    @pytest.mark.parametrize("method", ["spawn", "fork"])
    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_processes_see_the_same_frames(self, clip, method):
        video = Video(clip, gray=True)
        frames, _ = everything(video)
        video.frame(5)  # a file that is open at the moment of the fork
        with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
            for i, frame in zip([50, 3, 29], pool.map(video.frame, [50, 3, 29]), strict=True):
                np.testing.assert_array_equal(frame, frames[i])

    def test_many_open_videos(self, videos, tmp_path):
        paths = [videos.write_video(tmp_path / f"{i}.mp4", 5 + i) for i in range(7)]
        opened = [Video(path, gray=True) for path in paths]
        for i in (0, 4, 2, 1):
            for video in opened:
                assert video.frame(i).shape == (48, 64)

    def test_outside(self, clip):
        with pytest.raises(IndexError, match="frames 0 to 59"):
            Video(clip).frames([60])
        with pytest.raises(DataError, match="integer"):
            Video(clip).frames([1.5])  # type: ignore[list-item]

    def test_pickle(self, clip):
        video = Video(clip, gray=True, size=(20, 30))
        copy = pickle.loads(pickle.dumps(video))
        np.testing.assert_array_equal(copy.frame(3), video.frame(3))


class TestIterate:
    def test_step_and_batches(self, clip):
        video = Video(clip, gray=True)
        frames, _ = everything(video)
        batches = list(video.iterate(3, 50, batch_size=5, step=4))
        indices = np.concatenate([batch.indices for batch in batches])
        np.testing.assert_array_equal(indices, range(3, 50, 4))
        np.testing.assert_array_equal(np.concatenate([b.frames for b in batches]), frames[indices])
        assert max(map(len, batches)) == 5

    def test_stopping_early_closes_the_file(self, clip):
        stream = Video(clip).iterate()
        next(stream)
        stream.close()  # type: ignore[attr-defined]

    def test_refuses_nonsense(self, clip):
        with pytest.raises(DataError, match="step"):
            next(Video(clip).iterate(step=0))


class TestTimes:
    def test_constant_rate(self, clip):
        video = Video(clip)
        np.testing.assert_allclose(video.times, np.arange(60) / 25, atol=1e-12)
        assert video.fps == pytest.approx(25)
        assert video.duration == pytest.approx(60 / 25)

    def test_variable_rate(self, videos, tmp_path):
        pts = np.cumsum([10, 35, 80, 5] * 10)
        video = Video(videos.write_video(tmp_path / "vfr.mp4", 40, pts=pts.tolist()))
        np.testing.assert_allclose(video.times, (pts - pts[0]) / 1000, atol=1e-4)

    def test_sidecar_and_offset(self, clip, tmp_path):
        times = np.arange(60) * 0.041 + 7
        np.save(tmp_path / "times.npy", times)
        np.testing.assert_array_equal(Video(clip, times=tmp_path / "times.npy").times, times)
        np.testing.assert_array_equal(Video(clip, times=times, offset=1.0).times, times + 1)

    def test_sidecar_of_another_length(self, clip):
        with pytest.raises(VideoError, match=r"60 frames, but 59 times"):
            _ = Video(clip, times=np.arange(59)).times

    def test_between_is_half_open_and_nests(self, clip):
        video = Video(clip, gray=True)
        frames, _ = everything(video)
        part = video.between(video.times[10], video.times[20])
        assert part.n_frames == 10
        np.testing.assert_array_equal(part.frame(0), frames[10])
        again = part.between(video.times[12], 99)
        np.testing.assert_array_equal(again.times, video.times[12:20])
        np.testing.assert_array_equal(again.frame(7), frames[19])
        assert video.n_frames == 60
        assert video.between(5, 4).n_frames == 0
        assert list(video.between(5, 4).iterate()) == []


class TestGeometry:
    def test_gray_has_full_range(self, videos, tmp_path):
        frames, _ = everything(Video(videos.write_video(tmp_path / "a.mp4", 3), gray=True))
        assert frames.max() >= 253

    def test_gray_is_close_to_the_mean_of_rgb(self, clip):
        gray = Video(clip, gray=True).frame(9).astype(int)
        rgb = Video(clip).frame(9).astype(int)
        assert rgb.shape == (48, 64, 3)
        assert np.abs(rgb.mean(axis=2) - gray).max() <= 3

    def test_roi(self, clip):
        whole = Video(clip).frame(9)
        part = Video(clip, roi=(10, 4, 30, 20))
        assert (part.width, part.height, part.channels) == (30, 20, 3)
        np.testing.assert_array_equal(part.frame(9), whole[4:24, 10:40])

    def test_resize_is_the_area_average(self, clip):
        whole = Video(clip, gray=True).frame(9)
        small = Video(clip, gray=True, size=(24, 32)).frame(9)
        average = whole.reshape(24, 2, 32, 2).mean(axis=(1, 3))
        assert np.abs(small - average).max() <= 0.51

    def test_letterbox(self, clip):
        video = Video(clip, gray=True, size=(64, 64), keep_aspect=True)
        frame = video.frame(9)
        assert frame.shape == (64, 64)
        assert (frame[:8] == 0).all() and (frame[56:] == 0).all()
        np.testing.assert_array_equal(frame[8:56], Video(clip, gray=True).frame(9))

    def test_points_follow_the_pixels(self, clip):
        video = Video(clip, gray=True, roi=(8, 0, 40, 48), size=(96, 100), keep_aspect=True)
        points = np.array([[20.0, 30.0], [8.0, 0.0]])
        there = video.geometry.to_output(points)
        np.testing.assert_allclose(video.geometry.to_source(there), points)
        image = np.zeros((48, 64), np.uint8)
        image[30, 20] = 255
        out = np.empty((96, 100), np.uint8)
        video.geometry.apply(image, out)
        y, x = np.unravel_index(cv2.GaussianBlur(out, (3, 3), 0).argmax(), out.shape)
        assert np.abs(there[0] - [x, y]).max() <= 1

    def test_view(self, clip):
        video = Video(clip)
        small = video.view(gray=True, size=(10, 12))
        assert small.frame(0).shape == (10, 12)
        assert video.frame(0).shape == (48, 64, 3)
        with pytest.raises(TypeError, match="found colour"):
            video.view(colour=1)

    def test_region_outside(self, clip):
        with pytest.raises(ConfigError, match="inside the 64 x 48 px"):
            Video(clip, roi=(40, 0, 30, 10)).frame(0)


class TestDamage:
    def test_text_named_mp4(self, tmp_path):
        path = tmp_path / "notes.mp4"
        path.write_text("day 1: mouse was asleep")
        with pytest.raises(VideoError, match=r"notes.mp4 is not a readable video"):
            _ = Video(path).n_frames

    def test_empty_file(self, tmp_path):
        path = tmp_path / "nothing.mp4"
        path.touch()
        with pytest.raises(VideoError, match=r"nothing.mp4 is empty \(0 bytes\)"):
            _ = Video(path).times

    def test_absent(self, tmp_path):
        with pytest.raises(MissingFileError, match="found none"):
            _ = Video(tmp_path / "a.mp4").times

    def test_audio_only(self, videos, tmp_path):
        path = videos.write_audio(tmp_path / "song.mp4")
        with pytest.raises(VideoError, match="no video stream, only: audio"):
            _ = Video(path).times

    def test_zero_frames(self, videos, tmp_path):
        path = videos.write_video(tmp_path / "none.mkv", 0)
        with pytest.raises(VideoError, match="without a single frame|not a readable video"):
            _ = Video(path).times

    def test_one_frame(self, videos, tmp_path):
        video = Video(videos.write_video(tmp_path / "one.mp4", 1), gray=True)
        assert video.n_frames == 1 and np.isnan(video.fps) and video.duration == 0
        assert video.frame(0).shape == (48, 64)
        assert video.check().ok == 1

    def test_truncated_without_header(self, videos, tmp_path):
        path = videos.cut_off(videos.write_video(tmp_path / "cut.mp4", 60))
        with pytest.raises(VideoError, match="cut short"):
            _ = Video(path).times

    @pytest.mark.parametrize("name", ["cut.mkv", "cut.avi", "cut.ts"])
    def test_truncated_keeps_what_is_there(self, videos, tmp_path, name):
        codec = "mpeg4" if name.endswith("avi") else "libx264"
        whole = videos.write_video(tmp_path / f"whole{Path(name).suffix}", 100, codec=codec)
        expected, _ = everything(Video(whole))
        path = tmp_path / name
        path.write_bytes(whole.read_bytes())
        video = Video(videos.cut_off(path))
        frames, status = everything(video)
        good = status == FrameStatus.OK
        assert 30 < good.sum() < 100
        assert (np.flatnonzero(~good) >= len(good) - 3).all()  # B-frames are stored late
        np.testing.assert_array_equal(frames[good], expected[np.flatnonzero(good)])
        assert (frames[~good] == 0).all()

    def test_bit_flips_are_told_and_do_not_depend_on_the_way(self, videos, tmp_path):
        path = videos.flip_bytes(videos.write_video(tmp_path / "flipped.ts", 120), n=12)
        video = Video(path)
        frames, status = everything(video)
        check = video.check()
        assert check.corrupt + check.missing == (status != FrameStatus.OK).sum() > 0
        listed = [i for first, last in check.damaged for i in range(first, last + 1)]
        assert listed == np.flatnonzero(status != FrameStatus.OK).tolist()
        for i in np.random.default_rng(0).permutation(video.n_frames):
            batch = video.frames([i])
            assert batch.status[0] == status[i]
            np.testing.assert_array_equal(batch.frames[0], frames[i])

    def test_a_bad_frame_is_refused_by_name(self, videos, tmp_path):
        path = videos.flip_bytes(videos.write_video(tmp_path / "flipped.ts", 120), n=12)
        bad = Video(path).check().first_bad
        assert bad is not None
        with pytest.raises(VideoError, match=f"frame {bad} is (corrupt|missing)"):
            Video(path).frame(bad)

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
    def test_random_garbage_never_raises_anything_else(self, videos, tmp_path, suffix):
        codec = {".avi": "mjpeg", ".webm": "libvpx-vp9"}.get(suffix, "libx264")
        pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        source = videos.write_video(tmp_path / f"s{suffix}", 20, codec=codec, pix_fmt=pix_fmt)
        data = source.read_bytes()
        rng = np.random.default_rng(3)
        for trial in range(15):
            broken = bytearray(data)
            for at in rng.integers(0, len(data), 20):
                broken[at] = rng.integers(256)
            path = tmp_path / f"broken{trial}{suffix}"
            path.write_bytes(bytes(broken[: rng.integers(1, len(data))] if trial % 2 else broken))
            try:
                everything(Video(path, gray=True, size=(8, 8)))
            except VideoError as error:
                assert str(path) in str(error)


class TestFindVideos:
    def test_folders_names_and_order(self, tmp_path):
        for name in ("b/mouse 1.MP4", "a/тест.avi", "a/.hidden.mp4", "a/notes.txt", "c.webm"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        found = [str(path.relative_to(tmp_path)) for path in find_videos(tmp_path)]
        assert found == ["a/тест.avi", "b/mouse 1.MP4", "c.webm"]
        assert len(find_videos([tmp_path, tmp_path / "c.webm"])) == 3

    def test_absent(self, tmp_path):
        with pytest.raises(MissingFileError, match="found nothing"):
            find_videos(tmp_path / "gone")

    def test_unicode_and_spaces_open(self, videos, tmp_path):
        video = Video(videos.write_video(tmp_path / "Mäuse & ratten/день 1.mp4", 5))
        assert video.frame(4).shape == (48, 64, 3)
        assert video.name == "день 1"


@pytest.mark.slow
def test_real_videos_are_the_same_from_anywhere(real_data):
    """Among them: edit lists, equal times, open groups of pictures, old x264 in 4:4:4."""
    rng = np.random.default_rng(0)
    for path in find_videos(real_data / "video"):
        video = Video(path, gray=True, size=(48, 48))
        pixels = video.index.width * video.index.height
        video = video.between(0, video.times[min(video.n_frames, 80_000_000 // pixels) - 1])
        frames, status = everything(video)
        assert (status == FrameStatus.OK).all(), path
        for start in rng.integers(0, video.n_frames, 4):
            batch = next(video.iterate(int(start), batch_size=20))  # a new decoder each
            np.testing.assert_array_equal(batch.frames, frames[batch.indices], err_msg=str(path))
        batch = video.frames(rng.integers(0, video.n_frames, 20))
        np.testing.assert_array_equal(batch.frames, frames[batch.indices], err_msg=str(path))
