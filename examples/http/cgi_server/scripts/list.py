#!/usr/bin/env python3
"""Lists the files of a folder below the server's files; a folder in it is a link to its own list."""

import html
import os
import urllib.parse

root = os.path.realpath(os.environ.get("DOCUMENT_ROOT", "."))
folder = urllib.parse.unquote(os.environ.get("QUERY_STRING") or ".", errors="surrogateescape")
script = os.environ.get("SCRIPT_NAME", "list.py")

try:
    place = os.path.realpath(os.path.join(root, folder))
    # A query is a stranger's: it may not lead out of the root.
    is_below = place == root or place.startswith(root.rstrip("/") + "/")
    names = sorted(name for name in os.listdir(place) if not name.startswith(".")) if is_below else []
except (OSError, ValueError):
    names = []

lines = ["<!DOCTYPE html>", "<html>", "<head>", "<title>file listing</title>", "</head>", "<body>"]
for name in names:
    text = html.escape(name)
    if os.path.isdir(os.path.join(place, name)):
        query = urllib.parse.quote(os.path.normpath(os.path.join(folder, name)), errors="surrogateescape")
        lines.append(f"<p><a href='{html.escape(script)}?{query}'>{text}</a>")
    else:
        lines.append(f"<p>{text}")
lines += ["</body>", "</html>", ""]

page = "\n".join(lines).encode(errors="surrogateescape")
head = f"Content-Type: text/html; charset=utf-8\nContent-Length: {len(page)}\n\n"
os.write(1, head.encode())
with os.fdopen(1, "wb") as output:
    output.write(page)
