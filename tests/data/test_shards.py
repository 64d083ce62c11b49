"""Shards: the same content is the same bytes, a small change changes few of them, and reading gives it back."""

import json
import multiprocessing
import pickle
import random
import shutil
import tarfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolocore.config import canonical_json
from yolocore.data import open_dataset
from yolocore.data.images import check_image
from yolocore.data.labels import Instance, labels_json
from yolocore.data.legend import Legend
from yolocore.data.shards import Entry, Manifest, ShardSplit, partition, write_manifest, write_split
from yolocore.errors import DataError
from yolocore.store import bytes_digest


def entry(path: Path, name: str) -> Entry:
    content = path.read_bytes()
    size = check_image(content)
    labels = labels_json([Instance(0, (1, 2, 3, 4 + len(name)))], size)
    return Entry(name, path, bytes_digest(content), len(content), size, labels)


@pytest.fixture
def entries(tmp_path, jpeg):
    """Builds entries for images with these names; the image's content follows from its name."""

    def build(names, folder="images") -> list[Entry]:
        (tmp_path / folder).mkdir(exist_ok=True)
        found = []
        for number, name in enumerate(names):
            path = tmp_path / folder / f"{number}.jpg"
            path.write_bytes(jpeg(sum(name.encode())))
            found.append(entry(path, name))
        return found

    return build


def fake(name: str, length: int) -> Entry:
    return Entry(name, Path(name), "sha256:", length, (1, 1), b"{}")


sizes = st.dictionaries(st.text(min_size=1, max_size=8), st.integers(1, 400), min_size=1, max_size=200)


@given(sizes, st.integers(100, 2000))
def test_partition_keeps_order_and_bounds(content, target):
    runs = list(partition([fake(name, length) for name, length in content.items()], target))
    assert [e.name for run in runs for e in run] == sorted(content)
    for run in runs[:-1]:
        total = sum(e.length + len(e.labels) for e in run)
        assert target / 2 <= total < 2 * target + max(content.values()) + 2


def test_a_changed_run_of_images_changes_few_shards():
    lengths = random.Random(0)
    whole = {f"{i:06d}.jpg": lengths.randint(50, 150) for i in range(20_000)}
    target = 20_000  # about 100 shards
    before = {tuple(e.name for e in run) for run in partition([fake(*item) for item in whole.items()], target)}
    changed = {name: length for name, length in whole.items() if not "005000.jpg" <= name < "005200.jpg"}
    changed |= {f"005000-{i}.jpg": 100 for i in range(200)}
    after = {tuple(e.name for e in run) for run in partition([fake(*item) for item in changed.items()], target)}
    assert 80 < len(before) < 130
    assert len(after - before) <= 5


def test_shards_depend_on_content_alone(tmp_path, entries):
    names = [f"{i:03d}.jpg" for i in range(30)]
    shuffled = random.Random(0).sample(names, len(names))
    written = []
    for folder, order in (("one", names), ("two", shuffled)):
        (tmp_path / folder).mkdir()
        written.append(write_split(entries(order, f"images-{folder}"), tmp_path / folder, target=20_000))
    assert written[0] == written[1]
    assert len(written[0].shards) > 2
    for shard in written[0].shards:
        assert (tmp_path / "one" / shard.path).read_bytes() == (tmp_path / "two" / shard.path).read_bytes()


def test_the_digest_does_not_depend_on_the_size_of_shards(tmp_path, entries):
    found = entries([f"{i:03d}.jpg" for i in range(30)])
    digests = {write_split(found, tmp_path, target).digest for target in (10_000, 50_000, 10**9)}
    assert len(digests) == 1
    assert write_split(found[1:], tmp_path, 10_000).digest not in digests


NAMES = ["a.jpg", "deep/er/b.jpg", "ä ö.jpg", f"{'long' * 60}.jpg", "a.png.jpg"]


def test_what_is_read_is_what_was_written(tmp_path, entries):
    found = sorted(entries(NAMES), key=lambda e: e.name)
    split = ShardSplit(tmp_path, write_split(found, tmp_path, 10**9))
    assert list(split.names) == [e.name for e in found]
    np.testing.assert_array_equal(split.sizes, [e.size for e in found])
    for i, e in enumerate(found):
        image = split.image(i)
        assert isinstance(image, memoryview)
        assert image == e.path.read_bytes()
        assert split.labels_json(i) == e.labels
        np.testing.assert_array_equal(split.labels(i).boxes, [[1, 2, 3, 4 + len(e.name)]])


def test_a_shard_is_a_plain_tar(tmp_path, entries):
    written = write_split(entries(NAMES), tmp_path, 10**9)
    with tarfile.open(tmp_path / written.shards[0].path, "r:") as tar:
        members = tar.getmembers()
        assert [m.name for m in members] == [n for name in sorted(NAMES) for n in (name, f"{name}.json")] + [
            "index.json"
        ]
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(0, 0, 0, "", 0o644)}
        index = json.load(tar.extractfile("index.json"))
        assert index["images"] == [[m.offset_data, m.size] for m in members[:-1:2]]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_splits_work_in_other_processes(tmp_path, entries, method):
    split = ShardSplit(tmp_path, write_split(entries(NAMES), tmp_path, 20_000))
    expected = [split.labels(i).boxes.tolist() for i in range(len(split))]  # maps every shard here
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        assert [labels.boxes.tolist() for labels in pool.map(split.labels, range(len(split)))] == expected


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def spoil_index(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3000:] = bytes(3000)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "words"),
    [(Path.unlink, "cannot be read"), (cut_short, "the manifest says"), (spoil_index, "is damaged")],
    ids=["missing", "cut short", "overwritten"],
)
def test_a_damaged_shard_is_named(tmp_path, entries, damage, words):
    written = write_split(entries(NAMES), tmp_path, 10**9)
    path = tmp_path / written.shards[0].path
    damage(path)
    with pytest.raises(DataError, match=words) as error:
        ShardSplit(tmp_path, written)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_damage_inside_a_shard_is_named(tmp_path, entries, capfd, kind):
    """Bytes that went to zeros in the middle of a JPEG, which decoders only grumble about; the other images go on."""
    written = write_split(entries(NAMES), tmp_path, 10**9)
    path = tmp_path / written.shards[0].path
    with tarfile.open(path, "r:") as tar:
        members = tar.getmembers()[:-1]
        content = bytearray(path.read_bytes())
        member = members[2 + (kind == "labels")]
    start = member.offset_data + member.size // 2
    end = min(start + 600, member.offset_data + member.size - 2)
    content[start:end] = bytes(end - start)
    path.write_bytes(content)
    split = ShardSplit(tmp_path, written)
    damaged, sound = sorted(NAMES)[1], sorted(NAMES)[0]
    assert member.name.startswith(damaged)
    read = {"images": split.image, "labels": split.labels}[kind]
    for _ in range(2):
        with pytest.raises(DataError, match=r"damaged; fetch the shard or ingest again$") as error:
            read(1)
        assert str(error.value).startswith(f"{path}: {damaged}: ")
    read(0)
    assert split.where(0) == f"{path}: {sound}"
    assert not capfd.readouterr().err


def test_shards_from_before_digests_were_kept_are_read(tmp_path, entries, monkeypatch):
    def without(index):
        return canonical_json({key: value for key, value in index.items() if key != "digests"})

    monkeypatch.setattr("yolocore.data.shards.canonical_json", without)
    found = entries(["a.jpg"])
    split = ShardSplit(tmp_path, write_split(found, tmp_path, 10**9))
    assert split.image(0) == found[0].path.read_bytes()


def test_an_image_that_changes_meanwhile_is_refused(tmp_path, entries, jpeg):
    found = entries(["a.jpg", "b.jpg"])
    found[1].path.write_bytes(jpeg(99))
    with pytest.raises(DataError, match="changed while it was ingested"):
        write_split(found, tmp_path, 10**9)


POSES = Manifest(digest="", annotations=(), names=("cat",), keypoints=(3, 3), flip_idx=(0, 1, 2), splits={})


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"names": 3}', POSES.model_dump_json().replace("[0,1,2]", "[1,2,0]")],
    ids=["empty", "nothing in it", "another document", "keypoints that mirror in a round"],
)
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json: is no manifest"):
        open_dataset(tmp_path)


def test_a_dataset_of_shards(tmp_path, entries):
    found = entries(NAMES)
    manifest = write_manifest(
        Legend(("cat",)),
        {"train": write_split(found[:3], tmp_path, 10**9), "val": write_split(found[3:], tmp_path, 10**9)},
        ["boxes"],
        tmp_path,
    )
    shutil.move(tmp_path, moved := tmp_path.with_name("moved"))
    dataset = open_dataset(moved)
    assert (dataset.names, dataset.splits, dataset.digest) == (("cat",), ("train", "val"), manifest.digest)
    assert (dataset.annotations, dataset.keypoints, dataset.flip_idx) == (("boxes",), None, ())
    assert len(pickle.loads(pickle.dumps(dataset)).split("train")) == 3
    with pytest.raises(DataError, match="has no split 'test'; it has train, val"):
        dataset.split("test")
