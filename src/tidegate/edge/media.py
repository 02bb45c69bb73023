"""The media type of a file, by its name (RFC 9110 §8.3): the same on every machine, whatever it has in /etc."""

from mimetypes import MimeTypes

BINARY = "application/octet-stream"
# What Python's table lacks in some of its versions, or has otherwise than the registry.
TYPES = {
    ".avif": "image/avif",
    ".br": BINARY,
    ".cjs": "text/javascript",
    ".gz": "application/gzip",
    ".ico": "image/x-icon",
    ".js": "text/javascript",  # RFC 9239
    ".jsonl": "application/jsonl",
    ".map": "application/json",
    ".md": "text/markdown",  # RFC 7763
    ".mjs": "text/javascript",
    ".otf": "font/otf",  # RFC 8081
    ".rtf": "application/rtf",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",  # RFC 9649
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
    ".yaml": "application/yaml",  # RFC 9512
    ".yml": "application/yaml",
    ".zst": "application/zstd",  # RFC 8878
}
# A file that ends so is served as what it is: nobody asked for it to be decoded.
COMPRESSED = {
    "bzip2": "application/x-bzip2",
    "compress": "application/x-compress",
    "gzip": "application/gzip",
    "xz": "application/x-xz",
}

_KNOWN = MimeTypes()
for _suffix, _type in TYPES.items():
    _KNOWN.add_type(_type, _suffix)


def content_type(path: str) -> str:
    """The Content-Type of the file at `path`; of text, with the charset that is everybody's now."""
    name = path.rpartition("/")[2]
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    if suffix in TYPES:
        found: str | None = TYPES[suffix]
    else:
        found, compression = _KNOWN.guess_type("name" + suffix if "." in name else "name")
        if compression is not None:
            found = COMPRESSED.get(compression, BINARY)
    if found is None:
        return BINARY
    return f"{found}; charset=utf-8" if found.startswith("text/") else found
