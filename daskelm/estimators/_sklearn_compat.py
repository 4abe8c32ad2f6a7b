"""Private interfaces of scikit-learn, each with the versions that have it; no other module uses one.

Versions are those from 1.6 on, the oldest that daskelm allows: names without another version are in 1.6.1, 1.7.2, 1.8.0
and 1.9.1.
"""

from __future__ import annotations

from typing import Any

# The output that `set_output` asked for; only `set_output` itself is public.
from sklearn.utils._set_output import _get_output_config as output_config

# Checks of names, lengths and weights: the public `validate_data` has no part that does one of them alone.
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import _check_n_features as check_n_features
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _num_samples as num_samples

try:
    # These are public, from 1.9 on. Earlier versions have no `set_callbacks`, and so no callbacks to report to.
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """A mixin without methods."""

    def with_callbacks(method):
        """The method as it is."""
        return method


__all__ = [
    "CallbackSupportMixin",
    "FittedTable",
    "callback_context",
    "check_feature_names_in",
    "check_n_features",
    "check_sample_weight",
    "has_callbacks",
    "num_samples",
    "output_config",
    "with_callbacks",
]


def has_callbacks(estimator) -> bool:
    """Whether `set_callbacks` (1.9 on) has given the estimator callbacks, in `_skl_callbacks`."""
    return bool(getattr(estimator, "_skl_callbacks", None))


def callback_context(estimator, n_passes: int | None) -> Any:
    """The context that callbacks are called through, by `_init_callback_context` (1.9 on) of the estimator."""
    return estimator._init_callback_context(max_subtasks=n_passes)


class FittedTable:
    """Mixin: scikit-learn's diagram shows no fitted attributes of a model that is not solved yet.

    `_get_fitted_attr_html` (1.9 on) reads all attributes, and reading `coef_` would solve the model.
    """

    _fitted: Any

    def _get_fitted_attr_html(self, *args, **kwargs) -> Any:
        fitted = self._fitted
        if fitted is not None and fitted.sums is not None and fitted.solution is None:
            return {}
        return super()._get_fitted_attr_html(*args, **kwargs)  # type: ignore[misc]
