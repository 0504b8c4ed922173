"A file of XGBoost is looked at before XGBoost reads it: what would end the process is refused."

import hashlib
import json
import shutil
import struct

import pytest

from analognas.core import FileFormatError
from analognas.evaluators.tree_file import check_trees, decode_ubj
from analognas.evaluators.xgboost import WEIGHTS, XGBoostEvaluator

WHOLE = (WEIGHTS / "digits" / "weights.ubj").read_bytes()
COUNT = 9  # bytes of a length with its type


def with_first(name: str, value: int) -> bytes:
    "Return the weights with the first entry of the first array of this name replaced."
    start = WHOLE.index(name.encode() + b"[$l#") + len(name) + 4 + COUNT
    return WHOLE[:start] + struct.pack(">i", value) + WHOLE[start + 4 :]


@pytest.mark.parametrize("name", ["digits", "KWS", "CIFAR-10", "nasbench201"])
def test_the_weights_of_the_package_pass(name):
    check_trees((WEIGHTS / name / "weights.ubj").read_bytes(), 3)


@pytest.mark.parametrize(
    "name, value",
    [
        ("left_children", 0),  # a loop
        ("left_children", 10**6),  # a node behind the last
        ("left_children", 2),  # the child of two
        ("right_children", -1),
        ("right_children", -(2**31)),
        ("split_indices", 34),  # of 34 features
        ("split_indices", -1),
        ("parents", 5),
    ],
)
def test_a_tree_that_cannot_be_walked_is_refused(name, value):
    with pytest.raises(FileFormatError, match="not a model of XGBoost"):
        check_trees(with_first(name, value), 3)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        WHOLE[:-1],
        WHOLE + b"x",
        b"{L" + struct.pack(">q", -1),
        b"{i\x01a[$d#L" + struct.pack(">q", 2**61),
        b"{i\x01a[#L" + struct.pack(">q", 2**61),
        b"{i\x01a" + b"[" * 10**6,
        b"{i\x01aTi\x01aF}",
        WHOLE.replace(b"gbtree", b"gblin2", 1),
        WHOLE.replace(b"SL" + struct.pack(">q", 3) + b"300", b"SL" + struct.pack(">q", 3) + b"299"),
    ],
)
def test_what_is_no_model_is_refused(raw):
    with pytest.raises(FileFormatError, match="not a model of XGBoost"):
        check_trees(raw, 3)


def test_numbers_are_decoded_as_they_were_written():
    raw = b"{i\x01dd" + struct.pack(">f", 0.5) + b"i\x01L" + b"L" + struct.pack(">q", -3) + b"}"
    assert decode_ubj(raw) == {"d": 0.5, "L": -3}


def test_a_foreign_file_with_a_checksum_that_fits_is_refused_by_name(tmp_path):
    folder = shutil.copytree(WEIGHTS / "digits", tmp_path / "foreign")
    raw = with_first("left_children", 0)
    (folder / "weights.ubj").write_bytes(raw)
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    about["sha256"] = hashlib.sha256(raw).hexdigest()
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"foreign.*weights\.ubj"):
        XGBoostEvaluator(folder)
