# A request that knows its channel, and the producers of another module.
import asynchat
import producers
from medusa import producers as theirs


class Request:
    def __init__(self, *args):
        self.channel, self.request = args

    def done(self):
        page = producers.lines_producer(self.request.lines)
        self.channel.push_with_producer(producers.hooked_producer(page, self.log))
        return self.channel.addr[0], self.request.addr

    def error(self):
        return theirs.simple_producer('error'), producers.other_producer('error')
