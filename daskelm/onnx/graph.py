"""A graph of ONNX that nodes are added to by short calls: constants are arrays, results are names."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from ..exceptions import MissingExtraError

__all__ = ["Graph", "library"]


def library(name: str) -> Any:
    """A module of the libraries that the extra `onnx` installs."""
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            "to_onnx: a model is written as ONNX by skl2onnx, which cannot be imported "
            f"({error}). Install it with pip install 'daskelm[onnx]'."
        ) from None


class Graph:
    """ONNX graph that nodes are added to, made of the `scope` and `container` that skl2onnx gives to converters."""

    def __init__(self, scope, container):
        self._scope, self._container = scope, container
        self._types = library("onnx.helper").np_dtype_to_tensor_dtype
        self.opset = container.target_opset_any_domain("")

    def add(self, operator: str, *inputs: str | np.ndarray, out: str | None = None, **attributes) -> str:
        """Add a node; arrays among its inputs become constants.

        Parameters
        ----------
        operator : str
            Name of an operator in the default domain.
        *inputs : str or ndarray
            Names of results, or constants.
        out : str, optional
            Name of the result; made up if not given.
        **attributes
            Attributes of the node.

        Returns
        -------
        str
            Name of its result.
        """
        names = [self._constant(item) if isinstance(item, np.ndarray) else item for item in inputs]
        out = out or self._scope.get_unique_variable_name(operator.lower())
        node = self._scope.get_unique_operator_name(operator)
        self._container.add_node(operator, names, [out], name=node, **attributes)
        return out

    def cast(self, name: str, dtype, out: str | None = None) -> str:
        """The same numbers in another type."""
        return self.add("Cast", name, to=self._types(np.dtype(dtype)), out=out)

    def encode(self, name: str, levels: tuple, codes: np.ndarray, other: float) -> str:
        """Codes, in float, of texts or whole numbers among `levels`; `other` for all others."""
        out = self._scope.get_unique_variable_name("codes")
        texts = isinstance(levels[0], str)
        keys = {"keys_strings": list(levels)} if texts else {"keys_int64s": [int(level) for level in levels]}
        self._container.add_node(
            "LabelEncoder",
            [name],
            [out],
            name=self._scope.get_unique_operator_name("LabelEncoder"),
            op_domain="ai.onnx.ml",
            op_version=2,
            values_floats=[float(code) for code in codes],
            default_float=float(other),
            **keys,
        )
        return out

    def reduce(self, operator: str, name: str, axis: int, *, keep: bool) -> str:
        """Reduce along an axis by ReduceSum or ReduceMax, whose axis became an input in different versions of ONNX."""
        if operator == "ReduceSum" or self.opset >= 18:
            return self.add(operator, name, np.array([axis]), keepdims=int(keep))
        return self.add(operator, name, axes=[axis], keepdims=int(keep))

    def largest_first(self, name: str, n_columns: int) -> str:
        """Each row (n_columns,) in descending order."""
        values, places = (self._scope.get_unique_variable_name(word) for word in ("values", "places"))
        node = self._scope.get_unique_operator_name("TopK")
        self._container.add_node(
            "TopK", [name, self._constant(np.array([n_columns]))], [values, places], name=node, axis=1
        )
        return values

    def _constant(self, array: np.ndarray) -> str:
        name = self._scope.get_unique_variable_name("constant")
        if array.dtype.kind in "UO":
            words = [str(word).encode() for word in array.ravel()]
            string = library("onnx").TensorProto.STRING
            self._container.add_initializer(name, string, list(array.shape), words)
        else:
            tensor = library("onnx.numpy_helper").from_array(np.ascontiguousarray(array), name)
            self._container.add_initializer(name, tensor.data_type, list(array.shape), tensor)
        return name
