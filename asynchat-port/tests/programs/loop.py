import asyncore
import select
from asyncore import *


class Server(asyncore.dispatcher):
    def __init__(self, address, map=None):
        asyncore.dispatcher.__init__(self, map=map)

    def handle_accepted(self, sock, addr):
        pass

    def readable(self):
        return len(asyncore.socket_map) < 100

    def wait(self):
        while not self.answer:
            asyncore.loop(count=1)
        select.select([], [], [], 1)

    def handle_read(self):
        self.wait()
        raise ExitNow


def zombies():
    for channel in asyncore.socket_map.values():
        channel.close()


def pump():
    asyncore.poll(0.1)
    while 1:
        poll2(0.01, private)


def test(obj):
    asyncore.read(obj)
    asyncore.write(obj)
    asyncore._exception(obj)
    asyncore.readwrite(obj, 1)
    while asyncore.socket_map:
        asyncore.loop(timeout=0.1, count=1)


try:
    asyncore.loop(30, True)
except KeyboardInterrupt:
    asyncore.close_all()
print(asyncore.compact_traceback(), asyncore._strerror(EINVAL), errorcode[1], asyncore._DISCONNECTED, _reraised_exceptions)
