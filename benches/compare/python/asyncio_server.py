#!/usr/bin/env python3
"""The peer on CPython's asyncio, in the modes it is compared in: echo and files.

usage: asyncio_server.py MODE PORT [ROOT]
"""

import asyncio
import os
import resource
import signal
import socket
import sys
import time
import urllib.parse
from email.utils import formatdate

ROOT = None


class HttpDate:
    """The Date header's value, formatted once per second."""

    second = -1
    text = b""

    @classmethod
    def now(cls):
        second = int(time.time())
        if second != cls.second:
            cls.second = second
            cls.text = formatdate(second, usegmt=True).encode()
        return cls.text


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


def open_below_root(target):
    path = urllib.parse.unquote_to_bytes(target.partition(b"?")[0])
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if b".." in parts or b"\0" in path:
        return None
    try:
        return open(os.path.join(ROOT, *parts), "rb", buffering=0)
    except OSError:
        return None


def wants_close(request):
    lower = request.lower()
    at = lower.find(b"\r\nconnection:")
    return at >= 0 and b"close" in lower[at + 2 :].split(b"\r\n", 1)[0]


async def serve_files(reader, writer):
    loop = asyncio.get_running_loop()
    try:
        closing = False
        while not closing:
            request = await reader.readuntil(b"\r\n\r\n")
            closing = wants_close(request)
            extra = b"Connection: close\r\n" if closing else b""
            target = request.split(b" ", 2)[1:2]
            file = open_below_root(target[0]) if target else None
            if file is None:
                writer.write(
                    b"HTTP/1.1 404 Not Found\r\nDate: %b\r\nContent-Length: 0\r\n%b\r\n" % (HttpDate.now(), extra)
                )
            else:
                with file:
                    size = os.fstat(file.fileno()).st_size
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Length: %d\r\n%b\r\n" % (HttpDate.now(), size, extra)
                    )
                    # sendfile(2) costs more than it saves below a few tens of KiB.
                    if size <= 65536:
                        writer.write(file.read(size))
                    else:
                        await loop.sendfile(writer.transport, file)
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
        pass
    finally:
        writer.close()


async def main(mode, port):
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", port))
    if mode == "echo":
        await loop.create_server(Echo, sock=listener, backlog=4096)
    else:
        await asyncio.start_server(serve_files, sock=listener, backlog=4096)
    print("ready", flush=True)
    await stop.wait()
    # Connections still open are no reason to stay: not asyncio.run's orderly end, which cancels each of them.
    os._exit(0)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        print("usage: asyncio_server.py MODE PORT [ROOT]", file=sys.stderr)
        sys.exit(2)
    if sys.argv[1] not in ("echo", "files"):
        print("mode not supported", file=sys.stderr)
        sys.exit(2)
    ROOT = os.fsencode(sys.argv[3] if len(sys.argv) == 4 else ".")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
