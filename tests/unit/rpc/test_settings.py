"""Settings from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from services.rpc.settings import Port, ServiceSettings, load_settings, settings_config


class Sample(ServiceSettings):
    model_config = settings_config("CAIRN_SAMPLE_")

    port: Port = 9199
    metrics_port: Port = 9299
    pepper: SecretStr = SecretStr("")
    """Mixed into hashes."""
    token: SecretStr | None = None
    models: tuple[str, ...] = ()


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exited:
        load_settings(Sample)
    assert exited.value.code == 2
    return capsys.readouterr().err


def test_defaults() -> None:
    settings = load_settings(Sample)
    assert (settings.host, settings.port, settings.metrics_port) == ("127.0.0.1", 9199, 9299)
    assert settings.data_dir == Path(".cairn")
    assert settings.otlp_endpoint == ""


def test_variables_are_read_and_empty_ones_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIRN_SAMPLE_PORT", "0")
    monkeypatch.setenv("CAIRN_SAMPLE_DATA_DIR", "/srv/cairn")
    monkeypatch.setenv("CAIRN_SAMPLE_GRACE_SECONDS", "")
    settings = load_settings(Sample)
    assert (settings.port, settings.data_dir) == (0, Path("/srv/cairn"))
    assert settings.grace_seconds == 20


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        load_settings(Sample).port = 1


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("PORT", "70000", "less than or equal to 65535"),
        ("PORT", "http", "valid integer"),
        ("TRACE_SAMPLE_RATIO", "2", "less than or equal to 1"),
        ("GRACE_SECONDS", "-1", "greater than or equal to 0"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("PROT", "1", "is not a setting; known are"),
        ("MODELS", "not json", "models"),
    ],
)
def test_wrong_setting_is_named_with_its_problem(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
    value: str,
    problem: str,
) -> None:
    monkeypatch.setenv(f"CAIRN_SAMPLE_{key}", value)
    message = refusal(capsys)
    assert problem in message
    assert f"CAIRN_SAMPLE_{key}" in message or key == "MODELS"


def test_all_problems_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAIRN_SAMPLE_PORT", "x")
    monkeypatch.setenv("CAIRN_SAMPLE_METRICS_PORT", "y")
    message = refusal(capsys)
    assert "CAIRN_SAMPLE_PORT" in message
    assert "CAIRN_SAMPLE_METRICS_PORT" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CAIRN_SAMPLE_PORT", "tcp://10.96.0.7:9101"),
        ("CAIRN_SAMPLE_PORT_9101_TCP", "tcp://10.96.0.7:9101"),
        ("CAIRN_SAMPLE_SERVICE_HOST", "10.96.0.7"),
    ],
)
def test_kubernetes_service_links_are_recognised(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str, value: str
) -> None:
    monkeypatch.setenv(key, value)
    assert "enableServiceLinks: false" in refusal(capsys)


def test_other_variables_are_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIRN_OTHER_PROT", "1")
    assert load_settings(Sample).port == 9199


def test_secret_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text("s3cret\n")
    monkeypatch.setenv("CAIRN_SAMPLE_PEPPER_FILE", str(tmp_path / "pepper"))
    monkeypatch.setenv("CAIRN_SAMPLE_TOKEN", "t0ken")
    settings = load_settings(Sample)
    assert settings.pepper.get_secret_value() == "s3cret"
    assert settings.token is not None
    assert settings.token.get_secret_value() == "t0ken"
    assert "s3cret" not in repr(settings)
    assert "t0ken" not in repr(settings)


def test_secret_given_twice_or_unreadable_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("CAIRN_SAMPLE_PEPPER_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("CAIRN_SAMPLE_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("CAIRN_SAMPLE_TOKEN", "t0ken")
    message = refusal(capsys)
    assert "CAIRN_SAMPLE_PEPPER_FILE: cannot be read" in message
    assert "CAIRN_SAMPLE_TOKEN: is set, and so is CAIRN_SAMPLE_TOKEN_FILE" in message
    assert "t0ken" not in message


def test_file_variable_of_what_is_no_secret_is_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAIRN_SAMPLE_HOST_FILE", "/etc/hostname")
    assert "CAIRN_SAMPLE_HOST_FILE: is not a setting" in refusal(capsys)
