"""The submit form is the config tree, and what it carries means the same as the tree."""

import inspect

import pytest

from pipelines.form import arguments, form, of_tree, parameters, plain
from yolocore.config import Tree, section_class
from yolocore.modes.request import validate

SECTIONS = tuple(name for name in Tree.model_fields if name != "pipeline")


@pytest.mark.parametrize("section", SECTIONS)
def test_form_values_read_back_are_the_settings(section):
    values = {p.name: p.default for p in parameters(section_class(section))}
    assert validate(section_class(section), values) == section_class(section)()
    assert all(isinstance(p.default, p.type) for p in parameters(section_class(section)))


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        pytest.param(None, "", id="nothing"),
        pytest.param((0, 2), "0,2", id="list"),
        pytest.param(("onnx",), "onnx", id="list of one"),
        pytest.param(0.25, 0.25, id="number"),
        pytest.param(False, False, id="switch"),
    ],
)
def test_what_a_form_cannot_carry_becomes_text(value, carried):
    assert plain(value) == carried


def test_the_form_has_every_setting_of_its_sections_and_hands_them_back():
    seen = {}

    @form(of_tree("pipeline", "val"), {"val_split": "test"})
    def plan(settings):
        """The plan."""
        seen.update(settings)

    fields = inspect.signature(plan).parameters
    assert list(fields) == list(arguments({name: getattr(Tree(), name) for name in ("pipeline", "val")}))
    assert fields["val_conf"].annotation is float
    assert (fields["val_split"].default, fields["val_batch"].default) == ("test", 16)
    assert "val_conf: lowest score" in plan.__doc__
    plan(*(f"<{name}>" for name in fields))
    assert seen["val"]["conf"] == "<val_conf>"
    assert seen["pipeline"]["source"] == "<pipeline_source>"
