"""scikit-learn's contract: its checks, its tools, and the same numbers as its own estimators."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from small_table import LABELS, X, Y

from daskelm import ELMClassifier, ELMRegressor, HiddenLayer, Neurons

BY_ROWS = [(10, "tanh", "relevance"), (10, "tanh", "sparse pairs")]
_BY_ROW_NUMBER = {
    "check_sample_weight_equivalence_on_dense_data": "neurons are drawn by rows that are chosen by their numbers"
}


@parametrize_with_checks(
    [
        ELMRegressor(20),
        ELMRegressor(),
        ELMRegressor((20, "auto")),
        ELMRegressor([(1, "lin"), (10, "rbf_l2")], alpha=1e-3),
        ELMClassifier(20),
        ELMClassifier(BY_ROWS),
        ELMClassifier(),
        HiddenLayer(20),
        HiddenLayer(),
    ],
    expected_failed_checks=lambda estimator: _BY_ROW_NUMBER if estimator.neurons == BY_ROWS else {},
)
# Some checks begin with a few rows, and go on with others.
@pytest.mark.filterwarnings("ignore:.*rests on these first:daskelm.exceptions.ScaleWarning")
@pytest.mark.filterwarnings("ignore::daskelm.exceptions.DrawWarning")
def test_scikit_learn(monkeypatch, estimator, check):
    if "array_api" in str(check):
        monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    check(estimator)


@pytest.mark.parametrize("spec", [30, None, [(4, "lin"), (10, "relu")], [Neurons("sigm", X[:5].T, np.zeros(5))]])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_equals_hidden_layer_and_ridge(spec, fit_intercept):
    pipeline = make_pipeline(HiddenLayer(spec, random_state=0), Ridge(1.0, fit_intercept=fit_intercept)).fit(X, Y)
    model = ELMRegressor(spec, alpha=1.0, fit_intercept=fit_intercept, random_state=0).fit(X, Y)
    np.testing.assert_allclose(model.predict(X), pipeline.predict(X), atol=1e-9)


def test_works_in_scikit_learns_tools():
    search = GridSearchCV(ELMRegressor(random_state=0), {"neurons": [5, 40], "alpha": [1e-2, "gcv"]}, cv=3).fit(X, Y)
    assert search.best_params_["neurons"] == 40
    assert cross_val_score(ELMClassifier(30, random_state=0), X, LABELS).mean() > 0.6
    H = HiddenLayer([(2, "lin"), (3, "tanh")], random_state=0).set_output(transform="pandas").fit_transform(X)
    assert H.columns.tolist() == ["lin0", "lin1", "tanh0", "tanh1", "tanh2"]


def test_methods_where_results_go_ask_for_no_metadata():
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        routing = ELMClassifier().get_metadata_routing()
    for method in ("predict", "predict_proba", "decision_function"):
        assert "out" not in getattr(routing, method).requests
