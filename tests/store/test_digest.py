"""Digests: the same content is the same digest, wherever it lies and however it was written down."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from yolocore.store import bytes_digest, file_digest, json_digest, short, tree_digest

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values))
def test_the_order_of_keys_does_not_matter(value):
    assert json_digest(dict(reversed(value.items()))) == json_digest(value)


def test_files_and_bytes_agree_with_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"yolo")
    expected = "sha256:" + hashlib.sha256(b"yolo").hexdigest()
    assert file_digest(tmp_path / "a") == bytes_digest(b"yolo") == tree_digest(tmp_path / "a") == expected
    assert short(expected) == expected[7:19]


def test_a_tree_is_its_names_and_contents(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "file").write_text("same")
    assert tree_digest(tmp_path / "one") == tree_digest(tmp_path / "two")
    (tmp_path / "two" / "sub" / "file").rename(tmp_path / "two" / "sub" / "renamed")
    assert tree_digest(tmp_path / "one") != tree_digest(tmp_path / "two")


def test_a_link_to_a_folder_counts_as_what_is_in_it(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("one")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "linked").symlink_to(tmp_path / "elsewhere")
    before = tree_digest(tmp_path / "tree")
    (tmp_path / "elsewhere" / "file").write_text("two")
    assert tree_digest(tmp_path / "tree") != before
