"""Array types of kernel arguments, and the conversion from tensors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
IntArray = NDArray[np.int32]
LongArray = NDArray[np.int64]
BitArray = NDArray[np.uint32]
BoolArray = NDArray[np.bool_]


def as_array(tensor: Tensor) -> NDArray[Any]:
    """The tensor as a contiguous array; shares memory where possible."""
    return tensor.detach().contiguous().numpy()
