"""The paired bootstrap: exactly what the evaluator finds on images that are really repeated."""

import numpy as np
import pytest

from tests.evaluate.coco import random_split, with_keypoints
from yolocore.detections import Detections
from yolocore.evaluate import measure_detections
from yolocore.evaluate.bootstrap import interval, paired_bootstrap, resampled_ap

SPLITS = [
    pytest.param({"seed": 0, "images": 20, "classes": 3, "objects": 6}, id="a usual one"),
    pytest.param({"seed": 1, "images": 8, "classes": 40, "objects": 4}, id="classes that many resamples lack"),
    pytest.param({"seed": 2, "images": 12, "classes": 2, "objects": 9, "grid": True}, id="ties within and across"),
    pytest.param({"seed": 3, "images": 2, "classes": 1, "objects": 90, "grid": True}, id="crowded, ties everywhere"),
    pytest.param({"seed": 4, "images": 1, "classes": 2, "objects": 5}, id="one image"),
    pytest.param({"seed": 5, "images": 5, "classes": 2, "objects": 4, "noise": 9.0}, id="nothing right"),
    pytest.param({"seed": 6, "images": 6, "classes": 2, "objects": 4, "noise": 0.0}, id="perfect boxes"),
]


def measured(options, **changed):
    found, labels = random_split(**{**options, **changed})
    return found, labels, [f"class {i}" for i in range(options["classes"])]


def multiset(images, seed):
    """How often each image is there: nobody says that it is as many as there were."""
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.choice([0.3, 1, 4]), images).astype(np.int32)


@pytest.mark.parametrize("options", SPLITS)
@pytest.mark.parametrize("max_det", [300, 3])
def test_weights_equal_the_evaluator_on_repeated_images(options, max_det):
    found, labels, names = measured(options)
    accuracy = measure_detections(found, labels, names, max_det).principal
    counts = np.stack([multiset(len(labels), seed) for seed in range(25)])
    resampled = resampled_ap(accuracy, counts)
    for count, ap in zip(counts, resampled, strict=True):
        order = np.repeat(np.arange(len(labels)), count)
        repeated = measure_detections([found[i] for i in order], [labels[i] for i in order], names, max_det).principal
        expected = dict(zip(repeated.classes.tolist(), repeated.ap.mean(axis=1), strict=True))
        np.testing.assert_allclose(ap, [expected.get(label, 0) for label in accuracy.classes.tolist()], atol=1e-12)


@pytest.mark.parametrize("options", SPLITS)
def test_every_image_once_is_the_split_itself(options):
    found, labels, names = measured(options)
    accuracy = measure_detections(found, labels, names).principal
    once = resampled_ap(accuracy, np.ones((1, len(labels)), np.int32))
    np.testing.assert_allclose(once[0], accuracy.ap.mean(axis=1), atol=1e-12)


def test_gains_of_the_whole_are_means_of_the_classes_that_a_resample_has():
    options = SPLITS[1].values[0]
    found, labels, names = measured(options)
    ours = measure_detections(found, labels, names).principal
    nothing = measure_detections([Detections.empty()] * len(labels), labels, names).principal
    gains = paired_bootstrap(ours, nothing, len(labels), resamples=100, seed=0)
    drawn = np.random.default_rng(0).integers(len(labels), size=(100, len(labels)))
    for resample, gain in zip(drawn, gains.map50_95, strict=True):
        repeated = measure_detections([found[i] for i in resample], [labels[i] for i in resample], names)
        # The draws' order plays no part: equal scores, whose order could, don't occur here.
        assert gain == pytest.approx(repeated.map50_95, abs=1e-12)


def both(seed=0):
    found, labels, names = measured({"seed": seed, "images": 40, "classes": 3, "objects": 6})
    worse = [each[: len(each) // 2] for each in found]
    return [measure_detections(each, labels, names).principal for each in (found, worse)], len(labels)


def test_the_same_seed_gives_the_same_interval_whatever_the_blocks(monkeypatch):
    (ours, theirs), images = both()
    first = paired_bootstrap(ours, theirs, images, resamples=200, seed=3)
    monkeypatch.setattr("yolocore.evaluate.bootstrap._ENTRIES", 500)
    again = paired_bootstrap(ours, theirs, images, resamples=200, seed=3)
    other = paired_bootstrap(ours, theirs, images, resamples=200, seed=4)
    assert np.array_equal(first.map50_95, again.map50_95) and np.array_equal(first.ap50_95, again.ap50_95)
    assert not np.array_equal(first.map50_95, other.map50_95)


def test_a_model_gains_exactly_nothing_over_itself():
    (ours, _), images = both()
    gains = paired_bootstrap(ours, ours, images, resamples=100, seed=0)
    assert not gains.map50_95.any() and not gains.ap50_95.any()


def test_what_one_gains_the_other_loses():
    (ours, theirs), images = both()
    there = paired_bootstrap(ours, theirs, images, resamples=100, seed=0)
    back = paired_bootstrap(theirs, ours, images, resamples=100, seed=0)
    assert np.array_equal(there.map50_95, -back.map50_95) and np.array_equal(there.ap50_95, -back.ap50_95)


def test_an_interval_holds_its_share():
    samples = np.stack([np.arange(1001), -np.arange(1001)], axis=1)
    np.testing.assert_allclose(interval(samples, 0.9), [[50, -950], [950, -50]])


def test_the_interval_is_as_wide_as_fresh_splits_scatter():
    """Of 60 splits of the same kind, the gain lies in the interval of one of them about as often as promised."""
    splits = [both(seed) for seed in range(60)]
    gains = np.array([ours.map50_95 - theirs.map50_95 for (ours, theirs), _ in splits])
    covered = 0
    for (ours, theirs), images in splits:
        low, high = interval(paired_bootstrap(ours, theirs, images, resamples=200, seed=0).map50_95, 0.9)
        covered += low <= gains.mean() <= high
    assert 0.7 <= covered / len(splits) <= 1


def test_objects_that_need_not_be_found_are_refused():
    found, labels = with_keypoints(*random_split(0, 10, 3, 6), 17)
    accuracy = measure_detections(found, labels, ["a", "b", "c"], task="pose").accuracies["pose"]
    assert accuracy.ranking.void.any()
    with pytest.raises(ValueError, match="cannot be resampled"):
        resampled_ap(accuracy, np.ones((1, 10), np.int32))
