# A blocking override is reached through an object, not through a call that names the base, nor from a constructor.
import asyncore
import time


class Base:
    def __init__(self):
        pass

    def setup(self):
        pass

    def work(self):
        pass


class Sleeper(Base):
    def __init__(self):
        Base.__init__(self)
        time.sleep(1)

    def setup(self):
        time.sleep(1)

    def work(self):
        time.sleep(1)


class Listener(asyncore.dispatcher, Base):
    def handle_accept(self):
        Base.setup(self)
        worker = Base()
        worker.work()
