"""The whole algorithm, dense and in plain NumPy. `docs/idea.md` shows it, and tests compare the library with it."""

import numpy as np


def draw(n_features, n_neurons, random_state=0):
    rng = np.random.default_rng(random_state)
    W = rng.normal(size=(n_features, n_neurons))  # weights, never trained
    b = rng.normal(size=n_neurons)  # biases
    return W, b


def hidden(X, W, b):
    return np.tanh(X @ W + b)  # (n_samples, n_neurons)


def sums(H, T, weights):
    mean_H = weights @ H / weights.sum()  # (n_neurons,)
    mean_T = weights @ T / weights.sum()  # (n_targets,)
    wH = weights[:, None] * (H - mean_H)  # (n_samples, n_neurons)
    HH = wH.T @ (H - mean_H)  # (n_neurons, n_neurons)
    HT = wH.T @ (T - mean_T)  # (n_neurons, n_targets)
    return HH, HT, mean_H, mean_T


def solve(HH, HT, mean_H, mean_T, alpha):
    B = np.linalg.solve(HH + alpha * np.eye(len(HH)), HT)  # (n_neurons, n_targets)
    return B, mean_T - mean_H @ B  # the intercept, (n_targets,), is not penalised


def predict(H, B, intercept):
    return H @ B + intercept  # (n_samples, n_targets)
