import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_datasets as tiny
from opdm.data.clips import READERS, cache, read_clips, video
from opdm.data.clips.trees import match_numbers
from opdm.errors import InputError
from opdm.frames import write_frame
from opdm.warp import backward_warp

SEQUENCES = Path(__file__).parents[2] / ".." / "shared" / "opendata" / "sequences"
CAPTURE = video.cv2.VideoCapture


@pytest.fixture(scope="module")
def truth():
    return tiny.tiny_clip()


def by_name(kind, root, **options):
    return {clip.name: clip for clip in read_clips(kind, root, **options)}


def assert_shows(clip, truth, frames=None):
    """Color, and lines where there are any, are those of the shot, to 8 bits."""
    frames = range(len(truth)) if frames is None else frames
    assert len(clip) == len(frames) == len(clip.stems) == len(set(clip.stems))
    for i, j in enumerate(frames):
        torch.testing.assert_close(clip.color(i), truth.color(j), atol=1e-6, rtol=0)
        if clip.lines is not None:
            torch.testing.assert_close(clip.lines(i), truth.lines(j), atol=1e-6, rtol=0)


def assert_same_partition(ids, other):
    """Two maps divide a frame in the same way, whatever the numbers."""
    together = torch.unique(torch.stack([ids.flatten(), other.flatten()]), dim=1).shape[1]
    assert together == len(ids.unique()) == len(other.unique())


# One test for each layout


def test_a_folder_of_images_is_a_clip_in_natural_order(tmp_path, truth):
    tiny.write_frames(tmp_path / "shot", tiny.colors(truth), ["f1", "f2", "f10", "f11"])
    [clip] = read_clips("folder", tmp_path / "shot")
    assert (clip.name, clip.stems) == ("shot", ("f1", "f2", "f10", "f11"))
    assert_shows(clip, truth)
    assert clip.lines is clip.regions is clip.flow_px is None


def test_folders_of_parts_are_read_at_any_depth(tmp_path, truth):
    tiny.write_shot(tmp_path / "rigs" / "saha1", truth)
    tiny.write_frames(tmp_path / "plain", tiny.colors(truth))
    tiny.write_frames(tmp_path / "sketches" / "lines", tiny.drawings(truth))
    clips = by_name("clips", tmp_path)
    assert list(clips) == ["plain", "rigs/saha1"]
    assert_shows(clips["plain"], truth)
    assert_shows(clips["rigs/saha1"], truth)
    for i in range(len(truth)):
        regions = clips["rigs/saha1"].regions(i)
        assert regions.dtype == torch.int32
        assert torch.equal(regions == 0, truth.regions(i) == 0)
        assert_same_partition(regions, truth.regions(i))


def test_a_region_keeps_its_number_through_the_frames(tmp_path, truth):
    tiny.write_shot(tmp_path, truth)
    [clip] = read_clips("folder", tmp_path)
    assert clip.regions_persist
    number_of = {}
    for i in range(len(truth)):
        for true, number in zip(truth.regions(i).flatten().tolist(), clip.regions(i).flatten().tolist(), strict=True):
            assert number_of.setdefault(true, number) == number


def test_transparency_is_white_and_deep_images_have_8_bits(tmp_path):
    write_frame(tmp_path / "0.png", torch.cat([torch.zeros(3, 4, 4), torch.full((1, 4, 4), 0.25)]))
    levels = np.arange(16, dtype=np.uint16).reshape(4, 4) * 4000
    tiny.cv2.imwrite(str(tmp_path / "1.png"), levels)
    [clip] = read_clips("folder", tmp_path)
    assert torch.allclose(clip.color(0), torch.tensor(191 / 255))
    np.testing.assert_array_equal((clip.color(1)[0] * 255).numpy() % 1, 0)
    np.testing.assert_allclose(clip.color(1)[2], levels / 65535, atol=0.5 / 255)


def test_atd12k_is_its_japanese_triplets(tmp_path, truth):
    tiny.write_atd12k(tmp_path, truth)
    clips = by_name("atd12k", tmp_path)
    assert list(clips) == ["train_10k/Japan_v2_0_000001_s1", "test_2k_540p/Japan_v2_1_000003_s2"]
    assert_shows(clips["test_2k_540p/Japan_v2_1_000003_s2"], truth, frames=range(3))
    assert len(read_clips("atd12k-all", tmp_path)) == 3
    assert [clip.name for clip in read_clips("atd12k", tmp_path / "train_10k")] == ["train_10k/Japan_v2_0_000001_s1"]


def test_an_incomplete_triplet_is_named(tmp_path, truth):
    tiny.write_atd12k(tmp_path, truth)
    (tmp_path / "train_10k" / "Japan_v2_0_000001_s1" / "frame2.jpg").unlink()
    with pytest.raises(InputError, match="Japan_v2_0_000001_s1: a triplet without frame2"):
        read_clips("atd12k", tmp_path)


def test_anicolorset_cuts_clips_to_29_frames(tmp_path):
    for name, frames in (("short", 28), ("exact", 29), ("long", 60)):
        for i in range(frames):
            write_frame(tmp_path / name / f"{i}.png", torch.full((3, 2, 2), i / 255))
    clips = by_name("anicolorset", tmp_path)
    assert list(clips) == ["exact", "long", "long/from-29"]
    assert all(len(clip) == 29 for clip in clips.values())
    last = clips["long/from-29"]
    assert last.stems == tuple(str(i) for i in range(29, 58)) == tuple(path.stem for path in last.paths)
    assert last.color(3)[0, 0, 0] * 255 == 32


def test_anicolorset_says_which_clip_is_the_longest(tmp_path, truth):
    tiny.write_shot(tmp_path / "a", truth)
    with pytest.raises(InputError, match="1 clips, none of 29 frames; the longest, a, has 4"):
        read_clips("anicolorset", tmp_path)


def test_lvcd_reads_the_largest_frames_of_its_lists(tmp_path, truth):
    tiny.write_lvcd(tmp_path, truth)
    clips = by_name("lvcd", tmp_path)
    assert list(clips) == ["train_clips/a", "train_clips/b"]
    assert clips["train_clips/b"].lines is not None
    assert_shows(clips["train_clips/b"], truth, frames=[2, 3])


def test_lvcd_reads_its_test_clips(tmp_path, truth):
    tiny.write_frames(tmp_path / "sample_1", tiny.colors(truth), ["0", "1", "2", "10"])
    [clip] = read_clips("lvcd", tmp_path)
    assert (clip.name, clip.stems) == ("sample_1", ("0", "1", "2", "10"))


@pytest.mark.parametrize("content", ["[1]", "{", '{"a": 1}'])
def test_a_list_of_clips_that_is_none_is_named(tmp_path, truth, content):
    tiny.write_lvcd(tmp_path, truth)
    (tmp_path / "train_clips.json").write_text(content)
    with pytest.raises(InputError, match=r"train_clips\.json: not a list of clips"):
        read_clips("lvcd", tmp_path)


def test_animerun_gives_back_all_that_is_true(tmp_path, truth):
    tiny.write_animerun(tmp_path, truth)
    [clip] = read_clips("animerun", tmp_path)
    assert clip.name == "test/agent_basement"
    assert clip.stems[0] == "Image0186"
    assert not clip.regions_persist
    assert_shows(clip, truth)
    for _, i, j in tiny.pairs(truth):
        assert torch.equal(clip.flow_px(i, j), truth.flow_px(i, j))
        assert torch.equal(clip.is_occluded(i, j), truth.is_occluded(i, j))
    for i in range(len(truth)):
        assert torch.equal(clip.is_flat(i), truth.lines(i)[0] > 0.9)
        assert torch.equal(clip.regions(i), tiny.segments_of(truth, i).int() + 1)


def test_animerun_matches_lead_where_the_flow_goes(tmp_path, truth):
    """Counted here pixel by pixel: the region that most seen pixels of a region's inside go to."""
    tiny.write_animerun(tmp_path, truth)
    [clip] = read_clips("animerun", tmp_path)
    for _, i, j in tiny.pairs(truth):
        source, target, matches = clip.regions(i), clip.regions(j), clip.matches(i, j)
        assert matches[0] == [-1]
        assert len(matches) == int(source.max()) + 1
        assert {t for targets in matches for t in targets} <= {-1, *target.unique().tolist()}
        largest = int(source.flatten().bincount()[1:].argmax()) + 1
        assert matches[largest][0] == largest_target(source, target, truth, i, j, largest)


def largest_target(source, target, truth, i, j, region):
    votes = {}
    flow_px, hidden = truth.flow_px(i, j), truth.is_occluded(i, j)
    for y, x in (source == region).nonzero().tolist():
        around = source[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        to_x, to_y = (np.floor(v + 0.5) for v in (x + float(flow_px[0, y, x]), y + float(flow_px[1, y, x])))
        if (around == region).all() and not hidden[y, x] and 0 <= to_x < tiny.WIDTH and 0 <= to_y < tiny.HEIGHT:
            votes[int(target[int(to_y), int(to_x)])] = votes.get(int(target[int(to_y), int(to_x)]), 0) + 1
    return max(votes, key=votes.get)


def test_animerun_reads_one_split_and_its_first_version(tmp_path, truth):
    tiny.write_animerun(tmp_path, truth, split="train")
    split = tmp_path / "train"
    (split / "UnmatchedForward").rename(split / "Unmatched")
    [clip] = read_clips("animerun", split)
    assert clip.name == "train/agent_basement"
    assert torch.equal(clip.is_occluded(0, 1), truth.is_occluded(0, 1))


def test_a_pair_that_a_data_set_lacks_is_a_key_error(tmp_path, truth):
    tiny.write_animerun(tmp_path, truth)
    [clip] = read_clips("animerun", tmp_path)
    for read in (clip.flow_px, clip.is_occluded, clip.matches):
        for i, j in ((0, 2), (0, 0), (0, -1), (len(truth) - 1, len(truth))):
            with pytest.raises(KeyError):
                read(i, j)


def test_linkto_anime_gives_back_all_that_is_true(tmp_path, truth):
    tiny.write_linkto_anime(tmp_path, truth)
    [clip] = read_clips("linkto-anime", tmp_path)
    assert clip.name == "test/color_line_optic_01_25/68 model/01 visual_view"
    for _, i, j in tiny.pairs(truth):
        assert torch.equal(clip.flow_px(i, j), truth.flow_px(i, j))
        assert torch.equal(clip.is_occluded(i, j), truth.is_occluded(i, j))
    for i in range(len(truth)):
        assert torch.equal(clip.lines(i), truth.lines(i))
        assert torch.equal(clip.is_foreground(i), truth.regions(i) > 0)


def test_anita_reads_painted_scenes_only(tmp_path, truth):
    tiny.write_anita(tmp_path, truth)
    clips = by_name("anita", tmp_path)
    assert list(clips) == ["Mirror/scene_1", "Pirate/scene_1"]
    assert clips["Mirror/scene_1"].lines is not None
    for clip in clips.values():
        assert_shows(clip, truth)


def test_paintbucket_has_lasting_labels_in_training_only(tmp_path, truth):
    tiny.write_paintbucket(tmp_path, truth)
    clips = by_name("paintbucket", tmp_path)
    train, test = clips["train/PaintBucket_Char/Abe"], clips["test/PaintBucket_Char/amy"]
    assert train.regions_persist
    assert not test.regions_persist
    for clip in (train, test):
        for i in range(len(truth)):
            paint = truth.regions(i) > 0
            assert torch.equal(clip.regions(i), truth.regions(i))
            torch.testing.assert_close(clip.color(i), torch.where(paint, truth.color(i), 1.0))
            torch.testing.assert_close(clip.lines(i), truth.lines(i), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mp4", "mp4v")])
def test_every_frame_of_a_video_is_found_in_any_order(tmp_path, suffix, codec):
    tiny.write_video(tmp_path / f"v{suffix}", 150, codec)
    [clip] = read_clips("video", tmp_path)
    assert (clip.name, len(clip), clip.stems[-1]) == (f"v{suffix}", 150, "000149")
    order = random.Random(0).sample(range(150), 40)
    assert [tiny.number_in(clip.color(i)) for i in order] == order
    assert clip.color(0).shape == (3, 48, 64)
    with pytest.raises(IndexError):
        clip.color(150)


class WatchedVideo:
    """OpenCV's reader, whose seeking may go wrong, and which counts what is decoded."""

    error_frames, grabbed = 0, 0

    def __init__(self, path):
        self.video = CAPTURE(path)

    def __getattr__(self, name):
        return getattr(self.video, name)

    def set(self, key, value):
        return self.video.set(key, value + self.error_frames)

    def grab(self):
        WatchedVideo.grabbed += 1
        return self.video.grab()


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(video.cv2, "VideoCapture", WatchedVideo)
    monkeypatch.setattr(WatchedVideo, "grabbed", 0)
    return monkeypatch


def test_a_video_whose_seeking_errs_is_decoded_from_its_start(tmp_path, watched):
    tiny.write_video(tmp_path / "v.avi", 120)
    [clip] = read_clips("video", tmp_path / "v.avi")
    watched.setattr(WatchedVideo, "error_frames", 3)
    assert [tiny.number_in(clip.color(i)) for i in (100, 2, 90)] == [100, 2, 90]


def test_reading_a_video_in_order_decodes_each_frame_once(tmp_path, watched):
    tiny.write_video(tmp_path / "v.avi", 30)
    [clip] = read_clips("video", tmp_path)
    assert WatchedVideo.grabbed == 31  # to count them; the last one fails
    for i in range(30):
        clip.color(i)
        clip.color(i)
    assert WatchedVideo.grabbed == 61


def test_a_file_that_is_no_video_is_named(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"v\.mp4: not a video"):
        read_clips("video", tmp_path)


# What all layouts have in common

WRITERS = {
    "folder": tiny.write_shot,
    "clips": lambda root, clip: tiny.write_shot(root / "a", clip),
    "atd12k": tiny.write_atd12k,
    "atd12k-all": tiny.write_atd12k,
    "lvcd": tiny.write_lvcd,
    "animerun": tiny.write_animerun,
    "linkto-anime": tiny.write_linkto_anime,
    "anita": tiny.write_anita,
    "paintbucket": tiny.write_paintbucket,
    "video": lambda root, clip: tiny.write_video(root / "v.avi", clip),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_clips_travel_to_other_processes(tmp_path, truth, kind):
    WRITERS[kind](tmp_path, truth)
    clips = read_clips(kind, tmp_path)
    assert len({clip.name for clip in clips}) == len(clips)
    for clip, copy in zip(clips, pickle.loads(pickle.dumps(clips)), strict=True):
        assert torch.equal(clip.color(1), copy.color(1))


@pytest.mark.parametrize("kind", WRITERS)
def test_listing_opens_no_frame(tmp_path, truth, kind, monkeypatch):
    WRITERS[kind](tmp_path, truth)
    monkeypatch.setattr("opdm.frames._decode", lambda *_: pytest.fail("a frame was opened"))
    assert read_clips(kind, tmp_path)


@pytest.mark.parametrize("kind", READERS)
def test_a_wrong_tree_is_shown_beside_the_expected_one(tmp_path, kind):
    (tmp_path / "papers" / "old").mkdir(parents=True)
    (tmp_path / "papers" / "old" / "a.pdf").touch()
    with pytest.raises(InputError) as caught:
        read_clips(kind, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "expected\n" in str(caught.value)
    assert "found\n  papers/old/a.pdf" in str(caught.value)


@pytest.mark.parametrize("kind", READERS)
def test_a_missing_root_is_named(tmp_path, kind):
    with pytest.raises(InputError, match="nowhere: no such folder; expected"):
        read_clips(kind, tmp_path / "nowhere")


def test_an_unknown_layout_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="no layout is called 'sintel'; there are folder, clips, atd12k"):
        read_clips("sintel", tmp_path)


def test_a_frame_without_its_drawing_is_named(tmp_path, truth):
    tiny.write_shot(tmp_path / "a", truth)
    (tmp_path / "a" / "line" / "0002.png").unlink()
    with pytest.raises(InputError, match="1 of 4 frames have no file there, the first is 0002"):
        read_clips("clips", tmp_path)


def paths(*names):
    return [Path(name) for name in names]


def test_files_are_matched_by_number_then_by_order():
    frames = dict(enumerate(paths("Image0007.png", "Image0008.png")))
    by_number = paths("0007_2.npy", "0008_2.npy", "0009_2.npy")
    assert match_numbers(frames, by_number, Path()) == dict(enumerate(by_number[:2]))
    by_order = paths("0.npy", "1.npy")
    assert match_numbers(frames, by_order, Path()) == dict(enumerate(by_order))
    assert match_numbers(frames, [], Path()) is None
    with pytest.raises(InputError, match=r"1 files for 2 frames, none of them for Image0008\.png"):
        match_numbers(frames, paths("0007.npy"), Path())


@pytest.mark.parametrize("content", ["[]", '{"0": 1}', '{"1": [0]}', "{"])
def test_a_damaged_matching_is_named(tmp_path, truth, content):
    tiny.write_animerun(tmp_path, truth)
    [clip] = read_clips("animerun", tmp_path)
    file = tmp_path / "test" / "SegMatching" / "agent_basement" / "forward" / "0186.json"
    file.write_text(content)
    with pytest.raises(InputError, match=r"0186\.json: not a matching"):
        clip.matches(0, 1)


# The cache


@pytest.fixture
def cached(tmp_path, truth):
    """A data set of two clips, one of which has drawings, and a cache with lines and regions of both."""
    tiny.write_shot(tmp_path / "data" / "drawn", truth)
    tiny.write_frames(tmp_path / "data" / "plain", tiny.colors(truth))
    for clip in read_clips("clips", tmp_path / "data"):
        for i, stem in enumerate(clip.stems):
            gray = torch.full((1, tiny.HEIGHT, tiny.WIDTH), i / 255)
            write_frame(cache.lines_folder(tmp_path / "cache", "xdog", clip) / f"{stem}.png", gray)
            file = cache.regions_folder(tmp_path / "cache", clip) / f"{stem}.png"
            cache.write_regions(file, truth.regions(i) * 70000)
    return tmp_path


def test_a_cache_fills_what_clips_lack(cached, truth):
    clips = by_name("clips", cached / "data", cache=cached / "cache")
    assert_shows(clips["drawn"], truth)
    assert clips["drawn"].regions_persist
    plain = clips["plain"]
    assert torch.equal(plain.lines(2), torch.full((1, tiny.HEIGHT, tiny.WIDTH), 2 / 255))
    assert torch.equal(plain.regions(2), truth.regions(2) * 70000)
    assert not plain.regions_persist


def test_lines_by_a_named_extractor_replace_drawings(cached):
    for clip in read_clips("clips", cached / "data", cache=cached / "cache", lines="xdog"):
        assert clip.lines(3).unique().tolist() == pytest.approx([3 / 255])


def test_an_incomplete_cache_is_refused_where_lines_are_asked_for(cached):
    (cached / "cache" / "lines" / "xdog" / "drawn" / "0001.png").unlink()
    assert by_name("clips", cached / "data", cache=cached / "cache")["plain"].lines is not None
    with pytest.raises(InputError, match="lacks lines of drawn by xdog"):
        read_clips("clips", cached / "data", cache=cached / "cache", lines="xdog")


def test_of_several_extractors_one_must_be_named(cached):
    (cached / "cache" / "lines" / "pencil").mkdir()
    with pytest.raises(InputError, match="has lines by pencil, xdog; name the extractor"):
        read_clips("clips", cached / "data", cache=cached / "cache")


# Generated shots and real material


def test_generated_clips_are_true(truth):
    for _, i, j in tiny.pairs(truth):
        seen = ~truth.is_occluded(i, j)
        warped = backward_warp(truth.color(j)[None], truth.flow_px(i, j)[None])[0]
        moved, still = ((frame - truth.color(i)).abs().mean(dim=0)[seen].mean() for frame in (warped, truth.color(j)))
        assert moved < still
    levels = truth.color(0) * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    assert torch.equal(pickle.loads(pickle.dumps(truth)).color(1), truth.color(1))


@pytest.mark.skipif(not SEQUENCES.is_dir(), reason="needs the sequences that are not part of the project")
def test_real_sequences_are_clips():
    clips = by_name("clips", SEQUENCES)
    assert len(clips) == 57
    assert sum(map(len, clips.values())) == 649
    rig, sprite = clips["morevna_rigs_cc0/saha1"], clips["gameart2d_cc0/knight/Run"]
    assert rig.color(0).shape[1:] == rig.lines(0).shape[1:] == rig.regions(0).shape
    assert (rig.regions(0) == rig.regions(1)).float().mean() > 0.5
    assert sprite.color(0)[:, 0, 0].tolist() == [1, 1, 1]
