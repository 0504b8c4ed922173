"Arrays come back as they were written; what is larger, or is no array, is refused before it is unpacked."

import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from analognas.core import FileFormatError
from analognas.core.arrays import read_arrays


@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0, max_side=4)))
def test_arrays_come_back_as_numpy_reads_them(tmp_path_factory, array):
    file = tmp_path_factory.mktemp("arrays") / "one.npz"
    np.savez(file, x=array)
    found = read_arrays(file)["x"]
    with np.load(file) as kept:
        wanted = kept["x"]
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    assert found.tobytes() == wanted.tobytes()


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "nothing.npz")


def header(shape, kind="|u1"):
    buffer = io.BytesIO()
    described = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        header((10**12,)),
        header((-1,)),
        header((2**40, 2**40)),
        header((2,), "|O") + pickle.dumps([1, 2]),
        header((4,)) + b"ab",
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
        b"\x93NUMPY\x01\x00\x09\x00" + b"{[1]: 2}\n",  # a list is no key: TypeError
        b"no array",
    ],
)
def test_what_is_no_array_is_refused_with_the_name_of_the_file(tmp_path, content):
    with zipfile.ZipFile(tmp_path / "odd.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(FileFormatError, match=r"odd\.npz"):
        read_arrays(tmp_path / "odd.npz")


def test_what_unpacks_to_more_than_the_file_has_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "zeros.npz", x=np.zeros(10**6))
    with pytest.raises(FileFormatError, match="announces more"):
        read_arrays(tmp_path / "zeros.npz")
    assert read_arrays(tmp_path / "zeros.npz", limit=10**7)["x"].shape == (10**6,)
