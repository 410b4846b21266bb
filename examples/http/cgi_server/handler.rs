//! One connection's requests: to a script, or to a file.

use std::{cell::Cell, mem, net::SocketAddr, path::PathBuf, process::Stdio, rc::Rc};

use asynchat::{Closed, Registry, Result, TimerId};
use shared::{
    cgi::{
        environment::{self, Call, Variables},
        place::{Place, Scripts},
        relay::{Next, Relay},
    },
    http::{
        header,
        paths::Target,
        request::Request,
        service::{self, Answered, Exchange, Handler, Ticket},
    },
};

use crate::{
    files,
    limits::REDIRECTS,
    pool::{Pool, Room},
    refusal::{give_up, refuse, unavailable},
    script::{Script, launch::NotStarted},
    spool::Spool,
};

pub(crate) const SOFTWARE: &str = concat!("asynchat-cgi/", env!("CARGO_PKG_VERSION"));

/// What all connections share.
pub(crate) struct Server {
    pub(crate) pool: Rc<Pool>,
    pub(crate) scripts: Scripts,
    pub(crate) files: files::Files,
    /// For `DOCUMENT_ROOT` and `PATH_TRANSLATED`.
    pub(crate) documents: PathBuf,
    pub(crate) passes_authorization: bool,
    /// Bytes in files of bodies whose length is not known yet.
    pub(crate) spooled: Cell<u64>,
}

pub(crate) struct CgiHandler {
    server: Rc<Server>,
    /// The server's end of the connection, once it was asked for.
    local: Option<SocketAddr>,
    work: Work,
}

/// A call of a script that may begin.
pub(crate) struct Order {
    pub(crate) place: Place,
    pub(crate) variables: Variables,
    head_only: bool,
    redirects: u8,
}

/// What is being done for the current request.
enum Work {
    /// Nothing, or its answer is on its way.
    Idle,
    /// The length of its body is not known before its end.
    Spooling(Order, Spool),
    Waiting(Order, Input, Ticket, TimerId),
    Running(Running),
}

/// What a script reads.
enum Input {
    Nothing,
    /// The body as it comes.
    Body,
    Spooled(Spool),
}

struct Running {
    script: Rc<Script>,
    relay: Relay,
    /// For a redirect.
    order: Order,
    /// A file counts for as long as it is there.
    _input: Input,
    /// More of the body would only wait.
    input_is_full: bool,
}

impl CgiHandler {
    pub(crate) fn new(server: Rc<Server>) -> Self {
        let (local, work) = (None, Work::Idle);
        Self {
            server,
            local,
            work,
        }
    }

    fn call_script(
        &mut self,
        exchange: &mut Exchange<'_, '_>,
        request: &Request<'_>,
        place: Place,
        asked: &str,
        query: &str,
    ) -> Result {
        let has_body = exchange.has_body();
        let known = exchange.body_left();
        let length = match has_body {
            // What is not known is put in behind the last chunk.
            true => Some(known.unwrap_or(0)),
            // A script that is told of no body may take a POST for a mistake.
            false => header(request.headers, "content-length").map(|_| 0),
        };
        if self.local.is_none() {
            let local = exchange.chat().local_addr();
            self.local = local.ok().and_then(|address| address.inet());
        }
        let no_address = SocketAddr::from(([0, 0, 0, 0], 0));
        let call = Call {
            request,
            place: &place,
            query,
            length,
            asked,
            client: exchange
                .peer()
                .and_then(asynchat::Address::inet)
                .unwrap_or(no_address),
            server: self.local.unwrap_or(no_address),
            is_secure: exchange.is_protected(),
            documents: &self.server.documents,
            software: SOFTWARE,
            passes_authorization: self.server.passes_authorization,
        };
        let variables = call.variables();
        let head_only = request.method == "HEAD";
        let order = Order {
            place,
            variables,
            head_only,
            redirects: 0,
        };
        match (has_body, known) {
            (false, _) => self.submit(exchange, order, Input::Nothing),
            (true, Some(_)) => self.submit(exchange, order, Input::Body),
            (true, None) => {
                self.work = Work::Spooling(order, Spool::new(&self.server)?);
                Ok(())
            }
        }
    }

    /// Starts a script, now or later.
    fn submit(&mut self, exchange: &mut Exchange<'_, '_>, order: Order, input: Input) -> Result {
        let pool = Rc::clone(&self.server.pool);
        match pool.room() {
            Room::Now => self.start(exchange, order, input),
            Room::Later => {
                let ticket = exchange.ticket();
                let timer =
                    exchange
                        .registry()
                        .call_later(pool.limits.waiting_time, move |registry| {
                            service::with(registry, ticket, Self::give_up_waiting);
                            Ok(())
                        });
                pool.wait(ticket);
                self.work = Work::Waiting(order, input, ticket, timer);
                Ok(())
            }
            Room::Never => unavailable(exchange),
        }
    }

    /// There is room for the script that waits.
    pub(crate) fn begin(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        match mem::replace(&mut self.work, Work::Idle) {
            Work::Waiting(order, input, _, timer) => {
                exchange.registry().cancel(timer);
                self.start(exchange, order, input)
            }
            other => {
                self.work = other;
                Ok(())
            }
        }
    }

    fn give_up_waiting(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        let Work::Waiting(_, _, ticket, _) = &self.work else {
            return Ok(());
        };
        self.server.pool.leave(*ticket);
        self.work = Work::Idle;
        unavailable(exchange)
    }

    fn start(&mut self, exchange: &mut Exchange<'_, '_>, order: Order, input: Input) -> Result {
        let pool = Rc::clone(&self.server.pool);
        let stdin = match &input {
            Input::Nothing => Stdio::null(),
            Input::Body => Stdio::piped(),
            Input::Spooled(spool) => spool.stdin()?,
        };
        let wants_body = matches!(input, Input::Body);
        let ticket = exchange.ticket();
        match pool.start(exchange.registry(), ticket, &order, stdin) {
            Ok(script) => {
                let makes_header = order
                    .place
                    .file
                    .file_name()
                    .is_some_and(|name| name.as_encoded_bytes().starts_with(b"nph-"));
                let relay = Relay::new(
                    makes_header,
                    order.head_only,
                    pool.limits.answer.unwrap_or(u64::MAX),
                );
                self.work = Work::Running(Running {
                    script,
                    relay,
                    order,
                    _input: input,
                    input_is_full: false,
                });
                if wants_body {
                    exchange.want_body();
                }
                Ok(())
            }
            Err(NotStarted { status, why }) => {
                log::error!("{}: {why}", order.place.file.display());
                match status {
                    503 => unavailable(exchange),
                    403 => exchange.error(403, "The script may not be run."),
                    _ => exchange.error(status, "The script cannot be run."),
                }
            }
        }
    }

    /// More output of the script.
    pub(crate) fn output(&mut self, exchange: &mut Exchange<'_, '_>, data: &[u8]) -> Result {
        let Work::Running(running) = &mut self.work else {
            return Ok(());
        };
        match running.relay.output(exchange, data) {
            Ok(Next::Go) => {
                let is_full = exchange.is_congested();
                running.script.hold(exchange.registry(), is_full);
                Ok(())
            }
            Ok(Next::Complete) => {
                self.dismiss(exchange.registry());
                Ok(())
            }
            Ok(Next::Local(path)) => self.redirect(exchange, &path),
            Err(error) => {
                self.fail(exchange, &error);
                Ok(())
            }
        }
    }

    /// The script has said all.
    pub(crate) fn output_ended(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        let Work::Running(running) = &mut self.work else {
            return Ok(());
        };
        match running.relay.end(exchange) {
            Ok(()) => {
                self.dismiss(exchange.registry());
            }
            Err(error) => self.fail(exchange, &error),
        }
        Ok(())
    }

    /// The answer is none, or not complete.
    fn fail(&mut self, exchange: &mut Exchange<'_, '_>, error: &asynchat::BoxError) {
        if let Work::Running(running) = mem::replace(&mut self.work, Work::Idle) {
            log::error!("{}: {error}", running.script.name);
            running.script.end(exchange.registry());
        }
        give_up(exchange, 502, "The script's answer cannot be understood.");
    }

    /// The script takes too long.
    pub(crate) fn overrun(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        self.work = Work::Idle;
        give_up(exchange, 504, "The script takes too long.");
        Ok(())
    }

    /// Whether it is the client's turn, to send more of the body or to take more of the answer.
    pub(crate) fn waits_for_client(&self, exchange: &Exchange<'_, '_>) -> bool {
        match &self.work {
            Work::Running(running) => {
                exchange.is_congested() || (exchange.has_body() && !running.input_is_full)
            }
            _ => false,
        }
    }

    /// The script takes more of the body, or none any more.
    pub(crate) fn input_drained(&mut self) {
        if let Work::Running(running) = &mut self.work {
            running.input_is_full = false;
        }
    }

    /// Answers as if the client had asked for this path (RFC 3875, 6.2.2).
    fn redirect(&mut self, exchange: &mut Exchange<'_, '_>, asked: &str) -> Result {
        let Some(mut order) = self.dismiss(exchange.registry()) else {
            return Ok(());
        };
        order.redirects += 1;
        if order.redirects > REDIRECTS {
            log::error!("{asked}: more than {REDIRECTS} redirects in the server");
            return exchange.error(502, "The scripts send each other round in circles.");
        }
        let (path, query) = split(asked);
        let server = Rc::clone(&self.server);
        let target = match Target::parse(path) {
            Ok(target) => target,
            Err(refused) => return refuse(exchange, refused),
        };
        match server.scripts.find(&target) {
            Some(Ok(place)) => {
                environment::redirect(&mut order.variables, &place, query, &server.documents);
                order.place = place;
                self.submit(exchange, order, Input::Nothing)
            }
            Some(Err(refused)) => refuse(exchange, refused),
            None => {
                let method = if order.head_only { "HEAD" } else { "GET" };
                server
                    .files
                    .answer(exchange, &target, method, None, &server.scripts)
            }
        }
    }

    /// What else the script says is not needed.
    fn dismiss(&mut self, registry: &mut Registry) -> Option<Order> {
        match mem::replace(&mut self.work, Work::Idle) {
            Work::Running(running) => {
                running.script.dismiss(registry);
                Some(running.order)
            }
            _ => None,
        }
    }

    /// Nobody waits for an answer any more.
    fn abandon(&mut self, registry: &mut Registry) {
        match mem::replace(&mut self.work, Work::Idle) {
            Work::Running(running) => running.script.end(registry),
            Work::Waiting(_, _, ticket, timer) => {
                registry.cancel(timer);
                self.server.pool.leave(ticket);
            }
            Work::Idle | Work::Spooling(..) => {}
        }
    }
}

impl Handler for CgiHandler {
    fn request(&mut self, exchange: &mut Exchange<'_, '_>, request: &Request<'_>) -> Result {
        let Some(asked) = request.origin_form() else {
            return exchange.error(400, "The target names no host.");
        };
        if matches!(request.method, "CONNECT" | "TRACE") {
            return exchange.error(501, "");
        }
        let (path, query) = split(&asked);
        let server = Rc::clone(&self.server);
        let target = match Target::parse(path) {
            Ok(target) => target,
            Err(refused) => return refuse(exchange, refused),
        };
        match server.scripts.find(&target) {
            Some(Ok(place)) => self.call_script(exchange, request, place, &asked, query),
            Some(Err(refused)) => refuse(exchange, refused),
            None => {
                let since = header(request.headers, "if-modified-since");
                server
                    .files
                    .answer(exchange, &target, request.method, since, &server.scripts)
            }
        }
    }

    fn body(&mut self, exchange: &mut Exchange<'_, '_>, data: &[u8]) -> Result {
        match &mut self.work {
            Work::Running(running) => {
                running.input_is_full = running.script.give(exchange.registry(), data);
                Ok(())
            }
            Work::Spooling(_, spool) => match spool.take(data) {
                Ok(()) => Ok(()),
                Err(error) => {
                    log::error!("a body without a length cannot be kept: {error}");
                    self.work = Work::Idle;
                    exchange.error(
                        411,
                        "Too much comes without a length: send a Content-Length.",
                    )
                }
            },
            Work::Waiting(..) | Work::Idle => Ok(()),
        }
    }

    fn body_end(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        match mem::replace(&mut self.work, Work::Idle) {
            Work::Spooling(mut order, spool) => {
                let length = spool.bytes.to_string().into_bytes();
                order.variables.insert("CONTENT_LENGTH".into(), length);
                self.submit(exchange, order, Input::Spooled(spool))
            }
            Work::Running(running) => {
                running.script.end_input(exchange.registry());
                self.work = Work::Running(running);
                Ok(())
            }
            other => {
                self.work = other;
                Ok(())
            }
        }
    }

    fn readable(&self) -> bool {
        match &self.work {
            Work::Running(running) => !running.input_is_full,
            Work::Waiting(..) => false,
            Work::Idle | Work::Spooling(..) => true,
        }
    }

    fn drained(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        if let Work::Running(running) = &self.work {
            running.script.hold(exchange.registry(), false);
        }
        Ok(())
    }

    /// It may only have ended its side, but a browser that was stopped looks the same.
    fn client_ended(&mut self, exchange: &mut Exchange<'_, '_>) -> Result {
        if !matches!(self.work, Work::Idle) {
            self.abandon(exchange.registry());
            exchange.abort();
        }
        Ok(())
    }

    /// By the service itself perhaps, which does not wait for the script.
    fn answered(&mut self, registry: &mut Registry, answered: &Answered<'_>) {
        log::info!("{answered}");
        self.abandon(registry);
    }

    fn gone(&mut self, registry: &mut Registry, _: &Closed) {
        self.abandon(registry);
    }
}

/// Path and query.
fn split(asked: &str) -> (&str, &str) {
    asked.split_once('?').unwrap_or((asked, ""))
}
