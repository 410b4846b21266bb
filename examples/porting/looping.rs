//! Idioms of "Loop, threads, time".

use std::{
    net::UdpSocket,
    pin::pin,
    sync::{Arc, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

#[cfg(unix)]
use asynchat::signal::SIGHUP;

use asynchat::{
    AsyncChat, Channel, ChannelId, ChatChannel, Dispatcher, Reactor, Registry, Result, TimerId,
};

struct Server;
impl Dispatcher for Server {}

fn work(registry: &mut Registry, client: ChannelId, job: String) {
    // region 50
    let handle = registry.handle();
    thread::spawn(move || {
        let answer = job.to_uppercase(); // something slow
        // Refused only when the reactor is gone.
        let _ = handle.call_soon(move |registry| {
            if let Some(mut client) = registry.channel(client) {
                client.push(answer);
            }
            Ok(())
        });
    });
    // end
}

fn in_a_thread() -> Result {
    // region 51
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || -> Result {
        let mut reactor = Reactor::new()?; // made where it runs: it cannot be sent
        reactor.listen(([127, 0, 0, 1], 0), Server)?;
        tell.send(reactor.handle())?;
        Ok(reactor.run()?)
    });
    let handle = told.recv()?;
    // ... the test, or the rest of the program ...
    handle.shutdown(Duration::from_secs(1)); // or stop(), which closes nothing
    thread.join().map_err(|_| "the loop panicked")?
    // end
}

fn pump(reactor: &mut Reactor) -> Result {
    // region 52
    reactor.turn(Some(Duration::ZERO))?; // once a frame of the game
    // end
    Ok(())
}

fn two_maps() -> Result {
    // region 53
    let mut public = Reactor::new()?;
    let mut private = Reactor::new()?;
    public.listen(([127, 0, 0, 1], 0), Server)?;
    private.listen(([127, 0, 0, 1], 0), Server)?;
    // end
    while !public.is_idle() {
        public.turn(Some(Duration::from_millis(10)))?;
        private.turn(Some(Duration::ZERO))?;
    }
    Ok(())
}

struct Shell;

impl Shell {
    fn cmd_exit(&mut self, channel: &mut Channel<'_>) {
        // region 54
        channel.registry().stop(); // run() returns after this turn; or shutdown(grace)
        // end
    }
}

struct Session {
    idler: Option<TimerId>,
}

impl AsyncChat for Session {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
        Ok(())
    }

    // region 55
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(Duration::from_secs(300)));
        Ok(())
    }

    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.push("421 timeout\r\n"); // without this method: close()
        chat.close_when_done();
        Ok(())
    }
    // end

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        // region 56
        let silence = Duration::from_secs(300);
        let idler = self.idler.get_or_insert_with(|| {
            chat.call_later(silence, |_: &mut Session, chat| {
                chat.close();
                Ok(())
            })
        });
        chat.registry().reschedule(*idler, silence);
        // end
        Ok(())
    }
}

fn within_ten_seconds(reactor: &mut Reactor) -> Result {
    // region limit
    let end = Instant::now() + Duration::from_secs(10);
    while !reactor.is_idle() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("no answer within 10 s".into());
        }
        if reactor.turn(Some(left))?.stopped {
            break;
        }
    }
    // end
    Ok(())
}

struct Resolver;

impl Dispatcher for Resolver {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        // region 61
        let mut packet = [0; 512];
        for _ in 0..32 {
            let (length, from) = channel.recv_from(&mut packet)?; // no more: `?` leaves, and it counts as Ok
            channel.send_to(&answer(&packet[..length]), from)?;
        }
        // end
        Ok(())
    }
}

fn resolve(registry: &mut Registry) -> Result<ChannelId> {
    // region 61
    let id = registry.register(UdpSocket::bind("0.0.0.0:53")?, Resolver)?;
    // end
    Ok(id)
}

fn answer(question: &[u8]) -> Vec<u8> {
    question.to_vec()
}

#[cfg(unix)]
fn reload_on_hangup(registry: &mut Registry, server: ChannelId) -> Result {
    // region 58
    registry.on_signal(SIGHUP, move |registry| {
        registry.with(server, |server: &mut Server, _| server.reload())?
    })?;
    // end
    Ok(())
}

impl Server {
    fn reload(&mut self) -> Result {
        Ok(())
    }
}

/// A loop that somebody else turns: it waits for descriptors, and for a time.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod inside_another_loop {
    use std::os::fd::OwnedFd;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    struct Window {
        connection: OwnedFd,
    }

    impl Window {
        fn is_open(&self) -> bool {
            true
        }
        fn dispatch(&mut self) {}
    }

    fn serve(reactor: &mut Reactor, window: &mut Window) -> Result {
        // region 59
        while window.is_open() {
            let wait = reactor.next_wait().map(Timespec::try_from).transpose()?;
            let readable = PollFlags::IN;
            let mut waiting = [
                PollFd::new(reactor, readable), // AsFd: tokio's AsyncFd takes a duplicate of it
                PollFd::new(&window.connection, readable),
            ];
            poll(&mut waiting, wait.as_ref())?;
            window.dispatch();
            reactor.turn(Some(Duration::ZERO))?;
        }
        // end
        Ok(())
    }
}

fn await_a_future(channel: &mut Channel<'_>, question: String) {
    // region 60
    let (client, handle) = (channel.id(), channel.registry().handle());
    thread::spawn(move || {
        let answer = block_on(fetch(question)); // in a tokio program: runtime.spawn(async move { … })
        // Refused only when the reactor is gone.
        let _ = handle.call_soon(move |registry| {
            if let Some(mut client) = registry.channel(client) {
                client.push(answer);
            }
            Ok(())
        });
    });
    // end
}

async fn fetch(question: String) -> String {
    question
}

// region 60
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
// end
