import os
from pathlib import Path

import pytest

FILES = {
    "a.txt": b"hello, world\n",
    "empty": b"",
    "page.html": b"<p>page</p>",
    "small.bin": bytes(range(256)) * 4,
    "large.bin": bytes(range(256)) * 4096,  # 1 MiB: by sendfile
    "d/index.html": b"<p>index</p>",
    "d/data.json": b"{}",
    "bare/file": b"no index here",
    "a b+c%.txt": b"odd name",
    "käse.txt": "Käse".encode(),
    ".hidden": b"secret",
    ".well-known/security.txt": b"Contact: x",
    "coded.css": b"p { color: red }" * 9,
    "coded.css.gz": b"as gzip",
    "coded.css.br": b"as br",
    "coded.css.zst": b"as zstd",
    "linked.txt": b"its sibling is a link",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory `www` with FILES and links, beside it what must stay secret."""
    top = tmp_path_factory.mktemp("edge")
    www = top / "www"
    for name, content in FILES.items():
        path = www / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    (top / "secret.txt").write_bytes(b"secret")
    (top / "secrets").mkdir()
    (top / "secrets" / "a.txt").write_bytes(b"secret")
    (top / "www-other").mkdir()
    (top / "www-other" / "a.txt").write_bytes(b"secret")
    (www / "inside").symlink_to("a.txt")
    (www / "inside-dir").symlink_to("d")
    (www / "outside").symlink_to(top / "secret.txt")
    (www / "outside-relative").symlink_to("../secret.txt")
    (www / "linked.txt.gz").symlink_to("../secret.txt")
    (www / "outside-dir").symlink_to(top / "secrets")
    (www / "outside-twin").symlink_to(top / "www-other")
    (www / "loop").symlink_to("loop")
    (www / "dangling").symlink_to("nothing")
    os.mkfifo(www / "fifo")
    return www
