//! Idioms of "Datagrams, descriptors, options".

use std::{
    net::TcpListener,
    os::fd::{AsFd, OwnedFd},
};

use asynchat::{Channel, ChannelId, Dispatcher, Registry, Result};

struct Server;
impl Dispatcher for Server {}

struct Console;

impl Dispatcher for Console {
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.recv_with(|_, data| println!("{}", data.escape_ascii()))?;
        Ok(())
    }
}

fn watch_stdin(registry: &mut Registry) -> Result<ChannelId> {
    // region 62
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    let id = registry.register(stdin, Console)?; // any OwnedFd: pipe, eventfd, inotify, serial line
    // end
    Ok(id)
}

fn inherited(registry: &mut Registry, descriptor: OwnedFd) -> Result<ChannelId> {
    // region 7
    let listener = TcpListener::from(descriptor); // or UnixListener: a bare OwnedFd counts as a pipe
    let id = registry.register(listener, Server)?;
    // end
    Ok(id)
}

fn hang_up(channel: &mut Channel<'_>) {
    // region 22
    channel.shutdown_write(); // ends this side, behind what is queued; reading goes on
    channel.close(); // ends both, now
    // end
}

struct Telnet;

impl Dispatcher for Telnet {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        // region 63
        let socket = channel.as_fd()?;
        socket2::SockRef::from(&socket).set_out_of_band_inline(true)?;
        // end
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod children {
    use std::process::{Child, Command, Stdio};

    use asynchat::Closed;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    fn start(registry: &mut Registry, program: &str) -> Result {
        // region 64
        let mut child = Command::new(program).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().map(OwnedFd::from);
        let exit = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        registry.register(exit, Job { child })?;
        registry.register(output.ok_or("no pipe")?, Console)?;
        // end
        Ok(())
    }

    struct Job {
        child: Child,
    }

    // region 64
    impl Dispatcher for Job {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            channel.close(); // it has exited
            Ok(())
        }

        fn handle_closed(&mut self, _: &mut Registry, _: Closed) {
            let _ = self.child.kill(); // for another end of the channel
            log::info!("{:?}", self.child.wait());
        }
    }
    // end
}
