import asynchat
import asyncore

END = '\0---\0'


class Rpc(asynchat.async_chat):
    ac_in_buffer_size = 4096
    use_encoding = 1
    encoding = 'latin-1'

    def __init__(self, sock):
        asynchat.async_chat.__init__(self, sock)
        self.set_terminator(END)
        self.part = self.header
        self.ac_in_buffer = b''

    def collect_incoming_data(self, data):
        self.incoming.append(data.decode())

    def found_terminator(self):
        line = ''.join(self.incoming)
        method = getattr(self, 'cmd_' + line, None)
        if method:
            method()
        self.part()

    def cmd_data(self):
        self.set_terminator('\r\n.\r\n')
        self.set_terminator('\r\n')
        self.set_terminator(None)
        self.set_terminator(8)
        self.set_terminator(0)
        self.set_terminator('')
        self.set_terminator(int(self.length))
        if self.get_terminator() == 8:
            self.terminator = None
        self._collect_incoming_data(self._get_data())

    def header(self):
        self.part = self.header

    def handle_close(self):
        if self.incoming:
            self.log('cut')
        asynchat.async_chat.handle_close(self)


class Limited(asynchat.async_chat):
    def collect_incoming_data(self, data):
        if len(self.data) > 1000:
            raise ValueError('too long')
        self.data += data


class Records(asyncore.dispatcher):
    def handle_read(self):
        self.buffer += self.recv(4096)
        head = self.recv(4)
        if len(self.buffer) < 20:
            return
