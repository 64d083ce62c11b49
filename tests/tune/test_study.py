"""The search: the same trials whether interrupted or not, and no setting that cannot be searched."""

import csv

import pytest

from yolocore.config import TrainConfig, TuneConfig
from yolocore.errors import UsageError
from yolocore.meta import TASKS
from yolocore.tune import SPACE, Pruned, Study, Trial, first_values, ranges
from yolocore.tune.views import draw_search, write_trials

RANGES = {name: SPACE[name] for name in ("lr0", "box")}
FIRST = {"lr0": 0.002, "box": 7.5}
EPOCHS = 8


def fitness(trial):
    """Highest for a box weight of 5."""
    return 1 - abs(trial.values["box"] - 5) / 20


def open_study(folder, seed=0):
    return Study(folder, RANGES, FIRST, seed, EPOCHS)


def play(study, count):
    trials = []
    while len(study.finished) < count:
        trial = study.next()
        trials.append(trial)
        study.tell(trial, fitness(trial))
    return trials


def test_the_given_settings_are_tried_first(tmp_path):
    assert open_study(tmp_path).next() == Trial(1, FIRST)


def test_an_interrupted_study_goes_on_with_the_trials_it_would_have_had(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    expected = play(open_study(whole), 12)
    found = [*play(open_study(parts), 3), *play(open_study(parts), 9), *play(open_study(parts), 12)]
    assert found == expected


def test_a_trial_that_was_running_is_run_again(tmp_path):
    running = open_study(tmp_path).next()
    assert open_study(tmp_path).next() == running


def test_another_seed_draws_other_trials(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    a, b = (play(open_study(folder, seed), 3) for seed, folder in enumerate(folders))
    assert a[0] == b[0] and a[1] != b[1]


def test_all_values_lie_in_their_ranges_and_the_search_learns(tmp_path):
    trials = play(open_study(tmp_path), 25)
    for trial in trials:
        for name, value in trial.values.items():
            assert SPACE[name].low <= value <= SPACE[name].high
    early, late = (sum(map(fitness, part)) / len(part) for part in (trials[:10], trials[-10:]))
    assert late > early


def test_a_training_that_lags_behind_the_others_is_cut_short(tmp_path):
    study = open_study(tmp_path)
    for _ in range(8):
        trial = study.next()
        for epoch in range(1, EPOCHS + 1):
            study.report(trial, epoch, 0.5)
        study.tell(trial, 0.5)
    trial = study.next()
    with pytest.raises(Pruned):
        for epoch in range(1, EPOCHS + 1):
            study.report(trial, epoch, 0.1)
    study.tell(trial, None, pruned=True)
    assert [t.state.name for t in study.finished].count("PRUNED") == 1


def test_an_epoch_that_is_reported_again_after_a_resume_counts_once(tmp_path):
    study = open_study(tmp_path)
    trial = study.next()
    study.report(trial, 1, 0.2)
    open_study(tmp_path).report(trial, 1, 0.3)
    assert study.optuna.trials[0].intermediate_values == {1: 0.2}


def test_a_failed_trial_is_counted_and_never_the_best(tmp_path):
    study = open_study(tmp_path)
    study.tell(study.next(), None)
    assert len(study.finished) == 1 and study.best is None


def test_every_range_is_of_a_setting_and_within_what_it_may_be():
    for name, reach in SPACE.items():
        for value in (reach.low, reach.high):
            TrainConfig.model_validate({name: value})


@pytest.mark.parametrize("task", TASKS)
def test_what_is_searched_for_a_task_plays_a_part_in_it(task):
    """The default values of it lie in their ranges, and to name it is allowed."""
    chosen = ranges(TuneConfig(), task)
    first = first_values(TuneConfig(), chosen)
    assert first == {name: getattr(TuneConfig(), name) for name in chosen}
    assert ranges(TuneConfig(search=tuple(chosen)), task) == chosen
    objects, classes, keypoints = {"box", "dfl", "translate", "scale"}, {"crop", "dropout", "erasing"}, {"pose", "kobj"}
    wanted = classes if task == "classify" else objects | keypoints if task == "pose" else objects
    assert chosen.keys() & (objects | classes | keypoints) == wanted
    assert chosen.keys() >= {"lr0", "weight_decay", "hsv_s"}


@pytest.mark.parametrize(
    ("search", "task", "message"),
    [
        ("epochs", "detect", "search=epochs: cannot be searched; there are lr0"),
        ("box", "classify", "search=box: does nothing for task=classify; there are lr0.*, crop, erasing, dropout$"),
        ("copy_paste", "pose", "search=copy_paste: does nothing for task=pose; there are .*, kobj"),
    ],
)
def test_a_setting_that_cannot_be_searched_is_named(search, task, message):
    with pytest.raises(UsageError, match=message):
        ranges(TuneConfig(search=("lr0", search)), task)


def test_a_first_value_outside_its_range_is_refused():
    with pytest.raises(UsageError, match=r"lr0=5: is searched from 1e-05 to 0\.1; give a value of these, or leave it"):
        first_values(TuneConfig(lr0=5), RANGES)


def test_table_and_picture(tmp_path):
    study = open_study(tmp_path)
    play(study, 9)
    study.tell(study.next(), None)
    write_trials(study, tmp_path / "trials.csv")
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert [row["trial"] for row in rows] == [str(n) for n in range(1, 11)]
    assert rows[0] == {"trial": "1", "state": "complete", "fitness": "0.875", "box": "7.5", "lr0": "0.002"}
    assert rows[9]["state"] == "fail" and rows[9]["fitness"] == ""
    draw_search(study, tmp_path / "trials.png")
    assert (tmp_path / "trials.png").read_bytes()[:4] == b"\x89PNG"
