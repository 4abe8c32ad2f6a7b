"""Folders to work in."""

import os

import pytest


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def unsynced_folder(empty_folder, monkeypatch):
    """An empty folder, on a disk that is not waited for: a thousand tests would wait for it three times each."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
