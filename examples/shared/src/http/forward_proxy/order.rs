//! What is to be done with a request: all that is decided before anybody is connected to.

use std::{net::IpAddr, rc::Rc};

use super::{
    Settings,
    fields::{self, Announced, Forwards, Unfit},
    refusal::Refusal,
    target::{Place, Target},
};
use crate::http::request::Request;

/// Where a request goes.
pub(super) enum Order {
    /// To this server, with this head.
    Forward { place: Rc<Place>, head: Vec<u8> },
    /// CONNECT.
    Tunnel(Rc<Place>),
    /// No further: TRACE is answered with this.
    Trace(Vec<u8>),
    /// No further: OPTIONS is answered.
    Options,
}

impl Settings {
    /// The user, if one has to be named.
    pub(super) fn admit(&self, request: &Request<'_>) -> Result<Option<Rc<str>>, Refusal> {
        match &self.users {
            None => Ok(None),
            Some(users) => match users.admit_to_proxy(request.headers) {
                Some(user) => Ok(Some(user.into())),
                None => Err(Refusal::login()),
            },
        }
    }

    pub(super) fn order(
        &self,
        request: &Request<'_>,
        body: Announced,
        client: Option<IpAddr>,
    ) -> Result<Order, Refusal> {
        if fields::is_loop(request.headers, self.pseudonym()) {
            return Err(Unfit::Loop.into());
        }
        if request.method == "CONNECT" {
            return self.tunnel(request, body);
        }
        let is_last = Forwards::of(request)? == Forwards::Last;
        if request.method == "TRACE" && body != Announced::Nothing {
            return Err(Refusal::new(
                400,
                "http_request_error",
                "TRACE has no body.",
            ));
        } else if is_last && request.method == "TRACE" {
            let mut trace = Vec::new();
            fields::write_trace(&mut trace, request);
            return Ok(Order::Trace(trace));
        } else if is_last {
            return Ok(Order::Options);
        }
        let target = Target::absolute(request.method, request.target)?;
        if self.blocklist.blocks(&target.place, &target.path) {
            return Err(Refusal::denied(
                "The URL is on the blocklist of this proxy.",
            ));
        } else if !self.allow.port(target.place.port) {
            return Err(Refusal::denied(
                "This proxy does not connect to that port (--allow-port).",
            ));
        }
        let mut head = Vec::with_capacity(512);
        fields::write_request(&mut head, &self.rewriting, request, &target, body, client)?;
        let place = Rc::new(target.place);
        Ok(Order::Forward { place, head })
    }

    fn tunnel(&self, request: &Request<'_>, body: Announced) -> Result<Order, Refusal> {
        let place = Place::authority(request.target)?;
        if !matches!(body, Announced::Nothing | Announced::Length(0)) {
            // What follows is the tunnel's (RFC 9110, 9.3.6).
            return Err(Refusal::new(
                400,
                "http_request_error",
                "CONNECT has no body.",
            ));
        } else if self.blocklist.blocks_host(&place) {
            return Err(Refusal::denied(
                "The host is on the blocklist of this proxy.",
            ));
        } else if !self.allow.connect_port(place.port) {
            return Err(Refusal::denied(
                "This proxy makes no tunnel to that port (--connect-port).",
            ));
        }
        Ok(Order::Tunnel(Rc::new(place)))
    }
}
