//! Idioms of "Datagrams, descriptors, options": passed descriptors.

use std::{
    collections::VecDeque,
    fs::File,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::AsFd,
};

use asynchat::{Channel, Direction, Dispatcher, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt::socket_peercred,
};

/// One end of a Unix stream on which files are passed, each with a byte.
#[derive(Default)]
struct Passer {
    outgoing: VecDeque<File>,
    received: Vec<File>,
}

impl Dispatcher for Passer {
    // region 65
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        if socket_peercred(channel.as_fd()?)?.uid != rustix::process::getuid() {
            channel.close(); // another user's process
        }
        Ok(())
    }

    fn writable(&self) -> bool {
        !self.outgoing.is_empty()
    }

    fn handle_write(&mut self, channel: &mut Channel<'_>) -> Result {
        let Some(file) = self.outgoing.front() else {
            return Ok(());
        };
        let (fds, mut space) = ([file.as_fd()], [MaybeUninit::uninit(); 64]);
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        channel.try_io(Direction::Write, |socket| {
            let text = [IoSlice::new(b"f")];
            Ok(sendmsg(socket, &text, &mut control, SendFlags::NOSIGNAL)?)
        })?; // the socket is full: called again when it is not
        self.outgoing.pop_front();
        Ok(())
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let (mut text, mut space) = ([0; 1], [MaybeUninit::uninit(); 64]);
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = channel.try_io(Direction::Read, |socket| {
            let mut text = [IoSliceMut::new(&mut text)];
            Ok(recvmsg(
                socket,
                &mut text,
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )?)
        })?; // nothing is left: called again when more arrives
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.received.extend(fds.map(File::from));
            }
        }
        if message.bytes == 0 {
            channel.recv(&mut text)?; // the end of file, for `handle_close`
        }
        Ok(())
    }
    // end
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Seek, Write},
        os::unix::net::UnixStream,
        time::{Duration, Instant},
    };

    use asynchat::Reactor;

    use super::*;

    fn file(text: &str) -> File {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("written");
        file.rewind().expect("at its beginning");
        file
    }

    fn text_of(mut file: &File) -> String {
        let mut text = String::new();
        file.rewind().expect("at its beginning");
        file.read_to_string(&mut text).expect("text");
        text
    }

    #[test]
    fn files_pass_in_both_directions_and_the_loop_rests_afterwards() {
        let mut reactor = Reactor::new().expect("a reactor");
        let (a, b) = UnixStream::pair().expect("a pair");
        let passer = |texts: &[&str]| Passer {
            outgoing: texts.iter().map(|text| file(text)).collect(),
            received: Vec::new(),
        };
        let a = reactor.register(a, passer(&["one", "two"])).expect("a");
        let b = reactor.register(b, passer(&["three"])).expect("b");
        let end = Instant::now() + Duration::from_secs(10);
        let mut turns = 0;
        loop {
            let turn = reactor
                .turn(Some(Duration::from_millis(30)))
                .expect("turns");
            if turn.events == 0 && turn.callbacks == 0 {
                break;
            }
            turns += 1;
            assert!(Instant::now() < end && turns < 50, "it spins");
        }
        let mut received = |id| {
            reactor.with(id, |passer: &mut Passer, _| {
                passer.received.iter().map(text_of).collect::<Vec<_>>()
            })
        };
        assert_eq!(received(a), Ok(vec!["three".into()]));
        assert_eq!(received(b), Ok(vec!["one".into(), "two".into()]));

        reactor.channel(a).expect("open").close();
        reactor.run().expect("the other ends with it");
    }
}
