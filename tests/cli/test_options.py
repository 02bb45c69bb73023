"""Where options come from: precedence, origins, faults; and what is printed of them."""

from pathlib import Path
from typing import Any

import pytest

from tidegate.cli.options import describe, flags, load_config, settings_page, unknown_variables, value_of
from tidegate.config import OPTIONS, Bind, Config, ConfigError

SETTINGS = Path(__file__).parents[2] / "docs" / "settings.md"

# A text for each option that is not its default.
OTHER = {
    "app": "main:app", "app_dir": "src", "factory": "true", "interface": "wsgi", "lifespan": "off",
    "loop": "asyncio", "env_file": ".env", "root_path": "/api", "wsgi_threads": "7",
    "wsgi_read_ahead": "9k",    "cancel_on_disconnect": "1.5",
    "bind": "[::1]:9", "host": "::1", "port": "9", "uds": "/run/x", "fd": "5", "backlog": "9",
    "server_header": "false", "date_header": "false", "header": "x-a: b", "early_hints_http1": "all",
    "http2": "false", "h2c": "false", "h2c_upgrade": "true",
    "limit_h2_streams": "9", "limit_h2_frame": "20k", "limit_h2_window": "9k", "limit_h2_max_window": "9k",
    "limit_h2_connection_window": "90k", "limit_h2_resets": "9", "limit_h2_control": "900",
    "timeout_h2_settings": "9", "timeout_h2_ping": "9", "timeout_h2_ping_answer": "9",
    "reload": "true", "reload_dir": "src", "reload_include": "*.html", "reload_exclude": "tests",
    "limit_request_line": "9k", "limit_head": "9k", "limit_fields": "9", "limit_body": "9k",
    "limit_trailers": "9k", "limit_pipelined": "9",
    "limit_connections": "9", "limit_concurrency": "9", "limit_read_buffer": "9k",
    "limit_queue_delay": "0.05", "limit_queue_delay_interval": "0.5", "limit_exempt": "/healthz",
    "limit_write_buffer": "9k", "limit_drain": "9k",
    "timeout_idle": "9", "timeout_keep_alive": "9", "timeout_keep_alive_busy": "9", "timeout_head": "9",
    "min_body_rate": "9", "body_rate_window": "9", "timeout_write": "9", "timeout_linger": "9",
    "timeout_graceful_shutdown": "9", "timeout_shutdown_idle": "9", "timeout_shutdown_cancel": "9",
    "timeout_lifespan_shutdown": "9", "timeout_proxy_header": "9",
    "proxy_headers": "false", "forwarded_allow_ips": "10.0.0.0/8", "forwarded_fields": "forwarded",
    "proxy_protocol": "v2",
    "workers": "auto", "preload": "true", "recycle_requests": "9", "recycle_age": "9", "recycle_memory": "9M",
    "recycle_jitter": "0.5", "timeout_boot": "9", "timeout_stall_log": "9", "timeout_stall": "9",
    "pid_file": "/run/x.pid", "user": "www-data", "group": "www-data", "umask": "027",
    "ws_max_size": "9k", "ws_max_frames": "9", "ws_max_empty_frames": "9", "ws_max_queue": "9",
    "ws_max_queue_size": "9k", "ws_ping_interval": "9", "ws_ping_timeout": "9", "ws_close_timeout": "9",
    "ws_handshake_timeout": "9", "ws_per_message_deflate": "false", "ws_deflate_window_bits": "9",
    "ws_deflate_takeover": "true", "ws_deflate_min_text": "9k",
    "ws_deflate_mem_level": "9", "ws_deflate_level": "9", "ws_deflate_min_binary": "9k",
    "ssl_certfile": "a.pem", "ssl_keyfile": "a.pem", "ssl_keyfile_password": "secret", "ssl_ca_certs": "ca.pem",
    "ssl_cert_reqs": "2", "ssl_ciphers": "ECDHE+AESGCM", "ssl_min_version": "1.3", "ssl_alpn": "http/1.1",
    "ssl_keylog_file": "keys.log", "ssl_handshake_timeout": "9", "ssl_max_handshakes": "9",
    "ssl_reload_interval": "9", "ssl_ktls": "true", "ssl_hsts": "max-age=9", "ssl_redirect_port": "9",
    "static": "/static=public", "static_cache": "*.css=max-age=60", "static_fallthrough": "true",
    "static_open_files": "9", "static_memory": "9k", "compress": "br", "compress_min_size": "9",
    "compress_type": "text/*", "compress_events": "true", "route": "path = '/api', timeout = 9",
    "log_level": "debug", "log_config": "log.ini", "access_log": "false", "log_format": "json",
    "access_log_sample": "0.25", "access_log_exclude": "/healthz", "admin": "127.0.0.1:9100",
    "admin_allow_remote": "true", "admin_host": "metrics.test", "otel": "true",
    "access_log_template": "{status}",
    "access_log_websocket_template": "{close_code}", "use_colors": "true", "request_id_header": "x-trace",
}  # fmt: skip
SHORTHANDS = ("host", "port", "uds", "fd")
PLAIN = [option for name, option in OPTIONS.items() if name not in (*SHORTHANDS, "bind")]


def load(
    tmp_path: Path,
    given: dict[str, Any] | None = None,
    environ: dict[str, str] | None = None,
    toml: str | None = None,
) -> tuple[Config, dict[str, str]]:
    if toml is not None:
        (tmp_path / "pyproject.toml").write_text(f"[tool.tidegate]\n{toml}\n", encoding="utf-8")
    return load_config(given or {}, environ or {}, tmp_path)


def toml_of(name: str) -> str:
    return f'{OPTIONS[name].key} = "{OTHER[name]}"'


@pytest.mark.parametrize("option", PLAIN, ids=lambda option: option.name)
def test_precedence(option, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    default = option.default
    other = option.read(OTHER[option.name])
    assert other != default
    as_default = (
        [option.kind.format(item) for item in default] if option.repeatable else option.format(default)
    )
    text = ",".join(as_default) if option.repeatable else as_default

    def found(*sources: Any) -> tuple[Any, str]:
        config, origins = load(tmp_path, *sources)
        return value_of(config, option), origins[option.name]

    assert found() == (default, "default")
    assert found({}, {}, toml_of(option.name)) == (other, "pyproject.toml")
    if text:  # an empty variable counts as unset
        assert found({}, {option.env: text}) == (default, "environment")
        assert found({option.name: OTHER[option.name]}, {option.env: text}) == (other, "command line")
    assert found({option.name: as_default}, {option.env: OTHER[option.name]}) == (default, "command line")
    (tmp_path / "pyproject.toml").unlink()
    assert found({}, {option.env: OTHER[option.name]}) == (other, "environment")


@pytest.mark.parametrize(
    ("given", "environ", "toml", "binds", "origin"),
    [
        ({}, {}, None, "127.0.0.1:8000", "default"),
        ({"port": "9"}, {}, None, "127.0.0.1:9", "command line"),
        ({"port": "9"}, {"TIDEGATE_HOST": "::"}, None, "[::]:9", "command line, environment"),
        ({"port": "9"}, {"TIDEGATE_PORT": "8"}, "port = 7", "127.0.0.1:9", "command line"),
        (
            {},
            {"TIDEGATE_HOST": "::1"},
            "port = 7\nhost = '1.1.1.1'",
            "[::1]:7",
            "environment, pyproject.toml",
        ),
        ({"bind": ("a:1", "b:2")}, {"TIDEGATE_HOST": "::"}, "port = 7", "a:1 b:2", "command line"),
        ({"port": "9"}, {}, "bind = ['a:1']", "127.0.0.1:9", "command line"),
        ({"uds": "/x"}, {"TIDEGATE_PORT": "9"}, "bind = ['a:1']", "unix:/x", "command line"),
        ({"fd": "3"}, {"TIDEGATE_UDS": "/x"}, None, "fd://3", "command line"),
        ({"port": "9"}, {"TIDEGATE_UDS": "/x"}, "host = '::'", "[::]:9", "command line, pyproject.toml"),
        ({}, {"TIDEGATE_BIND": "a:1, unix:/x"}, None, "a:1 unix:/x", "environment"),
        ({}, {}, "fd = 4", "fd://4", "pyproject.toml"),
    ],
)
def test_addresses(tmp_path, given, environ, toml, binds: str, origin: str) -> None:  # type: ignore[no-untyped-def]
    config, origins = load(tmp_path, given, environ, toml)
    assert " ".join(map(str, config.binds)) == binds
    assert origins["bind"] == origin


@pytest.mark.parametrize(
    ("given", "environ", "toml", "message"),
    [
        ({"port": "x"}, {}, None, "--port: 'x' is not a whole number: give 0 to 65535"),
        ({"app": "main"}, {}, None, "APP: 'main' names no attribute"),
        ({}, {"TIDEGATE_LIMIT_HEAD": "x"}, None, "TIDEGATE_LIMIT_HEAD: 'x' is not a size"),
        ({}, {"TIDEGATE_PORT": "tcp://10.0.0.1:80"}, None, "TIDEGATE_PORT: .*enableServiceLinks"),
        ({}, {}, "port = 'x'", "pyproject.toml: port: 'x' is not a whole number"),
        ({}, {}, "port = true", "pyproject.toml: port: True is not a whole number"),
        ({}, {}, "access-log = 1", "pyproject.toml: access-log: 1 is neither yes nor no"),
        (
            {},
            {},
            "limit-haed = 1",
            'pyproject.toml: "limit-haed" is not an option: did you mean "limit-head"?',
        ),
        ({}, {}, "zzzzz = 1", 'pyproject.toml: "zzzzz" is not an option: see tidegate --help'),
        ({}, {}, "a = ", "--config: pyproject.toml is not TOML: .*line 2"),
        ({"config": "none.toml"}, {}, None, "--config: can't read none.toml: No such file or directory"),
        ({}, {"TIDEGATE_CONFIG": "none.toml"}, None, "--config: can't read none.toml"),
        ({"bind": "a:1", "port": "9"}, {}, None, "--bind, --port: these say different things: give one"),
        ({"uds": "/x", "host": "a"}, {}, None, "--host, --uds: these say different things"),
        (
            {},
            {"TIDEGATE_UDS": "/x", "TIDEGATE_FD": "3"},
            None,
            "TIDEGATE_UDS, TIDEGATE_FD: these say different",
        ),
        ({}, {}, "uds = '/x'\nport = 1", "pyproject.toml: port, uds: these say different things"),
        ({"bind": ("a:1", "a:1")}, {}, None, "bind: a:1 is there twice"),
    ],
)
def test_faults(tmp_path, given, environ, toml, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, given, environ, toml)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"--config: can't read x.toml: it is not UTF-8"):
        load(tmp_path, {"config": "x.toml"})


def test_a_file_of_its_own_and_one_with_a_table(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("limit_fields = 5")
    (tmp_path / "table.toml").write_text("[tool.tidegate]\nlimit-fields = 6")
    (tmp_path / "pyproject.toml").write_text("[tool.other]\nlimit-fields = 7")
    for file, fields in (("own.toml", 5), ("table.toml", 6), (None, 100)):
        config, origins = load(tmp_path, {"config": file} if file else {})
        assert config.limits.fields == fields
        assert origins["limit_fields"] == (file or "default")


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    config, origins = load(tmp_path, {}, {"TIDEGATE_PORT": "", "TIDEGATE_APP": ""})
    assert config == Config()
    assert set(origins.values()) == {"default"}


def test_unknown_variables() -> None:
    environ = {"TIDEGATE_LIMIT_HAED": "1", "TIDEGATE_PORT": "1", "TIDEGATE_CONFIG": "x", "PATH": "/"}
    assert unknown_variables(environ) == ["TIDEGATE_LIMIT_HAED"]


def test_what_is_described_is_read_back(tmp_path: Path) -> None:
    others = {name: OPTIONS[name].read(text) for name, text in OTHER.items() if name not in SHORTHANDS}
    others["access_log_template"] = 'a "quoted" \\ one\x7f'
    others["ssl_keyfile_password"] = "********"  # what a secret is shown as
    for values in ({}, others):
        config, origins = load(tmp_path, values)
        (tmp_path / "printed.toml").write_text(describe(config, origins), encoding="utf-8")
        again, _ = load(tmp_path, {"config": "printed.toml"})
        assert again == config


def test_origins_are_described(tmp_path: Path) -> None:
    text = describe(*load(tmp_path, {"port": "9"}, {"TIDEGATE_LIMIT_HEAD": "9k"}, "backlog = 7"))
    assert 'bind = ["127.0.0.1:9"]  # command line\n' in text
    assert "limit-head = 9216  # environment\n" in text
    assert "backlog = 7  # pyproject.toml\n" in text
    assert 'limit-body = "unlimited"  # default\n' in text
    assert "\nport" not in text


def test_the_settings_page_is_up_to_date() -> None:
    assert SETTINGS.read_text(encoding="utf-8") == settings_page(), (
        "run: python -m tidegate.cli.options > docs/settings.md"
    )


@pytest.mark.parametrize("option", OPTIONS.values(), ids=list(OPTIONS))
def test_the_settings_page_has_every_option_once(option) -> None:  # type: ignore[no-untyped-def]
    page = settings_page()
    for flag in ["`APP`"] if option.name == "app" else [f"`{flag}`" for flag in flags(option)]:
        assert sum(line.startswith("| `") and flag in line.split(" | ")[0] for line in page.splitlines()) == 1


def test_a_path_is_kept_as_it_was_given(tmp_path: Path) -> None:
    config, _ = load(tmp_path, {"uds": "run/x"})
    assert config.binds == (Bind(kind="unix", path="run/x"),)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    config, origins = load(tmp_path, {"ssl_keyfile_password": "open sesame"})
    assert config.tls.keyfile_password == "open sesame"
    shown = describe(config, origins)
    assert 'ssl-keyfile-password = "********"  # command line' in shown
    assert "sesame" not in shown + repr(config)


def test_an_address_may_be_a_table_with_options_of_its_own(tmp_path: Path) -> None:
    toml = (
        'ssl-certfile = "site.pem"\n'
        'bind = ["http://127.0.0.1:80", { address = "https://[::]:8443", ssl-cert-reqs = 2, ssl-ca-certs = "ca.pem" }]'
    )
    config, origins = load(tmp_path, toml=toml)
    plain, mutual = config.binds
    assert (config.scheme_of(plain), config.scheme_of(mutual)) == ("http", "https")
    assert config.tls_of(plain) == config.tls
    assert config.tls_of(mutual).certfile == ("site.pem",)
    assert (config.tls_of(mutual).cert_reqs, config.tls.cert_reqs) == ("required", "none")
    (tmp_path / "printed.toml").write_text(describe(config, origins), encoding="utf-8")
    assert load(tmp_path, {"config": "printed.toml"})[0] == config


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ('{ ssl-certfile = "a" }', "has no address"),
        ('{ address = "127.0.0.1:1", limit-head = 9 }', '"limit-head" is not an option of an address'),
        ('{ address = "127.0.0.1:1", ssl-certfle = "a" }', 'did you mean "ssl-certfile"'),
        ('{ address = "127.0.0.1:1", ssl-min-version = "1.1" }', "ssl-min-version: '1.1' is not a choice"),
        ('{ address = "https://127.0.0.1:1" }', "has no certificate: give --ssl-certfile"),
        ('"redirect://127.0.0.1:1"', "leads nowhere"),
        (
            '{ address = "127.0.0.1:1", ssl-certfile = "a" }, "http://127.0.0.1:1"',
            "127.0.0.1:1 is there twice",
        ),
    ],
)
def test_what_is_wrong_with_an_address_of_tls(tmp_path: Path, table: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        load(tmp_path, toml=f"bind = [{table}]")
