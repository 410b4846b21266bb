import asynchat
import asyncore
import fcntl
import os
import signal
import socket
import subprocess
import threading
import time
import urllib2
from socket import gethostbyname


class Session(asynchat.async_chat):
    lock = threading.Lock()

    def found_terminator(self):
        self.push('wait')
        self.lock.acquire()
        self.lock.acquire(False)
        self.work()
        look_up('x')
        threading.Thread(target=self.run).start()
        self.call_later(5, self.late)

    def work(self):
        time.sleep(1)
        urllib2.urlopen('http://localhost/')
        subprocess.call(['true'])
        child = subprocess.Popen(['true'])
        child.wait()
        fcntl.flock(self.file, fcntl.LOCK_EX)
        fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.waitpid(1, os.WNOHANG)
        if os.fork():
            os.write(self.trigger, 'x')

    def run(self):
        time.sleep(1)
        self.push('from a thread')

    def late(self):
        os.system('sync')
        self.idler.reset()
        self.deadline = time.time() + 10
        self.call_later(1, self.add_channel)
        self.call_later(1, self.set_reading, True)

    def readable(self):
        if time.time() > self.deadline:
            self.handle_close()
        return self.bucket.has_tokens()

    def never_called(self):
        time.sleep(1)


class Metered(asynchat.async_chat):
    def readable(self):
        return self.bucket.has_tokens()


class Threaded(asynchat.async_chat):
    def readable(self):
        return self.received < self.sent + 10

    async def other(self):
        await self.thing()


def look_up(name):
    return gethostbyname(name)


def set_up():
    time.sleep(1)
    signal.signal(signal.SIGHUP, None)
    threading.Thread(target=asyncore.loop).start()
    asyncore.loop()


class Loop(threading.Thread):
    def run(self):
        asyncore.loop()


import requests
import sqlite3
import sys


class Client(asynchat.async_chat):
    database = sqlite3.connect('x')
    site = requests.Session()

    def start(self):
        self.connect(('127.0.0.1', 80))

    def found_terminator(self):
        listener = socket.socket()
        self.push('227 passive mode')
        listener.accept()
        self.socket = socket.socket()
        self.socket.recv(1000)
        self.line = sys.stdin.readline()
        cursor = self.database.cursor()
        cursor.execute('select 1')
        self.database.commit()
        self.site.get('http://localhost/')


def run_client():
    client = Client()
    client.start()
    asyncore.loop()


threading.Thread(target=run_client).start()
