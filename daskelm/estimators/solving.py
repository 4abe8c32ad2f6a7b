"""What estimators share that are solved from sums: for one penalty, or for the best of a grid."""

from __future__ import annotations

from typing import Any, Self

from ..exceptions import IncompatibleSumsError, NotSolvedError
from ..ridge.solve import solve
from ..selection.from_sums import select_from_sums
from ..sums.file import read_sums
from ..sums.normal_equations import NormalEquations
from .chosen_estimator import ChosenEstimator
from .parameters import check_bool

__all__ = ["SolvingEstimator"]


class SolvingEstimator(ChosenEstimator):
    """An estimator that has sums over rows, its own or those in files, and is solved from them."""

    alpha: Any

    def solve(self, sums=None) -> Self:
        """Solve for the output weights with the present `alpha` and `fit_intercept`; needs no data.

        Parameters
        ----------
        sums : NormalEquations, str, path-like, or list of these, optional
            Sums, a sums file, several, or a glob; the model's own sums if not given.

        Returns
        -------
        self
            The solved estimator.

        Raises
        ------
        NotSolvedError
            There is no layer, nothing was added yet, or the model was saved without its sums.
        IncompatibleSumsError
            The sums are of another layer or other targets.
        ParameterError
            Another parameter than `alpha`, `fit_intercept` and `verbose` was changed since the layer was drawn.
        """
        self._solve("solve", sums)
        return self

    def _solve(self, what: str, sums=None):
        self._need_layer(what)
        self._need_same_parameters(what)
        check_bool(self.fit_intercept, "fit_intercept")
        sums = self._own_sums(what) if sums is None else read_sums(sums)
        self._need_these(sums)
        self._keep(sums, solve(sums.moments(centred=self.fit_intercept), self.alpha))

    def select(
        self, sums=None, *, validation=None, n_neurons=None, ranking=None, alphas=None, cv=None, scoring=None
    ) -> Self:
        """Choose the penalty and the neurons from sums alone, and solve; needs no data.

        Parameters of the estimator stay as they are: `alpha_` is the penalty chosen until `solve` is called, with
        `alpha`, or rows are added. Where fewer neurons are chosen, the model has the smaller layer and its sums from
        here on, and no longer takes sums of the full one: save it first, or to another file.

        Parameters
        ----------
        sums : NormalEquations, str, path-like, or list of these, optional
            Sums, a sums file, several, or a glob; the model's own sums if not given.
        validation : the same, optional
            Sums of other rows, made with the same model, that the grid is scored on; they are not solved with.
        n_neurons : array-like of int of shape (n_sizes,), optional
            Numbers of neurons to try: the first ones of the layer, all ``"lin"`` before the others and these in
            proportion, or the best by `ranking`. All neurons if not given; with a ranking, about ten numbers.
        ranking : {None, "omp", "lars", "mrsr"}, default=None
            Order in which neurons are taken, by what they tell of the targets, as in `ELMRegressorCV`; with
            ``"files"``, each training part has its own.
        alphas : array-like of shape (n_alphas,), optional
            Penalties to try, in the units of HH; if not given, a grid as in `ELMRegressorCV`.
        cv : {None, "files"}, default=None
            Without validation: None is generalised cross-validation, ``"files"`` takes each of several sums as a
            fold, scored by models of all the others.
        scoring : {"r2", "neg_mean_squared_error", "neg_root_mean_squared_error"}, optional
            What is largest for the best: r2 if not given. Of a classifier, that of its outputs as estimates of zeros
            and ones.

        Returns
        -------
        self
            The solved estimator, with `best_score_`, `cv_results_` and `n_neurons_`, and `ranking_` if asked for.

        Raises
        ------
        NotSolvedError
            There is no layer, nothing was added yet, or the model was saved without its sums.
        IncompatibleSumsError
            The sums are of another layer or other targets; rows are counted in sums and in validation.
        ParameterError
            A grid, `ranking`, `cv` or `scoring` that cannot be used; a parameter that was changed since the layer was
            drawn.
        DataError
            Sums of too few rows.
        InsufficientMemoryError
            The sums of so many folds, or so large a grid, do not fit in this process.
        """
        layer = self._need_layer("select")
        self._need_same_parameters("select")
        check_bool(self.fit_intercept, "fit_intercept")
        with self._unchanged_on_error():
            selected = select_from_sums(
                layer,
                self._own_sums("select") if sums is None else sums,
                check=self._need_these,
                validation=validation,
                alphas=alphas,
                n_neurons=n_neurons,
                ranking=ranking,
                cv=cv,
                scoring=scoring,
                fit_intercept=self.fit_intercept,
                verbose=self.verbose,
            )
            before = getattr(self, "_choice", {}).get("before", [])
            if selected.layer is not layer:
                before = [*before, layer.fingerprint]
            self.hidden_layer_, self.n_neurons_ = selected.layer, selected.layer.n_neurons
            self._keep(selected.sums, selected.solution)
            self._note_choice(selected, ranked=ranking is not None, before=before)
        return self

    def _need_these(self, sums: NormalEquations, name: str = "sums"):
        """Refuse sums of another layer or other targets."""
        layer = self.hidden_layer_
        if sums.fingerprint in getattr(self, "_choice", {}).get("before", []):
            raise IncompatibleSumsError(
                f"{name}: they are of the full layer of {sums.n_neurons} neurons (fingerprint {sums.fingerprint[:12]}),"
                f" of which this model has the {layer.n_neurons} that select chose ({layer.fingerprint[:12]}). Use the "
                "model as it was saved before select, or sum over the rows with this one, into a new file."
            )
        if sums.fingerprint != layer.fingerprint:
            raise IncompatibleSumsError(
                f"{name}: they are of another hidden layer (fingerprint {sums.fingerprint[:12]}) than this model's "
                f"({layer.fingerprint[:12]}). Use the one saved model everywhere: save it after initialize, load it in "
                "every script."
            )
        self._check_sums(sums, name)

    @classmethod
    def _from_state(cls, state: dict) -> Self:
        model = super()._from_state(state)
        if hasattr(model, "_choice"):
            model.n_neurons_ = model.hidden_layer_.n_neurons
        return model

    def _own_sums(self, what: str) -> NormalEquations:
        if hasattr(self, "normal_equations_"):
            return self.normal_equations_
        if getattr(self, "_solution", None) is not None:
            raise NotSolvedError(
                f"This {type(self).__name__} instance was saved without its sums, and {what} needs them. Save it with "
                "save(path, sums=True), or name a sums file: solve('sums.h5')."
            )
        raise NotSolvedError(
            f"This {type(self).__name__} instance is not fitted yet: nothing was added since its layer was drawn, and "
            f"{what} needs sums over rows. Call partial_fit or accumulate first, or name a sums file: "
            "solve('sums.h5')."
        )

    def _check_sums(self, sums, name="sums"):
        """Whether the sums' targets are those of this model; `name` is the argument's."""
