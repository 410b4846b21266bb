//! Reading the header of the PROXY protocol before a listener is told of the connection (R19).

use std::time::Duration;

use bytes::Bytes;

use crate::{
    address::Address,
    closed::Cause,
    engine::accept::Refusal,
    error::Result,
    id::ChannelId,
    net::{io::Io, readiness::Readiness},
    proxy_header::ProxyHeader,
    state::{
        channel::Channel,
        dispatcher::{Dispatcher, boxed},
        phase::{Accepting, Arrived, Phase},
        registry::{Registry, Task},
        slot::Slot,
    },
};

/// The specification's least: one lost segment is sent again within it.
const PATIENCE: Duration = Duration::from_secs(3);

/// The object of a connection whose header is being read.
struct ProxyHeaderReader {
    listener: ChannelId,
    input: Vec<u8>,
}

impl Dispatcher for ProxyHeaderReader {
    fn writable(&self) -> bool {
        false
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let (registry, id) = (&mut *channel.registry, channel.id);
        let mut buf = [0; ProxyHeader::MAX_LEN];
        let room = ProxyHeader::MAX_LEN - self.input.len();
        let n = registry.read(id, &mut buf[..room])?;
        self.input.extend_from_slice(&buf[..n]);
        match ProxyHeader::parse(&self.input) {
            Ok(None) => {}
            Ok(Some(header)) => {
                let behind = Bytes::copy_from_slice(&self.input[header.len..]);
                registry.end_header(id, self.listener, &header, behind);
            }
            Err(error) => registry.refuse(id, self.listener, &Refusal::NoHeader(error)),
        }
        Ok(())
    }

    /// Without a word: so do the checks of balancers that only want to know whether the port is open.
    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.registry.close(channel.id, Cause::EndOfFile);
        Ok(())
    }
}

impl Accepting {
    pub(crate) fn trusts(&self, peer: &Address) -> bool {
        // Who may connect to a Unix path is decided by its mode.
        match (&self.proxies, peer.inet()) {
            (Some(proxies), Some(peer)) => proxies.iter().any(|proxy| proxy.contains(peer.ip())),
            _ => true,
        }
    }
}

impl Registry {
    /// Reads the header of a connection that is accepted. It is a channel meanwhile.
    pub(crate) fn begin_header(&mut self, listener: ChannelId, io: Io, peer: &Address) {
        let input = Vec::new();
        let reader = boxed(ProxyHeaderReader { listener, input });
        let mut slot = Slot::new(io, reader, Phase::Greeting, self.clock.stamp());
        slot.peer = peer.inet().into();
        slot.readiness = Readiness::ASSUMED;
        match self.insert(slot, false) {
            Ok(id) => {
                let deadline = self.after(PATIENCE);
                let timer = self.timers.insert(deadline, Task::Header(id, listener));
                if let Some(slot) = self.slot_mut(id) {
                    slot.timer = Some(timer);
                }
                self.enqueue(id);
            }
            Err(error) => {
                log::warn!(target: "asynchat::accept", "channel {listener}: closing {peer}: {error}");
            }
        }
    }

    /// The listener may have the connection now, with the address that the header gives.
    fn end_header(
        &mut self,
        id: ChannelId,
        listener: ChannelId,
        header: &ProxyHeader,
        unread: Bytes,
    ) {
        let Some(slot) = self.slot(id) else { return };
        let Some(peer) = header
            .source
            .map_or_else(|| slot.peer_addr().ok(), |source| Some(source.into()))
        else {
            return self.close(id, Cause::Reset);
        };
        let Some(accepting) = self.accepting(listener) else {
            return self.close(id, Cause::AcceptFailed);
        };
        let place = match accepting.admit(&peer) {
            Ok(place) => place,
            Err(refusal) => {
                self.note_refusal(listener, &peer, &refusal);
                return self.close(id, Cause::AcceptFailed);
            }
        };
        let Some((slot, queue, _)) = self.remove(id, true, |_| "its PROXY header is read") else {
            return;
        };
        if let Some(queue) = queue {
            self.discard_queue(queue);
        }
        if let Some(accepting) = self.accepting(listener) {
            accepting.arrived.push_back(Arrived {
                io: slot.io,
                peer,
                place,
                unread,
            });
        }
        self.enqueue(listener);
    }

    /// No header came in time.
    pub(crate) fn header_is_late(&mut self, id: ChannelId, listener: ChannelId) {
        self.refuse(id, listener, &Refusal::LateHeader(PATIENCE));
    }

    fn refuse(&mut self, id: ChannelId, listener: ChannelId, why: &Refusal) {
        let peer = self.slot(id).and_then(|slot| slot.peer_addr().ok());
        self.note_refusal(listener, &peer.unwrap_or(Address::Unnamed), why);
        self.close(id, Cause::AcceptFailed);
    }
}
