# Callbacks that the body of a class gives by assignment.
import asyncore
import time


def flush(channel):
    time.sleep(1)
    channel.send('x')


class Base(asyncore.dispatcher):
    def on_read(self):
        time.sleep(1)
        self.later()

    def on_other(self):
        time.sleep(1)

    def on_later(self):
        time.sleep(1)

    handle_read = on_read
    handle_write = flush
    later = on_later
    other = on_other
