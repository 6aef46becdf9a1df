"""What is written slightly wrong: the error says what to write."""

from __future__ import annotations

import logging

import pytest

import rediq_trio as rediq
from rediq_trio import MemoryStore


async def test_a_misspelt_setting_is_suggested() -> None:
    with pytest.raises(rediq.ConfigError, match=r"'concurency'; did you mean concurrency\?"):
        async with rediq.serve(rediq.App(), MemoryStore(), concurency=5):  # type: ignore[call-arg]  # pyright: ignore
            pass


async def test_a_setting_like_no_other_lists_them_all() -> None:
    with pytest.raises(rediq.ConfigError, match=r"unknown setting 'xyz'; there are .*concurrency"):
        async with rediq.serve(rediq.App(), MemoryStore(), xyz=5):  # type: ignore[call-arg]  # pyright: ignore
            pass


async def test_a_misspelt_variable_of_a_client_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REDIQ_ULR", "memory://")
    monkeypatch.setenv("REDIQ_SERVICE_HOST", "10.0.0.1")
    async with rediq.connect("memory://"):
        pass
    assert caplog.messages == [
        "the environment variable REDIQ_ULR is not read; did you mean REDIQ_URL?"
    ]
    assert caplog.records[0].levelno == logging.WARNING
