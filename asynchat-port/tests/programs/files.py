import asyncore
import os
import sys


class Console(asyncore.file_dispatcher):
    def __init__(self, fd, map):
        asyncore.file_dispatcher.__init__(self, fd, map)

    def handle_read(self):
        self.recv(1024)
        self.set_file(0)


class Wrapper(asyncore.file_wrapper):
    def read(self, size):
        return os.read(self.fd, size)

    def __del__(self):
        self.close()


one = asyncore.file_wrapper(0)
one.fileno(), one.getsockopt(1, 2), one.send('x'), one.write('x'), one.recv(1)
asyncore.file_dispatcher(sys.stdin)


class Sender(asyncore.dispatcher_with_send):
    def handle_read(self):
        self.out_buffer += 'x'
        self.send('y')

    def handle_connect_event(self):
        pass

    def __repr__(self):
        return 'x'

    def handle_write(self):
        self.initiate_send()
