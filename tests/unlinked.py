"""A classifier without a link, whose probabilities are those that grids of penalties and neurons are scored by."""

from daskelm import ELMClassifier


class UnlinkedClassifier(ELMClassifier):
    """ELMClassifier whose probabilities are the nearest point of the simplex after `fit` too."""

    def _with_link(self, fitted, rows):
        return fitted
