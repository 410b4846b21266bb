# Ways from a callback to a call that blocks: lambdas, `super()`, names as text, and functions inside functions.
import asynchat
import asyncore
import threading
import time

doze = lambda: time.sleep(1)
unused = lambda: time.sleep(1)


class Lambdas(asyncore.dispatcher):
    handle_read = lambda self: time.sleep(1)
    handle_write = lambda self: self.send(b'x')
    other = lambda self: time.sleep(1)
    helper = lambda self, seconds: time.sleep(seconds)

    def __init__(self, sock):
        asyncore.dispatcher.__init__(self, sock)
        self.wait = lambda seconds: time.sleep(seconds)
        self.never = lambda: time.sleep(1)
        self.handle_close = self.on_close
        self.after = asleep

    def handle_accept(self):
        doze()
        self.helper(1)
        self.wait(1)
        self.after()
        self.call_later(1, lambda: time.sleep(1))
        self.call_later(1, lambda channel=self: channel.close())
        self.call_later(1, lambda self=self: self.close())
        self.call_later(1, lambda time: time.sleep(1))

    def on_close(self):
        time.sleep(1)

    def handle_expt(self):
        def work():
            time.sleep(1)

        def now():
            time.sleep(1)

        now()
        threading.Thread(target=work).start()
        threading.Thread(target=lambda: time.sleep(1)).start()
        threading.Timer(1, lambda: time.sleep(1)).start()


def asleep():
    time.sleep(1)


def unmentioned():
    time.sleep(1)


class Base(asynchat.async_chat):
    def process(self):
        time.sleep(1)

    def setup(self, peer):
        peer.push('x')
        time.sleep(1)


class Mixin:
    def process(self):
        super().process()


class Beside:
    def tidy(self):
        time.sleep(1)


class Session(Mixin, Base, Beside):
    def collect_incoming_data(self, data):
        self.process()
        super().setup(self)
        super(Session, self).tidy()

    def tidy(self):
        time.sleep(1)

    def handle_close(self):
        getattr(self, 'finish')()
        getattr(self, 'push')('x')
        getattr(self, 'ac_in_buffer', None)
        action = getattr(self, 'act')
        action()
        getattr(self, 'cmd_{}'.format(self.line))()

    def finish(self):
        time.sleep(1)

    def act(self):
        time.sleep(1)

    def cmd_x(self):
        time.sleep(1)


class Busy(asynchat.async_chat):
    def found_terminator(self):
        self.pool.submit(self.slow, 1)
        self.loop.run_in_executor(None, lambda: time.sleep(1))
        self.later.submit(self.soon)
        self.later = Later()
        self.note([], self)

    def slow(self, seconds):
        time.sleep(seconds)

    def soon(self):
        time.sleep(1)

    @staticmethod
    def note(lines, channel):
        lines.push(1)
        channel.push('x')


class Later:
    def submit(self, function):
        function()
