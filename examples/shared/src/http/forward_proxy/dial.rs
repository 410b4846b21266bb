//! The way of a request to its server: a connection that is kept, or the addresses of the host, those of them that are
//! allowed, and a new connection.

use std::{
    io::{self, Write},
    net::SocketAddr,
    rc::Rc,
};

use asynchat::{ChatChannel, ChatDispatcher, Result};

use super::{
    allow::leads_back, client::Client, exchange::Link, fields::Unfit, refusal::Refusal,
    target::Place, tunnel::Dialling, upstream::Upstream,
};
use crate::http::answer_reader::LINE_END;

impl Link {
    /// Over a connection that is kept, if the request may be sent again should that turn out to be dead.
    pub(super) fn send(&mut self, chat: &mut ChatChannel<'_>) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let client = chat.id();
        if exchange.is_repeatable {
            let timeout = self.proxy.settings.limits.answer_timeout;
            while let Some(id) = self.proxy.take(&exchange.place) {
                let begun = chat
                    .registry()
                    .with_chat(id, |upstream: &mut Upstream, chat| {
                        if !upstream.is_idle() {
                            return false;
                        }
                        upstream.begin(client, exchange.to_head, Rc::clone(&self.passed));
                        chat.set_idle_timeout(Some(timeout));
                        let _ = chat.write_all(&exchange.head);
                        true
                    });
                if begun == Ok(true) {
                    exchange.upstream = Some(id);
                    exchange.is_on_kept_connection = true;
                    exchange.is_held = false;
                    return;
                }
            }
        }
        self.look_up(chat);
    }

    pub(super) fn look_up(&mut self, chat: &mut ChatChannel<'_>) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        exchange.is_on_kept_connection = false;
        let (id, serial) = (chat.id(), self.serial);
        let Place { host, port } = &*exchange.place;
        chat.registry()
            .resolve(host, *port, move |registry, found| {
                // A client that has left has no use for it.
                let _ = registry.with_chat(id, |client: &mut Client, chat| {
                    client.resolved(chat, serial, found);
                });
                Ok(())
            });
    }

    pub(super) fn resolved(
        &mut self,
        chat: &mut ChatChannel<'_>,
        serial: u64,
        found: io::Result<Vec<SocketAddr>>,
    ) {
        let Some(exchange) = self.exchange.as_ref().filter(|_| serial == self.serial) else {
            return;
        };
        let host = &exchange.place.host;
        let connected = match found {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Refusal::new(
                504,
                "dns_timeout",
                format!("Looking up {host} took too long."),
            )),
            Err(error) => Err(Refusal::bad_gateway(
                "dns_error",
                format!("No address of {host}: {error}."),
            )),
            Ok(addresses) => self.connect(chat, addresses),
        };
        if let Err(refusal) = connected {
            self.fail(chat, &refusal);
        }
    }

    fn connect(
        &mut self,
        chat: &mut ChatChannel<'_>,
        mut addresses: Vec<SocketAddr>,
    ) -> Result<(), Refusal> {
        let Some(exchange) = &mut self.exchange else {
            return Ok(());
        };
        let place = &exchange.place;
        addresses.retain(|address| self.proxy.settings.allow.address(address.ip()));
        if addresses.is_empty() {
            let text = format!("This proxy does not connect to {place} (--allow).");
            return Err(Refusal::new(403, "destination_ip_prohibited", text));
        }
        if let Some(own) = self.proxy.address.get() {
            let entrance = chat
                .local_addr()
                .ok()
                .and_then(|local| Some(local.inet()?.ip()));
            addresses.retain(|&to| !leads_back(to, own, entrance));
        }
        if addresses.is_empty() {
            return Err(Unfit::Loop.into());
        }
        let client = chat.id();
        let registry = chat.registry();
        let options = &self.proxy.connect;
        let id = if exchange.is_tunnel {
            registry.connect_with(&addresses, options, Dialling::new(place, client))
        } else {
            let mut upstream = Upstream::new(&self.proxy, place);
            upstream.begin(client, exchange.to_head, Rc::clone(&self.passed));
            registry.connect_with(&addresses, options, ChatDispatcher::new(upstream, LINE_END))
        };
        let id = id.map_err(|error| {
            log::warn!("no connection to {place}: {error}");
            Refusal::new(
                503,
                "connection_limit_reached",
                format!("No connection to {place}: {error}."),
            )
        })?;
        exchange.upstream = Some(id);
        if let Some(mut upstream) = registry.channel(id).filter(|_| !exchange.is_tunnel) {
            // Into the queue, which never fails and waits for the connection.
            let _ = upstream.write_all(&exchange.head);
            exchange.is_held = false;
        }
        Ok(())
    }
}
