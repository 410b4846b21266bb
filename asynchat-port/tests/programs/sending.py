import asynchat
import asyncore

from medusa.producers import file_producer, globbing_producer, hooked_producer


class NOT_DONE_YET:
    pass


class Slow:
    def more(self):
        data = self.inner.more()
        if data is NOT_DONE_YET:
            self.delay = 1
        return data


class Simple(asynchat.simple_producer):
    def more(self):
        return self.data[:self.buffer_size]


class lines_producer:
    def more(self):
        return ''


class Room(asyncore.dispatcher):
    def handle_accepted(self, sock, addr):
        self.members.append(Member(sock, self))

    def say(self, line, sender):
        for member in self.members:
            if member is not sender:
                member.push(line)


class Member(asynchat.async_chat):
    ac_out_buffer_size = 512

    def __init__(self, sock, room):
        asynchat.async_chat.__init__(self, sock)
        self.room = room
        self.push('220 hello\r\n')
        self.room.watchers.append(self)

    def found_terminator(self):
        self.room.say(self.line, self)
        if self.line == 'quit':
            self.push('221 bye\r\n')
            self.close_when_done()
        elif self.line == 'abort':
            self.push('421 bye\r\n')
            self.close()
        else:
            self.close()
        while self.more_lines():
            self.push('again')
            self.send('raw')
        self.push_with_producer(FileProducer('x'))
        self.push_with_producer(globbing_producer(hooked_producer(file_producer(open('x')), self.log)))
        self.push(CallbackProducer(self.done))
        self.producer_fifo.append(None)
        self.discard_buffers()
        self.initiate_send()
        self.refill_buffer()

    def send(self, data):
        self.sent += len(data)
        return asynchat.async_chat.send(self, data)

    def recv(self, size):
        return asynchat.async_chat.recv(self, size)

    def handle_error(self):
        self.push('500 error')
        self.close_when_done()


class Raw(asyncore.dispatcher):
    def writable(self):
        return len(self.buffer) > 0

    def handle_write(self):
        sent = self.send(self.buffer)
        self.buffer = self.buffer[sent:]

    def handle_read(self):
        self.room.say('x', self)
        self.partner.handle_request(self)


class Queue(asynchat.fifo):
    pass


q = asynchat.fifo()
q.push(1)
print(q.first(), q.pop(), q.is_empty(), asynchat.find_prefix_at_end('a', 'b'))


class Leaving(asynchat.async_chat):
    def push_or_close(self):
        if self.ready:
            return self.push('x')
        self.close()

    def push_and_return(self):
        if self.ready:
            if self.first:
                self.push('x')
            else:
                self.push('y')
            return
        self.close()

    def push_and_break(self):
        for line in self.lines:
            if line:
                self.push_with_producer(line)
                break
            self.close_when_done()
        self.close()

    def push_and_raise(self):
        if self.ready:
            raise Refused(self.push('x'))
        self.close()

    def push_and_fall_through(self):
        if self.ready:
            self.push('x')
        self.close()
