"""The config tree: strict, bounded, described, and with an identity that machine settings don't touch."""

import pytest
import yaml
from pydantic import ValidationError

from yolocore.config import MODES, Tree, explain, load_tree, section_class
from yolocore.errors import UsageError


@pytest.mark.parametrize("mode", MODES)
def test_every_field_is_described(mode):
    undescribed = [name for name, field in section_class(mode).model_fields.items() if not field.description]
    assert not undescribed


@pytest.mark.parametrize("mode", MODES)
def test_defaults_are_valid_and_round_trip_through_yaml(mode):
    section = section_class(mode)()
    assert type(section).model_validate(yaml.safe_load(yaml.safe_dump(section.model_dump(mode="json")))) == section


@pytest.mark.parametrize(
    ("tree", "line"),
    [
        pytest.param({"train": {"epoch": 3}}, "unknown key 'train.epoch'; did you mean 'epochs'?", id="misspelt key"),
        pytest.param({"trian": {}}, "unknown key 'trian'; did you mean 'train'?", id="misspelt section"),
        pytest.param({"train": {"epochs": 0}}, "train.epochs=0: ", id="below its range"),
        pytest.param({"train": {"imgsz": 100}}, "train.imgsz=100: ", id="no multiple of the stride"),
        pytest.param({"val": {"iou": "high"}}, "val.iou='high': ", id="text for a number"),
        pytest.param({"export": {"format": "onyx"}}, "export.format='onyx': ", id="unknown choice"),
    ],
)
def test_a_wrong_tree_is_explained_in_one_line(tree, line):
    with pytest.raises(ValidationError) as caught:
        Tree.model_validate(tree)
    text = explain(caught.value, Tree)
    assert text.startswith(line)
    assert "\n" not in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "cannot be read", id="missing file"),
        pytest.param("train: [", "is not YAML", id="broken YAML"),
        pytest.param("train: 3", "train=3", id="a number where a section belongs"),
        pytest.param("train:\n  lr: 0.1", "did you mean", id="unknown key"),
    ],
)
def test_a_bad_params_file_names_itself_and_the_reason(tmp_path, content, reason):
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=reason) as caught:
        load_tree(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_params_file_is_all_defaults(tmp_path):
    (tmp_path / "params.yaml").write_text("# nothing set\n")
    assert load_tree(tmp_path / "params.yaml") == Tree()


def test_identity_ignores_how_to_run_and_sees_what_to_run():
    train = section_class("train")
    assert train(device="cpu", workers=0).digest() == train(device="auto", workers=8).digest()
    assert train(epochs=3).digest() != train(epochs=4).digest()
    assert train().digest().startswith("sha256:")
