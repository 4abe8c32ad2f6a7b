"""Files of the rows of `validation_table`."""

import pytest
from validation_table import ALL, COUNTS, OUTPUTS, N

from daskelm import make_hdf5


@pytest.fixture
def files(tmp_path):
    """Paths of the training and the validation rows, and of all of them in one file."""
    for name, rows in {"": slice(0, N), "_val": slice(N, None), "_all": slice(None)}.items():
        make_hdf5(ALL[rows], tmp_path / f"X{name}.h5")
        make_hdf5(OUTPUTS[rows], tmp_path / f"Y{name}.h5")
        make_hdf5(COUNTS[rows], tmp_path / f"W{name}.h5")
    return tmp_path
