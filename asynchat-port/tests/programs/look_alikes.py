# Beside a channel: what is found is the channel's alone.
import asynchat
import queue
import subprocess
import threading
import time


class Session(asynchat.async_chat):
    def __init__(self, sock):
        self.list = []
        self.file = open('x')
        self.stack = Stack()
        self.jobs = queue.Queue()
        self.encoding = None
        self.out = None

    def found_terminator(self):
        self.list.append(1)
        self.file.close()
        self.stack.push(2)
        self.stack.close()
        self.jobs.put_nowait(3)
        self.jobs.get(False)
        len(self.list)
        push('x')
        child = subprocess.Popen(['true'], stdout=self.file)
        child.poll()
        getattr(self, 'list')
        if self.encoding:
            self.collector.collect_incoming_data('x')

    def start(self):
        time.sleep(1)

    def readable(self):
        return True


class Stack:
    def push(self, item):
        item.close()

    def close(self):
        pass


class Worker(threading.Thread):
    def run(self):
        time.sleep(1)
        self.close()


def push(text):
    text.send()


def main():
    time.sleep(5)
    threading.Event().wait()


class Collector:
    def collect_incoming_data(self, data):
        data.found_terminator()


from asyncore import loop, poll


def start(loop: int, *poll, close_all=None, **readwrite):
    return lambda loop=1, *poll: (loop, poll)
