import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    "Decoded files of a test stay with the test."
    monkeypatch.setenv("ANALOGNAS_CACHE", str(tmp_path / "cache"))
