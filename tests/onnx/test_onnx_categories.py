"""Gaps and categories in ONNX: the same predictions, from an input for each column."""

import numpy as np
import pandas as pd
import pytest

from daskelm import ELMClassifier, ELMRegressor, HiddenLayer
from daskelm.exceptions import InputTypeError, ParameterError
from daskelm.onnx import to_onnx

onnxruntime = pytest.importorskip("onnxruntime")


def table(n=1500, seed=0):
    r = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "size": r.normal(3, 2, n),
            "zone": r.choice(["a", "b", "c", "d"], n),
            "code": pd.Categorical(r.integers(5, 9, n)),
            "count": r.integers(0, 9, n).astype(float),
        }
    )
    frame.loc[r.random(n) < 0.1, "size"] = np.nan
    frame.loc[r.random(n) < 0.1, "zone"] = None
    y = frame["size"].fillna(0) * (frame["zone"] == "a") + frame["code"].astype(int)
    return frame, y.to_numpy()


def feeds(frame):
    return {
        "size": frame[["size"]].to_numpy(float),
        "zone": frame[["zone"]].astype(object).fillna("").to_numpy(object),
        "code": frame[["code"]].to_numpy(np.int64),
        "count": frame[["count"]].to_numpy(float),
    }


def run(model, frame):
    session = onnxruntime.InferenceSession(to_onnx(model).SerializeToString())
    return session.run(None, feeds(frame))


@pytest.mark.parametrize("neurons", [None, (60, "auto"), [(10, "lin"), (20, "relu", "sparse"), (10, "rbf_l2")]])
@pytest.mark.parametrize("standardize", [True, False])
def test_predictions_are_those_of_the_model(neurons, standardize):
    frame, y = table()
    model = ELMRegressor(neurons, missing="indicator", standardize=standardize, random_state=0).fit(frame, y)
    new, _ = table(400, seed=1)
    new.loc[::7, "zone"] = "never seen"
    np.testing.assert_allclose(run(model, new)[0][:, 0], model.predict(new), atol=1e-8)


def test_labels_probabilities_and_layers():
    frame, y = table()
    model = ELMClassifier((60, "auto"), missing="indicator", random_state=0).fit(frame, np.where(y > 8, "high", "low"))
    labels, probabilities = run(model, frame)
    assert (labels == model.predict(frame)).all()
    np.testing.assert_allclose(probabilities, model.predict_proba(frame), atol=1e-8)
    layer = HiddenLayer(30, missing="indicator", random_state=0).fit(frame)
    np.testing.assert_allclose(run(layer, frame)[0], layer.transform(frame), atol=1e-10)


def test_gaps_alone_have_one_input():
    frame, y = table()
    X = frame[["size", "count"]].to_numpy(float)
    model = ELMRegressor(40, missing="indicator", random_state=0).fit(X, y)
    session = onnxruntime.InferenceSession(to_onnx(model).SerializeToString())
    np.testing.assert_allclose(session.run(None, {"X": X})[0][:, 0], model.predict(X), atol=1e-8)


def test_what_cannot_be_written_is_said():
    from skl2onnx.common.data_types import DoubleTensorType

    frame, y = table()
    model = ELMRegressor(20, missing="indicator", random_state=0).fit(frame, y)
    with pytest.raises(ParameterError, match=r"has an input for each of its 4 columns; got 1"):
        to_onnx(model, initial_types=[("X", DoubleTensorType([None, 4]))])
    frame["code"] = pd.Categorical(np.where(y > 8, 1.5, 2.5))
    model = ELMRegressor(20, missing="indicator", random_state=0).fit(frame, y)
    with pytest.raises(InputTypeError, match=r"must all be texts, or all whole numbers.*column 'code'"):
        to_onnx(model)
