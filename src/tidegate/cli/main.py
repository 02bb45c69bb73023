"""The `tidegate` command, and `tidegate.run`.

Exit codes: 0 after a stop that was asked for, 1 where the application's shutdown failed, 2 for a wrong
configuration, 3 where the application failed to load or to start.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

from tidegate.cli.hints import hint
from tidegate.cli.options import default_text, describe, flags, load_config, unknown_variables, value_of
from tidegate.config import OPTIONS, Config, ConfigError, Option
from tidegate.config.option import Flag, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import click

    from tidegate.server import Server

CONFIGURATION: Final = 2
APPLICATION: Final = 3
SHUTDOWN: Final = 1
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count
HELP: Final = ["-h", "--help"]
THREADS_TIMEOUT: Final = 2.0  # seconds


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The command: `arguments` is what follows its name."""
    leave(_command(sys.argv[1:] if arguments is None else arguments))


def leave(code: int) -> NoReturn:
    """End the process with `code`, also where a thread of the application's will not end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it is ending already
    stuck = [
        each for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()
    ]
    if stuck:
        # The interpreter waits for threads. Those of pools that are idle end at once; others get this long.
        watchdog = threading.Timer(THREADS_TIMEOUT, _end_stuck, (code,))
        watchdog.daemon = True
        watchdog.start()
    sys.exit(code)


def _end_stuck(code: int) -> None:
    # The main thread has ended where the interpreter waits for the others; it lives where the SystemExit was caught.
    if not threading.main_thread().is_alive():
        os._exit(code)


def run(app: Any, **options: Any) -> None:
    """Serve `app`, an import string or an application, until asked to stop.

    `options` have the names of the command line's, such as port=8000 or limit_head="32k"; what they leave out
    comes from the environment and from TOML, as for the command. A failure ends the process, as it ends the
    command; an option that there is not raises TypeError, and a call inside a running event loop RuntimeError.
    """
    if _in_event_loop():
        raise RuntimeError(
            "tidegate.run() was called inside an event loop: in a module that is also imported, call it below "
            'if __name__ == "__main__"; in your own loop, use tidegate.server.Server'
        )
    names = {alias: option.name for option in OPTIONS.values() for alias in (*option.aliases, option.path[0])}
    given: dict[str, Any] = {}
    for name, value in options.items():
        known = name if name in OPTIONS else names.get(name, name)
        if known not in OPTIONS and known != "config":
            raise TypeError(f'run() has no option "{name}"{hint(name) or did_you_mean(name, OPTIONS)}')
        given[known] = value
    if isinstance(app, str):
        given["app"] = app
    try:
        config, _ = load_config(given, os.environ, _cwd(), origin="run()")
        log_failures(config)
        check(config)
    except ConfigError as error:
        sys.exit(fail(error, CONFIGURATION))
    code = start(app, config, lambda: load_config(given, os.environ, _cwd(), origin="run()")[0])
    if code:
        sys.exit(code)


def start(app: Any, config: Config, load: "Callable[[], Config] | None" = None) -> int:
    """Serve `app`, in this process or, with `config.workers` or `config.reload`, in others; returns the exit code.

    `load` reads the configuration anew, for a reload.
    """
    from tidegate.net.listeners import BindError

    try:
        if config.workers.count is not None or config.reload:
            return _supervise(app, config, load)
        return _serve_alone(app, config)
    except (ConfigError, BindError) as error:
        return fail(error, CONFIGURATION)


def serve(app: Any, config: Config, server_class: "type[Server] | None" = None, **options: Any) -> int:
    """Serve `app` in this process until asked to stop, by a Server with `options`; returns the exit code."""
    from tidegate.cli.logging import log_all_as_json, log_traceback, logs_json, set_up_logging
    from tidegate.server import BindError, Server, ShutdownError, StartupError
    from tidegate.server.loader import LoadError, call_factory
    from tidegate.server.loop import run as run_loop

    try:
        set_up_logging(config.logging)
        if logs_json():
            log_all_as_json()
        load_environment(config)
        if config.factory and not isinstance(app, str):
            app = call_factory(app, getattr(app, "__qualname__", type(app).__qualname__))
        bind = config.admin_bind
        if bind is not None and server_class is None:
            from tidegate.cli.admin import serve_with_admin

            serve_with_admin(app, config, bind)
        else:
            run_loop((server_class or Server)(app, config, **options).serve(), config.loop)
    except (ConfigError, BindError) as error:
        return fail(error, CONFIGURATION)
    except LoadError as error:
        if logs_json():
            log_traceback(str(error), error.traceback)
            return APPLICATION
        sys.stderr.write(error.traceback or "")
        return fail(error, APPLICATION)
    except StartupError as error:
        return fail(error, APPLICATION)
    except ShutdownError as error:
        return fail(error, SHUTDOWN)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def load_environment(config: Config) -> None:
    """Set the variables of `--env-file`, but for those that are set already."""
    if config.env_file is not None:
        from importlib import import_module

        import_module("dotenv").load_dotenv(config.env_file)


def log_failures(config: Config) -> None:
    """Where the log is to be JSON, what is found wrong from here on is to be too."""
    if config.logging.format == "json" and config.logging.config is None:
        from tidegate.cli.logging import set_up_logging

        set_up_logging(config.logging)


def check(config: Config) -> None:
    """Look at what the configuration names outside itself. Raises ConfigError."""
    from tidegate.server.access_log import compile_template

    compile_template(config.logging.template)
    for name, directory in (
        ("app_dir", config.app_dir),
        *(("reload_dir", each) for each in config.reload_dirs),
    ):
        if not os.path.isdir(directory):
            raise ConfigError(f"{OPTIONS[name].flag}: there is no directory {directory}: check the path")
    if config.env_file is not None:
        _check_readable("--env-file", config.env_file)
        _check_installed("--env-file", "dotenv", "python-dotenv")
    if config.logging.config is not None:
        from tidegate.cli.logging import read_log_config

        read_log_config(config.logging.config)
    if config.workers.count is None and not config.reload:
        for option in OPTIONS.values():
            if option.path[0] == "workers" and value_of(config, option) != option.default:
                named = ", ".join((option.flag, *(f"--{each.replace('_', '-')}" for each in option.aliases)))
                raise ConfigError(f"{named}: it is a supervisor's to do: give --workers too, 1 or more")
    config.tls.check()
    config.edge.check()
    if any(config.scheme_of(bind) == "https" for bind in config.binds):
        from tidegate.server.listening import Listening

        Listening(config, config.binds, http2=config.http2)
    if config.reload:
        _check_installed("--reload", "watchfiles", "tidegate[reload]")
    if config.observability.otel:
        _check_installed("--otel", "opentelemetry", "tidegate[otel]")
    if config.loop == "uvloop":
        _check_installed("--loop", "uvloop", "uvloop")


def version() -> str:
    """One line: Tidegate's version and build, Python's, and the event loop that is there."""
    import platform
    from importlib.metadata import version as version_of
    from importlib.util import find_spec

    from tidegate import __version__
    from tidegate.http import head

    build = "pure Python" if (head.__file__ or "").endswith(".py") else "compiled"
    loop = f"uvloop {version_of('uvloop')}" if find_spec("uvloop") else "asyncio"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"tidegate {__version__} ({build}), {python}, {loop}, {platform.system()} {platform.machine()}"


def _serve_alone(app: Any, config: Config) -> int:
    """Without a supervisor: a service manager's sockets are this process's own, and so is USR1."""
    from tidegate.cli.logging import reopen_log_files
    from tidegate.supervisor.sockets import activated
    from tidegate.supervisor.upgrade import activated_config

    descriptors = activated(os.environ)
    if descriptors:
        config = replace(config, binds=activated_config(config, descriptors))
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR1, lambda number, frame: reopen_log_files())
    return serve(app, config)


def _supervise(app: Any, config: Config, load: "Callable[[], Config] | None") -> int:
    from tidegate.cli.logging import log_all_as_json, logs_json, reopen_log_files, set_up_logging
    from tidegate.supervisor.host import Commands, Host
    from tidegate.supervisor.sockets import activated
    from tidegate.supervisor.upgrade import Predecessor, activated_config

    if not isinstance(app, str):
        option = "reload" if config.reload else "workers"
        raise ConfigError(f"{option}: it starts new processes: give the application as module:attribute")
    set_up_logging(config.logging)
    if logs_json():
        log_all_as_json()
    predecessor = Predecessor.find(os.environ)
    descriptors = predecessor.activated if predecessor is not None else activated(os.environ)
    config = replace(config, app=app)
    if descriptors:
        config = replace(config, binds=activated_config(config, descriptors))

    def load_again() -> Config:
        found = config if load is None else replace(load(), app=app)
        check(found)
        return found

    child = [sys.executable, *_interpreter_flags(), "-m", "tidegate.cli.child"]
    commands = Commands([*child, "worker"], [*child, "fork-server"])
    return Host(
        config, load_again, commands, reopen_log_files, activated=descriptors, predecessor=predecessor
    ).run()


# --- The command


def _command(arguments: Sequence[str]) -> int:
    import click

    try:
        if arguments[:1] == ["dev-cert"]:
            from tidegate.cli.dev_cert import dev_cert

            return dev_cert(arguments[1:])
        given = _click_command().main(list(arguments), prog_name="tidegate", standalone_mode=False)
        if not isinstance(given, dict):  # --help
            return 0
        if given.pop("version", False):
            print(version())
            return 0
        only_check, only_print = given.pop("check_config", False), given.pop("print_config", False)
        config, origins = load_config(given, os.environ, _cwd())
        if only_print:
            print(describe(config, origins), end="")
            return 0
        if not only_check:
            log_failures(config)
        check(config)
        if only_check:
            for name in unknown_variables(os.environ):
                print(f"tidegate: warning: {name} in the environment is not an option", file=sys.stderr)
            print("The configuration is sound.")
            return 0
        if config.app is None:
            raise ConfigError(
                "there is no application: give it as module:attribute, such as: tidegate main:app"
            )
    except click.NoSuchOption as error:
        known = hint(error.option_name)
        message = f"No such option '{error.option_name}'{known}" if known else error.format_message()
        return fail(f"{message} (see tidegate --help)", CONFIGURATION)
    except click.ClickException as error:
        return fail(f"{error.format_message()} (see tidegate --help)", CONFIGURATION)
    except ConfigError as error:
        return fail(error, CONFIGURATION)
    return start(config.app, config, lambda: load_config(given, os.environ, _cwd())[0])


def _click_command() -> "click.Command":
    import click

    class Command(click.Command):
        def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            groups: dict[str, list[tuple[str, str]]] = {}
            for parameter in self.get_params(ctx):
                record = parameter.get_help_record(ctx)
                if record is not None:
                    option = OPTIONS.get(parameter.name or "")
                    groups.setdefault(option.group if option else "Command", []).append(record)
            for group, records in groups.items():
                with formatter.section(group):
                    formatter.write_dl([(term.ljust(32), text) for term, text in records], col_max=32)

    parameters: list[click.Parameter] = [click.Argument(["app"], required=False, metavar="APP")]
    parameters += [_click_option(option) for option in OPTIONS.values() if option.name != "app"]
    parameters += [
        click.Option(["--config"], metavar="FILE", help="Read options from this TOML file."),
        click.Option(
            ["--check-config"], is_flag=True, help="Say whether the configuration is sound, and exit."
        ),
        click.Option(["--print-config"], is_flag=True, help="Print every value and its origin, and exit."),
        click.Option(["--version"], is_flag=True, help="Print the versions and the build, and exit."),
    ]

    def collect(**values: Any) -> dict[str, Any]:
        return {name: value for name, value in values.items() if value not in (None, (), False) or (
            name in OPTIONS and value is False)}  # fmt: skip

    return Command(
        "tidegate",
        params=parameters,
        callback=collect,
        help="Serve APP, an ASGI or WSGI application, given as module:attribute (such as main:app).",
        epilog="Every option can also be set in the environment (--limit-head as TIDEGATE_LIMIT_HEAD) and in "
        "TOML (as limit-head in [tool.tidegate] of pyproject.toml, or in --config FILE). The command line "
        "wins over the environment, the environment over TOML. tidegate dev-cert writes a certificate for "
        "development.",
        context_settings={"max_content_width": 110, "help_option_names": HELP},
    )


def _click_option(option: Option) -> "click.Option":
    import click

    default = default_text(option)
    text = option.help.replace("`", "")
    if isinstance(option.kind, Flag):
        plain, negative = flags(option)
        shown = f"  [default: {'on' if option.default else 'off' if option.default is False else default}]"
        return click.Option([f"{plain}/{negative}", option.name], default=None, help=text + shown)
    return click.Option(
        [*flags(option), option.name],
        metavar=option.kind.metavar,
        multiple=option.repeatable,
        help=text
        + (f"  [default: {default}]" if default else "")
        + ("  Repeatable." if option.repeatable else ""),
    )


def _in_event_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _cwd() -> "Path":
    from pathlib import Path  # here, since --help has no need of it

    return Path.cwd()


def fail(error: Exception | str, code: int) -> int:
    from tidegate.cli.logging import log_traceback, logs_json

    if logs_json():
        log_traceback(str(error), None)
        return code
    print(f"tidegate: error: {error}", file=sys.stderr)
    return code


def _check_readable(flag: str, file: str) -> None:
    try:
        with open(file, "rb"):
            pass
    except OSError as error:
        raise ConfigError(f"{flag}: can't read {file}: {error.strerror}") from None


def _check_installed(flag: str, module: str, package: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise ConfigError(f"{flag}: {module} is not installed: pip install '{package}'")


def _interpreter_flags() -> list[str]:
    """What this interpreter was given, such as -X dev and -W: the child's is to behave alike."""
    import subprocess

    arguments: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return arguments
