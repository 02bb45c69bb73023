"""Options from where they are written: command line, environment, TOML file; and what is said about them.

All of it is derived from the fields of `tidegate.config`. `python -m tidegate.cli.options` prints
docs/settings.md.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from tidegate.cli.hints import hint
from tidegate.config import OPTIONS, SECTIONS, Bind, Config, ConfigError, Option
from tidegate.config.option import Flag, Secret, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

SHORTHANDS: Final = ("host", "port", "uds", "fd")  # for a single `bind`
DEFAULT: Final = "default"
COMMAND_LINE: Final = "command line"
ENVIRONMENT: Final = "environment"


class Layer:
    """The options of one source. `origin` names it; `label` is how an option is called there."""

    __slots__ = ("label", "origin", "values")

    def __init__(self, origin: str, label: Callable[[Option], str], values: Mapping[str, Any]) -> None:
        self.origin = origin
        self.label = label
        self.values = values

    def name(self, option: Option) -> str:
        """The option as its user wrote it, and where."""
        label = self.label(option)
        return label if self.origin in (COMMAND_LINE, ENVIRONMENT) else f"{self.origin}: {label}"


def load_config(
    given: Mapping[str, Any], environ: Mapping[str, str], cwd: "Path", *, origin: str = COMMAND_LINE
) -> tuple[Config, dict[str, str]]:
    """The configuration, and where each option's value comes from, by the option's flat name.

    Precedence: `given` (by flat name, text or values; `config` is the TOML file) > TIDEGATE_* in `environ` >
    the TOML file, else [tool.tidegate] in pyproject.toml of `cwd` > default. Raises ConfigError.
    """
    file = given.get("config") or environ.get("TIDEGATE_CONFIG")
    label: Callable[[Option], str] = (lambda o: o.flag) if origin == COMMAND_LINE else (lambda o: o.name)
    layers = [
        _read(Layer(origin, label, {name: value for name, value in given.items() if name != "config"})),
        _read_environment(environ),
        *(_read(layer) for layer in _toml_layers(file, cwd)),
    ]
    values: dict[str, Any] = {}
    origins = dict.fromkeys(OPTIONS, DEFAULT)
    for layer in reversed(layers):
        values.update(layer.values)
        origins.update(dict.fromkeys(layer.values, layer.origin))
    values["bind"], origins["bind"] = _binds(layers)
    return _build(values), origins


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """TIDEGATE_* variables that are no option: perhaps misspelt, perhaps Kubernetes' own for a Service."""
    known = {option.env for option in OPTIONS.values()} | {"TIDEGATE_CONFIG", "TIDEGATE_EXTENSIONS"}
    return sorted(name for name in environ if name.startswith("TIDEGATE_") and name not in known)


def describe(config: Config, origins: Mapping[str, str]) -> str:
    """`config` as a TOML file that gives the same configuration, with the origin of each value."""
    lines: list[str] = []
    group = None
    for option in OPTIONS.values():
        if option.name in SHORTHANDS:
            continue
        if option.group != group:
            group = option.group
            lines.append(f"\n# {group}" if lines else f"# {group}")
        lines.append(f"{option.key} = {_toml(option, value_of(config, option))}  # {origins[option.name]}")
    return "\n".join(lines) + "\n"


def value_of(config: Config, option: Option) -> Any:
    value: Any = config
    for attribute in option.path:
        value = getattr(value, attribute)
    return value


def settings_page() -> str:
    """docs/settings.md."""
    return "\n".join(_settings()) + "\n"


# --- Reading


def _read(layer: Layer) -> Layer:
    values: dict[str, Any] = {}
    for name, value in layer.values.items():
        option = OPTIONS[name]
        try:
            values[name] = option.read(value)
        except ValueError as error:
            raise ConfigError(f"{layer.name(option)}: {error}") from None
    return Layer(layer.origin, layer.label, values)


def _read_environment(environ: Mapping[str, str]) -> Layer:
    values: dict[str, Any] = {}
    for option in OPTIONS.values():
        text = environ.get(option.env, "")
        if not text:  # as unset: Compose files and the like can't leave a variable out
            continue
        try:
            values[option.name] = option.read_env(text)
        except ValueError as error:
            hint = ""
            if text.startswith(("tcp://", "udp://")):
                hint = " (Kubernetes sets it for a Service named tidegate: set enableServiceLinks to false)"
            raise ConfigError(f"{option.env}: {error}{hint}") from None
    return Layer(ENVIRONMENT, lambda option: option.env, values)


def _toml_layers(file: str | None, cwd: "Path") -> Iterator[Layer]:
    path = cwd / (file or "pyproject.toml")
    if file is None and not path.is_file():
        return
    name = file or path.name
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"--config: can't read {name}: {reason}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--config: {name} is not TOML: {error}") from None
    table = document.get("tool", {}).get("tidegate")
    if table is None:
        if path.name == "pyproject.toml":
            return
        table = document
    values = {}
    for key, value in table.items():
        flat = key.replace("-", "_")
        if flat not in OPTIONS:
            close = hint(key) or did_you_mean(
                key.replace("_", "-"), (option.key for option in OPTIONS.values())
            )
            raise ConfigError(f'{name}: "{key}" is not an option{close or ": see tidegate --help"}')
        values[flat] = value
    yield Layer(name, lambda option: option.key, values)


def _binds(layers: list[Layer]) -> tuple[tuple[Bind, ...], str]:
    """The addresses and their origin. `bind` and its shorthands are one setting: the highest source wins."""
    found: dict[str, Any] = {}
    origin = DEFAULT
    for layer in layers:
        here = [name for name in ("bind", *SHORTHANDS) if name in layer.values]
        _check_together(layer, here)
        if not here or (found and not {"host", "port"} & set(here)):
            continue
        if "bind" in here:
            if not found:
                return layer.values["bind"], layer.origin
            break
        added = {name: layer.values[name] for name in here if name not in found}
        if added and not found:
            origin = layer.origin
        elif added:
            origin = f"{origin}, {layer.origin}"
        found |= added
        if "uds" in found or "fd" in found:
            break
    if "uds" in found:
        return (Bind(kind="unix", path=found["uds"]),), origin
    if "fd" in found:
        return (Bind(kind="fd", fd=found["fd"]),), origin
    return (Bind(**found),), origin


def _check_together(layer: Layer, here: list[str]) -> None:
    kinds = {"host": "tcp", "port": "tcp"}
    for name in here[1:]:
        if kinds.get(name, name) != kinds.get(here[0], here[0]):
            first, second = layer.name(OPTIONS[here[0]]), layer.label(OPTIONS[name])
            raise ConfigError(
                f"{first}, {second}: these say different things: give one, or --bind several times"
            )


def _build(values: Mapping[str, Any]) -> Config:
    arguments: dict[str, dict[str, Any]] = {"": {}, **{section: {} for section in SECTIONS}}
    for name, value in values.items():
        *section, attribute = OPTIONS[name].path
        if section != ["binds"]:
            arguments["".join(section)][attribute] = value
    sections: dict[str, Any] = {name: section(**arguments[name]) for name, section in SECTIONS.items()}
    return Config(**arguments[""], **sections)


# --- Writing


def _toml(option: Option, value: Any) -> str:
    if option.repeatable:
        return f"[{', '.join(_toml_item(option, item) for item in value)}]"
    if value is None:
        return _toml_string(option.format(None))
    if isinstance(option.kind, Secret):
        return _toml_string(option.format(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return _toml_string(value) if isinstance(value, str) else repr(value)


def _toml_item(option: Option, item: Any) -> str:
    if option.kind.inline:
        return f"{{ {option.kind.format(item)} }}"
    if not isinstance(item, Bind) or not item.tls:
        return _toml_string(option.kind.format(item))
    own = {each.path[-1]: each for each in OPTIONS.values() if each.path[:-1] == ("tls",)}
    settings = "".join(f", {own[name].key} = {_toml(own[name], value)}" for name, value in item.tls)
    return f"{{ address = {_toml_string(str(item))}{settings} }}"


def _toml_string(text: str) -> str:
    import json

    return json.dumps(text).replace("\x7f", "\\u007f")  # a TOML basic string is JSON's, but for DEL


def default_text(option: Option) -> str:
    """The default as --help and docs show it; empty where there is none to speak of."""
    if option.name in SHORTHANDS and option.name not in ("host", "port"):
        return ""
    if option.repeatable:
        return " ".join(option.kind.format(item) for item in option.default)
    return option.format(option.default)


def flags(option: Option) -> list[str]:
    """The option's names on the command line."""
    names = [option.flag, *("--" + alias.replace("_", "-") for alias in option.aliases)]
    if isinstance(option.kind, Flag):
        names.append("--no-" + option.key)
    return names


def _settings() -> Iterator[str]:
    yield from SETTINGS_HEAD.splitlines()
    group = None
    for option in OPTIONS.values():
        if option.group != group:
            group = option.group
            yield from ("", f"## {group}", "", "| Option | Default | |", "|---|---|---|")
        named = ", ".join(f"`{flag}`" for flag in flags(option))
        if not isinstance(option.kind, Flag) and option.flag != option.kind.metavar:
            named += f" {option.kind.metavar}".replace("|", "\\|")
        repeated = " Repeatable." if option.repeatable else ""
        default = default_text(option)
        shown = f"`{default}`" if default else ""
        yield f"| {named} | {shown} | {option.help}{repeated} |"


SETTINGS_HEAD: Final = """\
# Settings

<!-- Written by `python -m tidegate.cli.options`, from the fields of tidegate.config. -->

Each option has one name everywhere:

| | |
|---|---|
| command line | `tidegate --limit-head 32k main:app` |
| environment | `TIDEGATE_LIMIT_HEAD=32k` |
| TOML | `limit-head = "32k"` |
| Python | `tidegate.run("main:app", limit_head="32k")` |

The command line wins over the environment, the environment over the TOML file, and that over the default. The
TOML file is the one that `--config` (or `TIDEGATE_CONFIG`) names, with the options at its top level or in
`[tool.tidegate]`; without `--config` it is `[tool.tidegate]` in `pyproject.toml` of the working directory.

- `tidegate --print-config` shows every value and its origin, as a TOML file that `--config` takes.
- `tidegate --check-config` says whether the configuration is sound, and exits with 0 or 2.

Neither imports the application.

- A repeatable option is a list in TOML and Python. In the environment its values are separated by commas;
  those of `TIDEGATE_HEADER` by newlines.
- SIZE is in octets; text may end in k, M or G (times 1024), as in `64k`. SECONDS may have a fraction.
- ADDRESS is `HOST:PORT`, `[IPv6]:PORT`, `unix:PATH` or `fd://N`, and may have `http://`, `https://` or
  `redirect://` before it; in TOML it may be a table with TLS options of its own (see [TLS](tls.md)). `--host`,
  `--port`, `--uds` and `--fd` are shorthands for a single one; where a source gives `bind`, the shorthands of
  sources below it do not count.
- An empty environment variable counts as unset."""

if __name__ == "__main__":
    print(settings_page(), end="")
