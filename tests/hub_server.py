"""A small local Hugging Face hub: one data set, from memory, as the `datasets` client asks for it."""

import contextlib
import hashlib
import http.server
import json
import re
import threading
from pathlib import PurePosixPath as Path
from urllib.parse import unquote, urlsplit

NAME = "someone/stories"
COMMIT = "0123456789abcdef" * 2 + "01234567"


class Hub(http.server.ThreadingHTTPServer):
    """files: {path: bytes}. cut: a download of a data file ends after so many bytes of the answer, as on a bad line."""

    daemon_threads = True

    def __init__(self, files, cut=None):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files, self.cut = files, cut
        self.sent = 0  # bytes of data files
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # a client that leaves early is no fault here

    def entry(self, path):
        """What the hub says of a file; of a folder, if there is no such file; None if there is neither."""
        oid = hashlib.sha1(path.encode()).hexdigest()
        if path in self.files:
            return {"type": "file", "oid": oid, "size": len(self.files[path]), "path": path}
        if any(name.startswith(f"{path}/") for name in self.files):
            return {"type": "directory", "oid": oid, "size": 0, "path": path}
        return None


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20  # seconds that a connection may be idle

    def log_message(self, *_arguments):
        pass

    def do_GET(self):
        path, hub = unquote(urlsplit(self.path).path), self.server
        if re.fullmatch(rf"/api/datasets/{NAME}(/revision/[^/]+)?", path):
            siblings = [{"rfilename": name} for name in hub.files]
            return self.send_json({"id": NAME, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False})
        if tree := re.fullmatch(rf"/api/datasets/{NAME}/tree/[^/]+/?(.*)", path):
            root = Path(tree[1])
            inside = {name for file in hub.files for name in (file, *map(str, Path(file).parents))} - {"."}
            inside = [name for name in sorted(inside) if Path(name).is_relative_to(root) and Path(name) != root]
            if "recursive=true" not in self.path.lower():
                inside = [name for name in inside if Path(name).parent == root]
            return self.send_json([hub.entry(name) for name in inside]) if inside else self.send_missing()
        file = re.fullmatch(rf"/datasets/{NAME}/resolve/[^/]+/(.+)", path)
        if file and file[1] in hub.files:
            return self.send_file(file[1], hub.files[file[1]])
        return self.send_missing()

    do_HEAD = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        paths = (
            json.loads(body)["paths"] if "json" in self.headers["Content-Type"] else re.findall(rb"paths=([^&]+)", body)
        )
        paths = [unquote(path.decode() if isinstance(path, bytes) else path) for path in paths]
        self.send_json([entry for entry in map(self.server.entry, paths) if entry])

    def send_json(self, value, status=200):
        self.send_body(json.dumps(value).encode(), status, {"Content-Type": "application/json"})

    def send_missing(self):
        headers = {"Content-Type": "application/json", "X-Error-Code": "EntryNotFound"}
        self.send_body(b'{"error": "Entry not found"}', 404, headers)

    def send_file(self, path, contents):
        headers = {"ETag": f'"{hashlib.sha1(contents).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(wanted[1]), min(int(wanted[2] or len(contents)), len(contents) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(contents)}"
            contents = contents[first : last + 1]
        cut = self.server.cut if path.startswith("data/") else None
        sent = self.send_body(contents, 206 if wanted else 200, headers, cut)
        self.server.sent += sent if path.startswith("data/") else 0

    def send_body(self, body, status, headers, cut=None):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return 0
        if cut is not None and len(body) > cut:
            body, self.close_connection = body[:cut], True
        self.wfile.write(body)
        return len(body)


@contextlib.contextmanager
def serve(files, cut=None):
    """The running `Hub`; it ends with the block."""
    hub = Hub(files, cut)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join(5)
