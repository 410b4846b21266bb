# Which channels spin: those that are readable, and neither read nor accept.
import asyncore
from elsewhere import Reader


class Silent(asyncore.dispatcher):
    pass


class Polled(asyncore.dispatcher):
    def readable(self):
        return True


class Unread(asyncore.dispatcher):
    def readable(self):
        return False


class Old(asyncore.dispatcher):
    def readable(self):
        return 0


class Accepts(asyncore.dispatcher):
    def handle_accept_event(self):
        pass


class Named(asyncore.dispatcher):
    def on_read(self):
        pass

    handle_read = on_read


class Later(asyncore.dispatcher):
    def __init__(self, read):
        asyncore.dispatcher.__init__(self)
        self.handle_read = read


class Foreign(Reader, asyncore.dispatcher):
    pass


class Plain(asyncore.dispatcher, object):
    pass


def never(channel):
    return None


class Never(asyncore.dispatcher):
    readable = never


class Short(asyncore.dispatcher):
    readable = lambda self: False
