//! The reference model: what each callback, byte and lookup may be, given what was done so far. It never predicts
//! which channel comes first, only what must not come, and what must have come in the end.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use asynchat::{Cause, Channel, ChannelId, Closed, State, TimerId};
use util::peer::announces_ends_behind_data;

use crate::{
    peer::Peer,
    program::{AtEnd, Delay, Kind, On, Outcome, Reads, Rule, Setup, Spec},
};

thread_local! {
    static MODEL: RefCell<Option<Model>> = const { RefCell::new(None) };
}

/// The model of the case running on this thread: thread-local, so that closures posted through a `Handle` reach it
/// although they have to be `Send`.
pub fn model<R>(f: impl FnOnce(&mut Model) -> R) -> R {
    MODEL.with_borrow_mut(|model| f(model.as_mut().expect("a case is running")))
}

pub fn install(model: Model) {
    MODEL.set(Some(model));
}

pub fn take() -> Model {
    MODEL.take().expect("a case is running")
}

/// What a producer in the queue counts for, as the documentation of `push_with_producer` says.
const PRODUCER_WEIGHT: usize = 512;
const HOOK_WEIGHT: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    In,
    Out,
}

/// The byte at a place of a stream: every place of every stream looks different, so that a byte lost, doubled or
/// moved shows.
pub fn byte(link: usize, direction: Direction, at: usize) -> u8 {
    let mut x = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= (link as u64 * 2 + direction as u64 + 1).wrapping_mul(0xD1B5_4A32_D192_ED03);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (x >> 56) as u8
}

pub fn bytes(link: usize, direction: Direction, from: usize, len: usize) -> Vec<u8> {
    (from..from + len)
        .map(|at| byte(link, direction, at))
        .collect()
}

/// What can be seen of a channel without touching it.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub id: ChannelId,
    pub state: State,
    pub outgoing: usize,
    pub congested: bool,
    pub reset: bool,
    /// Bytes sent on this channel.
    pub written: usize,
}

impl View {
    pub fn of(channel: &mut Channel<'_>) -> Self {
        let id = channel.id();
        let info = channel.registry().channels().find(|info| info.id == id);
        Self {
            written: info.map_or(0, |info| usize::try_from(info.bytes_out).unwrap()),
            id: channel.id(),
            state: channel.state(),
            outgoing: channel.outgoing_len(),
            congested: channel.is_congested(),
            reset: channel.is_reset(),
        }
    }
}

/// What `handle_error` was given.
#[derive(Debug)]
pub enum Told {
    Overflow,
    Text(String),
}

/// A part that was pushed with a closure.
#[derive(Debug)]
pub struct Part {
    /// Where it begins among the bytes of its link.
    begin: usize,
    len: usize,
    /// False if the push was refused, or if the queue has been handed out.
    queued: bool,
    told: bool,
    /// Its closure is not dropped.
    pub live: bool,
}

#[derive(Debug)]
pub struct Link {
    pub spec: Spec,
    pub id: Option<ChannelId>,
    pub peer: Option<Peer>,
    /// The turn it was made in.
    born: usize,
    /// Objects are numbered; this is the one that serves.
    pub object: usize,
    pub objects: usize,
    live: BTreeSet<usize>,
    counts: BTreeMap<On, usize>,
    this_turn: Vec<On>,

    pub greeted: bool,
    /// Upgraded, and `handle_secured` has not come.
    pub shaking: bool,
    pub closing: bool,
    /// Why: what may be said if it ends as begun.
    begun: Vec<Cause>,
    /// Why it was closed, if somebody did.
    causes: Vec<Cause>,
    /// The objects that were told the end.
    told_end: BTreeSet<usize>,
    /// Its object is dropped with reason: `replace` or `detach` is running.
    pub moves: bool,
    /// Closed out of a `handle_closed`: its own comes in the next turn.
    late: bool,
    /// `set_idle_timeout` was called.
    pub idled: bool,
    /// The `handle_accepted` that registered it failed.
    accept_failed: bool,
    /// `handle_error` panicked.
    panicked: bool,
    /// `shutdown_write` was called.
    pub shut: bool,
    pub closed: bool,
    told: bool,
    /// To be closed when the running callback has returned and its failure was told.
    dying: bool,
    /// A callback returned an error that means a reset.
    broken: bool,
    pub idle: bool,
    pub wish: (bool, bool),

    /// Bytes pushed and to be made by producers, in all.
    pub expected: usize,
    /// What the peer must get although the channel was taken out.
    pub left_with_socket: Option<usize>,
    /// Bytes written by earlier channels of this socket.
    pub base_out: usize,
    pub parts: Vec<Part>,
    pub producers: usize,
    /// Those of them that `detach` gave out and that are not queued again.
    pub handed_out: usize,
    pub parked: bool,
    /// Errors of producers that `handle_error` has not been given.
    failures: Vec<(String, usize)>,
    pub congested: bool,
    pub overflown: bool,
    /// All that is expected has to arrive: nobody closed or broke anything.
    pub whole: bool,

    pub delivered: usize,
    pub unread: usize,
    pub found_eof: bool,
    /// Reading was paused, for that time, in that turn.
    pub pause: Option<(Delay, usize)>,
    /// The object was told of an end that it does not read.
    pub heard_of_end: bool,
    /// How much had been delivered then.
    heard_at: usize,
    /// All the peer sent has to be delivered, even before a reset.
    pub exact: bool,
    /// Where the second address of an attempt listens, until it was reached.
    pub waiting: Option<std::net::TcpListener>,
    /// The rest of a detached socket.
    pub detached: Option<socket2::Socket>,
}

impl Link {
    pub fn new(spec: Spec, peer: Option<Peer>, born: usize) -> Self {
        Self {
            wish: (spec.readable, spec.writable),
            exact: spec.readable && spec.reads != Reads::Deaf,
            id: None,
            peer,
            born,
            object: 0,
            objects: 0,
            live: BTreeSet::new(),
            counts: BTreeMap::new(),
            this_turn: Vec::new(),
            greeted: spec.kind == Kind::Fd,
            shaking: false,
            closing: false,
            begun: Vec::new(),
            causes: Vec::new(),
            told_end: BTreeSet::new(),
            moves: false,
            late: false,
            idled: false,
            accept_failed: false,
            panicked: false,
            shut: false,
            closed: false,
            told: false,
            dying: false,
            broken: false,
            idle: false,
            expected: 0,
            left_with_socket: None,
            base_out: 0,
            parts: Vec::new(),
            producers: 0,
            handed_out: 0,
            parked: false,
            failures: Vec::new(),
            congested: false,
            overflown: false,
            whole: true,
            delivered: 0,
            unread: 0,
            found_eof: false,
            pause: None,
            heard_of_end: false,
            heard_at: 0,
            waiting: None,
            detached: None,
            spec,
        }
    }

    pub fn is_listener(&self) -> bool {
        self.spec.kind == Kind::Listener
    }

    /// Behind a filter, and `handle_connect` has not come.
    pub fn is_shaking_first(&self) -> bool {
        self.spec.filter.is_some() && !self.greeted
    }

    /// Made by `connect`.
    pub fn is_attempt(&self) -> bool {
        matches!(
            self.spec.kind,
            Kind::Connecting | Kind::SecondTry | Kind::Refused
        )
    }

    pub fn peer_sent(&self) -> usize {
        self.peer.as_ref().map_or(0, |peer| peer.sent)
    }

    fn peer_received(&self) -> usize {
        self.peer.as_ref().map_or(0, |peer| peer.received)
    }

    /// The peer sends no more.
    fn peer_ended(&self) -> bool {
        self.peer
            .as_ref()
            .is_some_and(|peer| peer.shut || peer.socket.is_none())
    }

    fn peer_is_gone(&self) -> bool {
        self.peer
            .as_ref()
            .is_some_and(|peer| peer.socket.is_none() || peer.dead)
    }

    /// A reset may have happened.
    pub fn may_be_reset(&self) -> bool {
        self.broken || self.peer_is_gone()
    }

    fn may_be_gone(&self) -> bool {
        self.closed || self.closing || self.dying || self.may_be_reset()
    }

    /// Whether it is certain that reading pauses in this turn.
    fn is_paused(&self, turn: usize) -> bool {
        match self.pause {
            None | Some((Delay::Soon, _)) => false,
            Some((Delay::Zero, since)) => since == turn,
            Some((Delay::Far, _)) => true,
        }
    }

    /// Whether the object hears of an end of its peer's only if it is told.
    fn reads_nothing(&self) -> bool {
        !self.wish.0 || matches!(self.pause, Some((Delay::Far, _)))
    }

    pub fn is_deaf(&self) -> bool {
        self.spec.reads == Reads::Deaf
    }

    /// What the queue counts for against watermarks and bound.
    pub fn weight(&self, view: View) -> usize {
        let written = self.base_out + view.written;
        let waits = |part: &&Part| part.queued && !part.told && part.begin + part.len > written;
        view.outgoing
            + (self.producers - self.handed_out) * PRODUCER_WEIGHT
            + self.parts.iter().filter(waits).count() * HOOK_WEIGHT
    }

    /// The socket was given to a new channel.
    pub fn start_again(&mut self, id: ChannelId, born: usize, written: usize) {
        if self.is_attempt() {
            self.spec.kind = Kind::Tcp;
        }
        self.id = Some(id);
        self.born = born;
        self.base_out = written;
        self.closed = false;
        self.begun.clear();
        self.causes.clear();
        self.late = false;
        self.idled = false;
        self.accept_failed = false;
        self.panicked = false;
        self.dying = false;
        self.greeted = self.spec.kind == Kind::Fd;
        self.told = false;
        self.found_eof = false;
        self.pause = None;
        self.heard_of_end = false;
        self.idle = false;
        self.congested = false;
        self.overflown = false;
        self.handed_out = self.producers;
        self.this_turn.clear();
        self.left_with_socket = None;
    }

    /// The model's side of taking the channel out.
    pub fn take_out(&mut self, left: usize) {
        self.closed = true;
        self.left_with_socket = Some(left);
        for part in &mut self.parts {
            part.queued = false;
        }
        self.parked = false;
        self.failures.clear();
        self.overflown = false;
    }

    pub fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            self.whole = false;
        }
    }

    /// A graceful end begins.
    pub fn begin(&mut self, cause: Cause) {
        if !self.closed && !self.closing {
            self.closing = true;
            self.begun = vec![cause];
            // The library itself looked for the end of file.
            if cause == Cause::Done && self.is_deaf() && self.peer_ended() {
                self.begun.push(Cause::EndOfFile);
            }
        }
    }

    /// Somebody closes it, and says why.
    pub fn close_for(&mut self, cause: Cause) {
        if self.closed {
            return;
        }
        self.close();
        self.causes = match &self.begun[..] {
            [] => vec![cause],
            begun => begun
                .iter()
                .map(|&begun| match (begun, cause) {
                    (Cause::EndOfFile, Cause::Close) => begun,
                    (Cause::Done | Cause::EndOfFile, _) => cause,
                    _ => begun,
                })
                .collect(),
        };
        if cause == Cause::Close && self.is_deaf() && self.peer_ended() {
            self.causes.push(Cause::EndOfFile);
        }
    }
}

#[derive(Debug)]
pub struct Timer {
    pub id: Option<TimerId>,
    /// The link whose timer it is, and the number of the object.
    pub owner: Option<(usize, usize)>,
    pub delay: Delay,
    pub every: bool,
    armed: usize,
    pub runs: usize,
    last_run: Option<usize>,
    pub cancelled: bool,
    /// Its closure is not dropped.
    pub live: bool,
}

#[derive(Debug)]
pub struct Job {
    /// Posted when so many turns had begun, and from inside a turn or not.
    posted: (usize, bool),
    ran: bool,
    pub live: bool,
}

#[derive(Debug)]
pub struct Model {
    pub setup: Setup,
    pub rules: Vec<Rule>,
    pub links: Vec<Link>,
    pub timers: Vec<Timer>,
    pub jobs: Vec<Job>,
    /// Peers that connected to a listener and were not accepted: its number, their port, themselves.
    pub dialled: Vec<(usize, u16, Peer)>,
    pub faults: Vec<String>,
    /// Turns begun.
    pub turns: usize,
    pub turning: bool,
    /// What runs inside the turn at the moment.
    running: Option<String>,
    /// Links whose objects are lent out by `with`, and the one whose callback runs.
    pub out: Vec<usize>,
    /// A callback failed, and nothing else may run before `handle_error` knows.
    pending: Option<(usize, String)>,
    /// The link made from the stream accepted in the running callback.
    pub adopted: Option<usize>,
    pub finishing: bool,
    /// `shutdown` was called with a grace that may be over at any time.
    pub doomed: bool,
    /// Errors of timers and posted calls that the hook has to be given.
    hook_owed: Option<String>,
    pub callbacks: usize,
    /// The callback that runs because a channel is about to end, and what it ends it for.
    occasion: Option<(ChannelId, Cause)>,
    /// A `handle_closed` is running.
    telling: bool,
    /// The reactor is being dropped.
    pub dropping: bool,
    /// The kinds of callbacks that ran at all.
    pub reached: BTreeSet<On>,
}

impl Model {
    pub fn new(setup: Setup, rules: Vec<Rule>) -> Self {
        Self {
            setup,
            rules,
            links: Vec::new(),
            timers: Vec::new(),
            jobs: Vec::new(),
            dialled: Vec::new(),
            faults: Vec::new(),
            turns: 0,
            turning: false,
            running: None,
            out: Vec::new(),
            pending: None,
            adopted: None,
            finishing: false,
            doomed: false,
            hook_owed: None,
            callbacks: 0,
            occasion: None,
            telling: false,
            dropping: false,
            reached: BTreeSet::new(),
        }
    }

    pub fn fault(&mut self, text: impl Into<String>) {
        // The first ones tell; what follows from them only fills the screen.
        if self.faults.len() < 8 {
            self.faults.push(text.into());
        }
    }

    fn fault_of(&mut self, link: usize, text: impl AsRef<str>) {
        let text = text.as_ref();
        self.fault(format!("#{link}: {text}"));
    }

    /// Nobody can say for certain that the channel is still there.
    pub fn may_be_gone(&self, link: usize) -> bool {
        self.doomed || self.links[link].may_be_gone()
    }

    // ---- objects

    pub fn made(&mut self, link: usize) -> usize {
        let link = &mut self.links[link];
        let object = link.objects;
        link.objects += 1;
        link.live.insert(object);
        object
    }

    pub fn dropped(&mut self, link: usize, object: usize) {
        let l = &mut self.links[link];
        l.live.remove(&object);
        // One that was replaced, or whose channel was taken out, is told nothing.
        let moved = l.moves || l.object != object || l.left_with_socket.is_some();
        if !moved && !l.told_end.contains(&object) && !self.dropping {
            self.fault_of(link, format!("object {object} dropped untold"));
        }
    }

    // ---- ends

    /// Why the program ends a channel at this moment; `plain` if nothing has happened to it.
    pub fn wish(&self, link: usize, view: View, plain: Cause) -> Cause {
        let l = &self.links[link];
        match self.occasion {
            Some((id, cause)) if id == view.id => cause,
            _ if view.reset => Cause::Reset,
            _ if l.found_eof && !(plain == Cause::Close && l.closing) => Cause::EndOfFile,
            _ => plain,
        }
    }

    pub fn close(&mut self, link: usize, view: View) {
        let cause = self.wish(link, view, Cause::Close);
        // What began the end gave the cause already, or gives way.
        let cause = match cause {
            Cause::Reset if self.links[link].closing => Cause::Close,
            cause => cause,
        };
        self.note_late(link);
        self.links[link].close_for(cause);
    }

    pub fn close_all(&mut self) {
        for link in 0..self.links.len() {
            self.note_late(link);
            self.links[link].close_for(Cause::CloseAll);
        }
    }

    pub fn note_late(&mut self, link: usize) {
        self.links[link].late |= self.telling && !self.links[link].closed;
    }

    /// The last callback. Gives its number.
    pub fn enter_closed(&mut self, link: usize, object: usize, why: &Closed, found: bool) -> usize {
        self.callbacks += 1;
        self.reached.insert(On::Closed);
        let mut faults = Vec::new();
        if !self.turning {
            faults.push("outside a turn".to_string());
        }
        if let Some(running) = self.running.replace(format!("handle_closed of #{link}")) {
            faults.push(format!("from inside {running}"));
        }
        if let Some((failed, text)) = &self.pending {
            faults.push(format!("before handle_error of #{failed} got {text:?}"));
        }
        self.telling = true;
        faults.extend(self.gone(link));
        let doomed = self.doomed;
        let l = &mut self.links[link];
        let mut no = |wrong: bool, text: String| {
            if wrong {
                faults.push(text);
            }
        };
        no(found, "and the channel is found".into());
        no(l.id != Some(why.channel), format!("of {}", why.channel));
        no(l.object != object, "of an object that was replaced".into());
        no(l.left_with_socket.is_some(), "after detach".into());
        no(!l.told_end.insert(object), "twice".into());
        let cause = why.cause;
        let right = if l.causes.is_empty() {
            l.begun.contains(&cause)
                || match cause {
                    Cause::Reset => l.may_be_reset(),
                    Cause::ConnectFailed => l.is_attempt() && !l.greeted,
                    Cause::AcceptFailed => l.accept_failed,
                    Cause::Shutdown => doomed,
                    Cause::IdleTimeout => l.idled && l.closing,
                    _ => false,
                }
        } else {
            l.causes.contains(&cause)
                || (cause == Cause::Shutdown && doomed)
                // It had ended before a `close_all`.
                || (cause == Cause::AcceptFailed && l.accept_failed)
        };
        // A peer that resets does not end its filter, and that is no reason that gives way to another one.
        let cut = why.cause == Cause::Truncated && l.spec.filter.is_some() && l.may_be_reset();
        let ended = [&l.begun, &l.causes].map(|causes| causes.contains(&Cause::EndOfFile));
        let right = right || (cut && ended.contains(&true));
        let (begun, causes) = (&l.begun, &l.causes);
        no(
            !right,
            format!("with {cause:?}; begun {begun:?}, closed {causes:?}"),
        );
        let sent = why.unsent == 0 || !matches!(cause, Cause::Done | Cause::LingerLimit);
        no(
            !sent,
            format!("with {cause:?} and {} bytes unsent", why.unsent),
        );
        let error = why.error.is_some();
        no(error && !l.panicked, "with an error that was taken".into());
        let count = l.counts.entry(On::Closed).or_default();
        *count += 1;
        let count = *count;
        for text in faults {
            self.fault_of(link, format!("handle_closed {text}"));
        }
        count
    }

    pub fn leave_closed(&mut self) {
        self.running = None;
        self.telling = false;
    }

    /// The channel is not found any more: whether that may be.
    fn gone(&mut self, number: usize) -> Vec<String> {
        let doomed = self.doomed;
        let l = &mut self.links[number];
        let mut faults = Vec::new();
        if l.dying {
            l.dying = false;
            l.close();
        }
        if !l.may_be_gone() && !doomed {
            faults.push("the channel is gone for no reason".to_string());
        }
        if !l.closed && !l.closing && !doomed {
            let call = if l.told { "expt(Reset)" } else { "close" };
            faults.push(format!("it is gone without handle_{call}"));
        }
        let owed_linger = l.closing && l.whole && l.spec.kind != Kind::Fd;
        if !l.closed && owed_linger && !l.peer_ended() && !l.may_be_reset() {
            faults.push("it did not wait for the peer's end of file".to_string());
        }
        if !l.closed {
            l.closed = true;
            // Nothing that was promised may still be on this side.
            l.whole &= !l.may_be_reset();
        }
        faults
    }

    pub fn is_live(&self, link: usize, object: usize) -> bool {
        self.links[link].live.contains(&object)
    }

    /// A predicate was asked.
    pub fn asked(&mut self, link: usize, object: usize, what: &str) {
        let l = &self.links[link];
        if l.closed {
            self.fault_of(link, format!("{what}() asked after close"));
        } else if l.object != object {
            self.fault_of(
                link,
                format!("{what}() asked of an object that was replaced"),
            );
        }
    }

    // ---- callbacks

    /// A callback begins. Gives its number among those of its kind.
    pub fn enter(&mut self, link: usize, object: usize, on: On, view: View) -> usize {
        self.callbacks += 1;
        self.reached.insert(on);
        let mut faults = Vec::new();
        let mut no = |wrong: bool, text: &str| {
            if wrong {
                faults.push(text.to_string());
            }
        };
        no(!self.turning, "outside a turn");
        if let Some(running) = self.running.replace(format!("handle_{on:?} of #{link}")) {
            no(true, &format!("from inside {running}"));
        }
        if let Some((failed, text)) = &self.pending {
            let owed = *failed == link && on == On::Error;
            no(
                !owed,
                &format!("before handle_error of #{failed} got {text:?}"),
            );
        }
        let turn = self.turns;
        let low = self.setup.low;
        let l = &mut self.links[link];
        no(l.closed, "after close");
        no(l.told_end.contains(&object), "after handle_closed");
        no(l.id != Some(view.id), "for another channel's id");
        no(l.object != object, "of an object that was replaced");
        // What others pushed to a descriptor leaves in that turn already: it needs no greeting first.
        let flushed = l.spec.kind == Kind::Fd && matches!(on, On::Error | On::Drain | On::Close);
        no(
            l.born == turn && self.turning && !flushed,
            "in the turn the channel was made in",
        );
        no(l.dying && on != On::Error, "after the connection broke");
        let is_stream_call = !matches!(on, On::Accepted | On::Error | On::Timer);
        no(is_stream_call && l.is_listener(), "of a listener");
        no(on == On::Accepted && !l.is_listener(), "of a stream");
        let earlier = l.this_turn.clone();
        // A channel's own timer waits for no connection, and its error neither.
        let timed = on == On::Timer || (on == On::Error && earlier.last() == Some(&On::Timer));
        let before_greeting = matches!(on, On::Connect | On::Failed | On::Accepted);
        let failed_attempt = l.dying || l.is_listener();
        no(
            !before_greeting && !timed && !l.greeted && !failed_attempt,
            "before handle_connect",
        );
        let waits = !matches!(on, On::Secured | On::Error | On::Timer | On::Closed);
        no(waits && l.shaking && !view.reset, "in the handshake");
        let again = earlier.contains(&on);
        match on {
            On::Connect => {
                no(l.greeted, "twice");
                no(l.spec.kind == Kind::Refused, "of a refused connection");
                l.greeted = true;
            }
            On::Secured => {
                no(!l.shaking, "although nothing was upgraded");
                no(l.closing, "after close_when_done");
                l.shaking = false;
            }
            On::Failed => {
                no(l.greeted, "after handle_connect");
                let possible = l.spec.kind == Kind::Refused || (l.is_attempt() && l.peer_is_gone());
                no(!possible, "although nothing failed");
                l.dying = true;
                l.whole = false;
            }
            On::Reset => {
                no(!view.reset, "although the peer is there");
                no(!l.may_be_reset(), "for a reset nobody made");
                no(!l.told, "before handle_close");
                no(l.closing, "after close_when_done");
                no(view.outgoing > 0, "with a queue left");
                l.dying = true;
                l.whole = false;
            }
            On::Ended => {
                no(!l.peer_ended(), "although the peer goes on");
                // Again after each read that used input, and of what was given back.
                let again = l.heard_of_end && l.heard_at == l.delivered;
                no(again && l.unread == 0, "twice");
                no(l.wish.0 && l.pause.is_none(), "although it reads");
                no(l.told || l.found_eof, "after the end of file");
                no(l.spec.kind == Kind::Fd, "of a descriptor");
                no(l.closing, "after close_when_done");
                no(view.reset, "after a reset");
                l.heard_of_end = true;
                l.heard_at = l.delivered;
            }
            On::Read => {
                no(again, "twice in one turn");
                let too_late = [On::Close, On::Write, On::Drain];
                no(
                    earlier.iter().any(|on| too_late.contains(on)),
                    &format!("after {earlier:?} in one turn"),
                );
                no(l.closing, "after close_when_done");
                no(!l.wish.0, "although readable() is false");
                no(l.is_paused(turn), "in a pause");
                l.pause.take_if(|(time, _)| *time == Delay::Soon);
                no(l.told && l.unread == 0, "after handle_close");
            }
            On::Write => {
                no(again, "twice in one turn");
                no(l.closing, "after close_when_done");
                no(l.shut, "after shutdown_write");
                no(!l.wish.1, "although writable() is false");
                no(
                    view.outgoing > 0 || l.producers > 0,
                    "although the queue is not empty",
                );
                no(view.reset, "after a reset");
            }
            On::Close => {
                no(l.told, "twice");
                no(l.closing && !view.reset, "after close_when_done");
                if view.reset {
                    no(!l.may_be_reset(), "for a reset nobody made");
                    no(view.outgoing > 0, "with a queue left after a reset");
                    if l.exact && !l.broken && !l.closing {
                        no(
                            l.delivered != l.peer_sent() || l.unread > 0,
                            &format!(
                                "for a reset, with {} of {} bytes delivered and {} given back",
                                l.delivered,
                                l.peer_sent(),
                                l.unread
                            ),
                        );
                    }
                    l.dying = true;
                    l.whole = false;
                } else {
                    no(!l.peer_ended(), "although the peer goes on");
                    no(l.is_paused(turn), "in a pause");
                    if !l.is_deaf() {
                        no(!l.found_eof, "before anybody read the end of file");
                        no(
                            l.delivered != l.peer_sent() || l.unread > 0,
                            &format!(
                                "with {} of {} bytes delivered and {} given back",
                                l.delivered,
                                l.peer_sent(),
                                l.unread
                            ),
                        );
                    }
                }
                l.told = true;
            }
            On::Drain => {
                no(!l.congested, "without congestion");
                no(view.congested, "and still congested");
                no(view.outgoing > low, "above the low mark");
                no(l.closing, "after close_when_done");
                l.congested = false;
            }
            On::Timeout => no(!l.idle, "without an idle timeout"),
            On::Error | On::Accepted | On::Timer | On::Closed => {}
        }
        self.occasion = match on {
            On::Timeout => Some((view.id, Cause::IdleTimeout)),
            On::Failed => Some((view.id, Cause::ConnectFailed)),
            _ => None,
        };
        l.this_turn.push(on);
        let count = l.counts.entry(on).or_default();
        *count += 1;
        let count = *count;
        for text in faults {
            self.fault_of(link, format!("handle_{on:?} {text}").to_lowercase());
        }
        count
    }

    /// What `handle_error` got.
    pub fn told_error(&mut self, link: usize, told: &Told, written: usize) {
        let l = &self.links[link];
        let failed_attempt = l.is_attempt() && !l.greeted;
        let cause = match told {
            Told::Overflow => Cause::OutgoingFull,
            Told::Text(text) if text.starts_with("panicked: ") => Cause::Panic,
            Told::Text(_) if failed_attempt && l.dying => Cause::ConnectFailed,
            Told::Text(_) => Cause::Error,
        };
        self.occasion = l.id.map(|id| (id, cause));
        if let Some((owner, text)) = self.pending.take_if(|(owner, _)| *owner == link) {
            match told {
                Told::Text(got) if *got == text => {}
                _ => self.fault_of(owner, format!("handle_error got {told:?} and not {text:?}")),
            }
            return;
        }
        let l = &mut self.links[link];
        match told {
            Told::Overflow if l.overflown => l.overflown = false,
            Told::Overflow => self.fault_of(link, "OutgoingFull for nothing"),
            Told::Text(text) => {
                let place = l.failures.iter().position(|(failed, _)| failed == text);
                match place.map(|place| l.failures.remove(place)) {
                    None => self.fault_of(link, format!("handle_error for nothing: {text:?}")),
                    Some((_, at)) if l.base_out + written != at => {
                        let sent = l.base_out + written;
                        self.fault_of(
                            link,
                            format!("{text:?} told at byte {sent} of the stream, not at {at}"),
                        );
                    }
                    Some(_) => {}
                }
            }
        }
    }

    /// A callback of the channel `id` returns.
    pub fn leave(&mut self, link: usize, id: ChannelId, on: On, outcome: Outcome, text: String) {
        self.running = None;
        self.occasion = None;
        let adopted = self.adopted.take();
        let failed = matches!(outcome, Outcome::Err | Outcome::Panic);
        if on == On::Accepted
            && (failed || outcome == Outcome::Broken)
            && let Some(stream) = adopted
        {
            // `handle_error` of the listener comes first.
            self.links[stream].dying = true;
            self.links[stream].accept_failed = true;
            self.links[stream].whole = false;
            if outcome == Outcome::Broken {
                return;
            }
        }
        let l = &mut self.links[link];
        if l.closed || l.id != Some(id) {
            return;
        }
        if on == On::Error {
            if outcome == Outcome::Panic && !l.is_listener() {
                l.panicked = true;
                l.close_for(Cause::Panic);
            }
        } else if failed || (on == On::Failed && outcome != Outcome::Fine) {
            // The outcome of an attempt, passed on, is never taken for something else.
            self.pending = Some((link, text));
        } else if outcome == Outcome::Broken && !l.is_listener() {
            l.broken = true;
            l.whole = false;
        }
    }

    /// Reading is to pause.
    pub fn paused(&mut self, link: usize, time: Delay) {
        // A pause from outside a turn is over when the next begins.
        let turn = self.turns;
        let l = &mut self.links[link];
        if !l.closed && !l.closing {
            l.pause = Some((time, turn));
            // A reset does not wait for what is not read.
            l.exact = false;
        }
    }

    /// A connection was accepted while so many channels were open.
    pub fn accepted(&mut self, link: usize, channels: usize) {
        let listeners = self
            .links
            .iter()
            .filter(|l| l.is_listener() && !l.closed)
            .count();
        if channels - listeners >= self.setup.max_channels {
            self.fault_of(link, "accepted past max_channels");
        }
    }

    /// What the rules want of this callback.
    pub fn rule(&self, link: usize, on: On, nth: usize) -> Option<Rule> {
        self.rules
            .iter()
            .find(|rule| !self.finishing && rule.link == link && rule.on == on && rule.nth == nth)
            .cloned()
    }

    // ---- filters

    /// Whether a channel may be upgraded so that its handshake does not fail.
    pub fn may_upgrade(&self, link: usize, view: View) -> bool {
        let l = &self.links[link];
        let open = l.greeted && !l.closing && !l.shut && !l.closed && !l.dying && !view.reset;
        let stream = l.spec.kind != Kind::Fd && !l.is_listener() && l.spec.filter.is_none();
        let ended = l.told || l.found_eof || l.heard_of_end || l.may_be_reset();
        let peer = l.peer.as_ref().is_some_and(Peer::can_upgrade);
        // What was read in clear is not to be read again through the filter.
        let unread = l.delivered != l.peer_sent() || l.unread > 0;
        open && stream && !ended && peer && !unread && !self.finishing
    }

    pub fn upgraded(&mut self, link: usize, trips: usize) {
        let l = &mut self.links[link];
        l.spec.filter = Some(trips);
        l.shaking = true;
        let clear = l.expected - l.peer_received();
        if let Some(peer) = &mut l.peer {
            peer.upgrade(trips, clear);
        }
    }

    // ---- bytes

    /// A push of `n` bytes and of `producers`, onto what `view` shows: whether it is taken.
    pub fn takes(&mut self, link: usize, n: usize, producers: usize, view: View) -> bool {
        self.takes_with(link, n, producers * PRODUCER_WEIGHT, view)
    }

    /// A push of `len` bytes with a closure: its number, and whether it is taken.
    pub fn pushed_then(&mut self, link: usize, len: usize, view: View) -> (usize, bool) {
        let begin = self.links[link].expected;
        let queued = self.takes_with(link, len, HOOK_WEIGHT, view);
        let l = &mut self.links[link];
        l.parts.push(Part {
            begin,
            len,
            queued,
            told: false,
            live: true,
        });
        (l.parts.len() - 1, queued)
    }

    /// The closure of a part runs; `view` is of its channel, if that is there.
    pub fn enter_part(
        &mut self,
        link: usize,
        number: usize,
        bytes: usize,
        complete: bool,
        view: Option<View>,
    ) {
        self.enter_closure(&format!("the closure of part {number} of #{link}"));
        let turning = self.turning;
        let l = &mut self.links[link];
        let part = &l.parts[number];
        let mut faults = Vec::new();
        if !turning {
            faults.push("outside a turn");
        }
        if part.told {
            faults.push("twice");
        }
        if part.queued
            && l.parts[..number]
                .iter()
                .any(|part| part.queued && !part.told)
        {
            faults.push("before an earlier one");
        }
        if complete != (bytes == part.len) || bytes > part.len {
            faults.push("with a wrong number of bytes");
        }
        let end = part.begin + part.len;
        if complete && view.is_some_and(|view| part.queued && l.base_out + view.written < end) {
            faults.push("before it had left");
        }
        if !complete && part.queued && !l.may_be_gone() && l.failures.is_empty() && !self.doomed {
            faults.push("and it is cut off, although nothing ended the channel");
        }
        l.parts[number].told = true;
        for text in faults {
            self.fault_of(link, format!("part {number} was told {text}"));
        }
    }

    fn takes_with(&mut self, link: usize, n: usize, others: usize, view: View) -> bool {
        let (high, max) = (self.setup.high, self.setup.max_outgoing);
        let l = &mut self.links[link];
        if l.closed || l.closing || l.shut || view.reset || l.is_listener() {
            return false;
        }
        let len = l.weight(view) + n + others;
        if len > max || l.overflown {
            l.overflown = true;
            return false;
        }
        l.congested |= len > high;
        l.expected += n;
        true
    }

    /// Somebody read `data`.
    pub fn read(&mut self, link: usize, data: &[u8]) {
        let l = &mut self.links[link];
        let wrong = data
            .iter()
            .enumerate()
            .find(|&(at, got)| *got != byte(link, Direction::In, l.delivered + at))
            .map(|(at, _)| l.delivered + at);
        l.delivered += data.len();
        l.unread = l.unread.saturating_sub(data.len());
        let (delivered, sent) = (l.delivered, l.peer_sent());
        if let Some(at) = wrong {
            self.fault_of(
                link,
                format!("byte {at} of the input is wrong: lost, doubled or moved"),
            );
        } else if delivered > sent {
            self.fault_of(link, format!("{delivered} bytes read, {sent} sent"));
        }
    }

    /// Somebody read an end of file.
    pub fn read_eof(&mut self, link: usize) {
        let l = &mut self.links[link];
        l.found_eof = true;
        let (delivered, sent) = (l.delivered, l.peer_sent());
        if !l.peer_ended() && !l.broken {
            self.fault_of(link, "end of file, and the peer goes on");
        } else if delivered != sent && l.exact && !l.closing && !l.broken {
            self.fault_of(
                link,
                format!("end of file after {delivered} of {sent} bytes"),
            );
        }
    }

    /// The peer read `data`.
    pub fn peer_read(&mut self, link: usize, data: &[u8]) {
        let expected = self.links[link].expected;
        let Some(peer) = &mut self.links[link].peer else {
            return;
        };
        let wrong = data
            .iter()
            .enumerate()
            .find(|&(at, got)| *got != byte(link, Direction::Out, peer.received + at))
            .map(|(at, _)| peer.received + at);
        peer.received += data.len();
        let received = peer.received;
        if let Some(at) = wrong {
            self.fault_of(
                link,
                format!("byte {at} of the output is wrong: lost, doubled or moved"),
            );
        } else if received > expected {
            self.fault_of(link, format!("the peer got {received} bytes of {expected}"));
        }
    }

    /// The peer could not send.
    pub fn peer_is_refused(&mut self, link: usize) {
        let l = &self.links[link];
        let lingers = l.closing && l.whole && l.spec.kind != Kind::Fd;
        if !l.closed && (!l.closing || lingers) && !l.may_be_reset() && !self.doomed {
            self.fault_of(link, "nobody takes what the peer sends");
        }
    }

    /// The peer read an end of file, or found the connection broken.
    pub fn peer_ends(&mut self, link: usize, broken: bool) {
        let l = &self.links[link];
        let how = if broken { "reset" } else { "end of file" };
        let (received, expected) = (l.peer_received(), l.expected);
        let whole = l.whole && l.left_with_socket.is_none();
        if !l.may_be_gone() && !l.shut && !self.doomed {
            self.fault_of(link, format!("{how} at the peer of an open channel"));
        } else if whole && received != expected {
            self.fault_of(
                link,
                format!("{how} at the peer after {received} of {expected} bytes"),
            );
        }
    }

    pub fn producer_failed(&mut self, link: usize, text: String, at: usize) {
        self.links[link].failures.push((text, at));
    }

    // ---- timers and jobs

    pub fn armed(&mut self, delay: Delay, every: bool) -> usize {
        self.timers.push(Timer {
            id: None,
            owner: None,
            delay,
            every,
            armed: self.turns,
            runs: 0,
            last_run: None,
            cancelled: false,
            live: true,
        });
        // Outside a turn the turn that comes may run it.
        if !self.turning
            && let Some(timer) = self.timers.last_mut()
        {
            timer.armed = self.turns.wrapping_sub(1);
        }
        self.timers.len() - 1
    }

    /// A timer of a channel's own, whose object may be gone already.
    pub fn armed_by(&mut self, link: usize, delay: Delay, every: bool) -> usize {
        let number = self.armed(delay, every);
        self.timers[number].owner = Some((link, self.links[link].object));
        number
    }

    /// Whether the object that a timer would be lent is gone: the timer has ended with it.
    fn has_lost_its_owner(&self, number: usize) -> bool {
        let gone = |(link, object): (usize, usize)| {
            let l = &self.links[link];
            l.closed || l.object != object || !l.live.contains(&object)
        };
        self.timers[number].owner.is_some_and(gone)
    }

    /// Whether the owner of a timer may linger, which ends its timers too.
    fn may_linger(&self, number: usize) -> bool {
        self.timers[number]
            .owner
            .is_some_and(|(link, _)| self.may_be_gone(link))
    }

    /// What `cancel` has to answer, if that is known.
    pub fn is_pending(&self, number: usize) -> Option<bool> {
        let timer = &self.timers[number];
        if timer.cancelled || (timer.runs > 0 && !timer.every) || self.has_lost_its_owner(number) {
            return Some(false);
        }
        (!self.may_linger(number)).then_some(true)
    }

    pub fn enter_timer(&mut self, number: usize) {
        self.note_run(number);
        self.enter_closure(&format!("timer {number}"));
    }

    /// Of a channel's own timer: what runs then is a callback.
    pub fn enter_own_timer(&mut self, number: usize) {
        self.note_run(number);
        if self.has_lost_its_owner(number) {
            self.fault(format!("timer {number} ran after its object was gone"));
        }
    }

    fn note_run(&mut self, number: usize) {
        let (turns, turning) = (self.turns, self.turning);
        let timer = &mut self.timers[number];
        let mut faults = Vec::new();
        if !turning {
            faults.push("outside a turn");
        }
        if timer.cancelled {
            faults.push("after it was cancelled");
        }
        if timer.runs > 0 && !timer.every {
            faults.push("twice");
        }
        if timer.armed == turns {
            faults.push("in the turn it was armed in");
        }
        if timer.last_run == Some(turns) {
            faults.push("twice in one turn");
        }
        if timer.delay == Delay::Far && !timer.every {
            faults.push("an hour too early");
        }
        timer.runs += 1;
        timer.last_run = Some(turns);
        for text in faults {
            self.fault(format!("timer {number} ran {text}"));
        }
    }

    fn enter_closure(&mut self, name: &str) {
        if let Some((link, text)) = &self.pending {
            let text = format!("{name} ran before handle_error of #{link} got {text:?}");
            self.fault(text);
        }
        if let Some(running) = self.running.replace(name.to_string()) {
            self.fault(format!("{name} ran inside {running}"));
        }
    }

    pub fn leave_closure(&mut self, told: Option<String>) {
        self.running = None;
        self.hook_owed = told;
    }

    /// The error hook was called.
    pub fn hooked(&mut self, text: &str) {
        if self.hook_owed.as_deref() != Some(text) {
            let owed = self.hook_owed.take();
            self.fault(format!("the error hook got {text:?} and not {owed:?}"));
        }
        self.hook_owed = None;
    }

    pub fn posted(&mut self) -> usize {
        self.jobs.push(Job {
            posted: (self.turns, self.turning),
            ran: false,
            live: true,
        });
        self.jobs.len() - 1
    }

    pub fn enter_job(&mut self, number: usize) {
        let turning = self.turning;
        let job = &mut self.jobs[number];
        let again = std::mem::replace(&mut job.ran, true);
        if again || !turning {
            self.fault(format!("call {number} ran twice or outside a turn"));
        }
        self.enter_closure(&format!("call {number}"));
    }

    // ---- turns

    pub fn begin_turn(&mut self) {
        self.turns += 1;
        self.turning = true;
        for link in &mut self.links {
            link.this_turn.clear();
            link.pause.take_if(|(time, _)| *time == Delay::Zero);
        }
    }

    /// A turn is over; `look` finds a channel without touching it.
    pub fn end_turn(&mut self, mut look: impl FnMut(ChannelId) -> Option<View>) {
        self.turning = false;
        if let Some(text) = self.hook_owed.take() {
            self.fault(format!("the error hook never got {text:?}"));
        }
        if let Some((link, text)) = self.pending.take() {
            self.fault_of(link, format!("handle_error never got {text:?}"));
        }
        for number in 0..self.links.len() {
            let view = self.links[number].id.and_then(&mut look);
            self.check_link(number, view);
        }
        let turns = self.turns;
        for number in 0..self.timers.len() {
            let timer = &self.timers[number];
            let due = timer.delay == Delay::Zero && !timer.every && !timer.cancelled;
            let gone = self.has_lost_its_owner(number);
            let unknown = !gone && self.may_linger(number);
            if due && !gone && !unknown && timer.runs == 0 && timer.armed != turns {
                self.fault(format!("timer {number} was due and did not run"));
            }
            let timer = &self.timers[number];
            let over = gone || timer.cancelled || (timer.runs > 0 && !timer.every);
            if over == timer.live && (over || !unknown) {
                let (over, live) = (over, timer.live);
                self.fault(format!(
                    "timer {number}: over {over}, its closure alive {live}"
                ));
            }
        }
        for number in 0..self.jobs.len() {
            let job = &self.jobs[number];
            let due = job.posted.0 < turns;
            let (ran, live) = (job.ran, job.live);
            if due && !ran {
                self.fault(format!("call {number} was due and did not run"));
            } else if ran == live {
                self.fault(format!(
                    "call {number}: ran {ran}, its closure alive {live}"
                ));
            }
        }
    }

    fn check_link(&mut self, number: usize, view: Option<View>) {
        let turns = self.turns;
        if self.links[number].id.is_none() {
            return;
        }
        let mut faults = Vec::new();
        if view.is_none() {
            faults.extend(self.gone(number));
        }
        let l = &mut self.links[number];
        if l.dying {
            l.dying = false;
            l.close();
        }
        match view {
            None => {
                if !l.live.is_empty() && !std::mem::take(&mut l.late) {
                    faults.push(format!("closed, and objects {:?} live", l.live));
                }
                if l.producers > 0 && l.detached.is_none() {
                    faults.push(format!("closed, and {} producers live", l.producers));
                }
            }
            Some(_) if l.closed => faults.push("closed, and still found by its id".to_string()),
            Some(view) => {
                let expected = match l.spec.kind {
                    Kind::Listener => State::Listening,
                    _ if l.closing => State::Closing,
                    _ if l.is_attempt() && !l.greeted => State::Connecting,
                    _ if l.spec.filter.is_some() && !l.greeted => State::Connecting,
                    _ => State::Open,
                };
                // A connection attempt says so even when it is to close.
                let connecting = view.state == State::Connecting && !l.greeted;
                if view.state != expected && !(connecting && l.closing) {
                    faults.push(format!("its state is {:?}, not {expected:?}", view.state));
                }
                let due = l.born < turns
                    && l.spec.filter.is_none_or(|trips| trips == 0 && !l.closing)
                    && matches!(l.spec.kind, Kind::Narrow | Kind::Tcp | Kind::Accepted);
                if due && !l.greeted {
                    faults.push("handle_connect did not come".to_string());
                }
                if !l.closing && !l.may_be_reset() && view.congested != l.congested {
                    faults.push(format!(
                        "congested: {}, expected: {}",
                        view.congested, l.congested
                    ));
                }
                let only = BTreeSet::from([l.object]);
                if l.live != only {
                    faults.push(format!(
                        "objects {:?} live, and {} serves",
                        l.live, l.object
                    ));
                }
                let left = l.base_out + view.written;
                // What is sealed counts as sent, and a part of it is told when all of it has left.
                let sealed = l.spec.filter.is_some() && view.outgoing > 0;
                let is_late = |part: &&Part| {
                    part.queued && !part.told && part.begin + part.len <= left && !sealed
                };
                if let Some(late) = l.parts.iter().find(is_late) {
                    faults.push(format!("not told that it has left: {late:?}"));
                }
                if view.outgoing > l.expected {
                    faults.push(format!(
                        "{} bytes queued of {} pushed",
                        view.outgoing, l.expected
                    ));
                }
            }
        }
        for text in faults {
            self.fault_of(number, text);
        }
    }

    /// What has still to come before the reactor can be said to have done all it has to.
    pub fn owed(&self, mut look: impl FnMut(ChannelId) -> Option<View>) -> Vec<String> {
        let mut owed = Vec::new();
        let connections = self
            .links
            .iter()
            .filter(|l| !l.is_listener() && l.id.is_some_and(|id| look(id).is_some()))
            .count();
        for (number, l) in self.links.iter().enumerate() {
            let mut owes = |text: String| owed.push(format!("#{number}: {text}"));
            if let Some(left) = l.left_with_socket {
                if !l.peer_is_gone() && l.peer_received() != left && l.whole {
                    owes(format!(
                        "the peer has {} of the {left} bytes sent before detach",
                        l.peer_received()
                    ));
                }
                continue;
            }
            let Some(id) = l.id else { continue };
            let Some(view) = look(id) else {
                if !l.live.is_empty() {
                    owes("handle_closed has not come".into());
                }
                if l.parts.iter().any(|part| !part.told) {
                    owes("not all parts are told".into());
                }
                let whole = l.whole && !l.peer_is_gone();
                if whole && l.peer.is_some() && l.peer_received() != l.expected {
                    owes(format!(
                        "closed gracefully, and the peer has {} of {} bytes",
                        l.peer_received(),
                        l.expected
                    ));
                }
                continue;
            };
            if l.is_listener() {
                let room = connections < self.setup.max_channels;
                if room && !l.reads_nothing() && self.dialled.iter().any(|(to, ..)| *to == number) {
                    owes("somebody waits to be accepted".into());
                }
                continue;
            }
            if l.spec.kind == Kind::Refused {
                owes("the refused connection is not told".into());
                continue;
            }
            // A handshake is not made for a channel that has nothing to send.
            let may_end = l.closing && l.spec.filter.is_some();
            if !l.greeted && !may_end {
                owes("handle_connect has not come".into());
                continue;
            }
            if l.shaking && !l.closing && !l.parked {
                owes("handle_secured has not come".into());
            }
            if l.shaking && !l.closing {
                continue;
            }
            if view.reset {
                owes("reset, and still there".into());
                continue;
            }
            if l.overflown && l.greeted {
                owes("OutgoingFull was not told".into());
            }
            if l.congested && !l.closing && l.weight(view) <= self.setup.low {
                owes("handle_drain has not come".into());
            }
            let ends = |peer: &Peer| peer.ends && !peer.shut && !peer.dead && peer.socket.is_some();
            if !l.parked && l.peer.as_ref().is_some_and(ends) {
                owes("the peer has not sent its end".into());
            }
            if l.parked && self.finishing {
                owes("a producer still says that it has nothing".into());
            }
            let reachable = l
                .peer
                .as_ref()
                .is_some_and(|peer| peer.socket.is_some() && !peer.dead);
            let sent = view.outgoing == 0 && l.producers == 0;
            if !l.parked && reachable {
                if !sent {
                    owes(format!(
                        "{} bytes and {} producers wait in the queue",
                        view.outgoing, l.producers
                    ));
                } else if l.whole && l.peer_received() != l.expected {
                    owes(format!(
                        "the peer has {} of {} bytes",
                        l.peer_received(),
                        l.expected
                    ));
                }
            }
            if sent
                && reachable
                && (l.closing || l.shut)
                && !l.peer.as_ref().is_some_and(|peer| peer.saw_eof)
            {
                owes("the peer was not told that nothing more comes".into());
            }
            if sent && l.closing && l.peer_ended() {
                owes("all is sent, the peer has ended, and the channel is there".into());
            }
            let writes = l.wish.1 && !l.closing && !l.shut && !l.is_deaf() && reachable;
            if writes && sent && !l.this_turn.contains(&On::Write) {
                owes("handle_write did not come in this turn".into());
            }
            // Behind much unread input even the kernel does not see the end.
            let unread = l.peer_sent() - l.delivered.min(l.peer_sent());
            // The end of a filter is a record, which an object that does not read leaves there.
            let nothing_before = unread == 0 && l.spec.filter.is_none();
            let seen = nothing_before || (unread < 20_000 && announces_ends_behind_data());
            if !l.reads_nothing() && !l.closing {
                if !l.is_deaf()
                    && !l.peer_is_gone()
                    && (l.delivered != l.peer_sent() || l.unread > 0)
                {
                    owes(format!(
                        "{} of {} bytes are delivered, {} were given back",
                        l.delivered,
                        l.peer_sent(),
                        l.unread
                    ));
                }
                if l.peer_ended() && !l.told && (seen || !l.is_deaf()) {
                    owes("the peer has ended, and handle_close has not come".into());
                }
            }
            let told_of_end = l.heard_of_end || l.told || l.found_eof;
            if l.reads_nothing()
                && l.peer_ended()
                && !told_of_end
                && seen
                && !l.closing
                && !l.is_deaf()
                && !l.may_be_reset()
                && l.spec.kind != Kind::Fd
                && !cfg!(mio_unsupported_force_poll_poll)
            {
                owes("the peer has ended, and the object that does not read is not told".into());
            }
            if l.peer_is_gone()
                && !l.closing
                && !l.told
                && !l.wish.0
                && l.peer.as_ref().is_some_and(|peer| peer.reset)
            {
                owes("the peer has reset, and handle_close has not come".into());
            }
        }
        for (number, timer) in self.timers.iter().enumerate() {
            let over =
                timer.cancelled || self.has_lost_its_owner(number) || self.may_linger(number);
            if timer.runs == 0 && !over && timer.delay != Delay::Far && !timer.every {
                owed.push(format!("timer {number} has not run"));
            }
        }
        owed
    }

    pub fn parked_at_the_end(&self) -> Vec<usize> {
        let parked = |number: &usize| self.finishing && self.links[*number].parked;
        (0..self.links.len()).filter(parked).collect()
    }

    /// After everything is dropped.
    pub fn check_end(&mut self) {
        let mut faults = Vec::new();
        for (number, link) in self.links.iter().enumerate() {
            if !link.live.is_empty() {
                faults.push(format!(
                    "#{number}: objects {:?} were never dropped",
                    link.live
                ));
            }
            if link.parts.iter().any(|part| part.live) {
                faults.push(format!("#{number}: a closure was never dropped"));
            }
            if link.producers > 0 {
                faults.push(format!(
                    "#{number}: {} producers were never dropped",
                    link.producers
                ));
            }
        }
        for (number, timer) in self.timers.iter().enumerate() {
            if timer.live {
                faults.push(format!("timer {number}: its closure was never dropped"));
            }
        }
        for (number, job) in self.jobs.iter().enumerate() {
            if job.live {
                faults.push(format!("call {number}: its closure was never dropped"));
            }
        }
        for text in faults {
            self.fault(text);
        }
    }

    /// Whether anything would run later by itself.
    pub fn waits_for_time(&self) -> bool {
        self.timers.iter().enumerate().any(|(number, timer)| {
            let over = timer.cancelled || self.has_lost_its_owner(number);
            timer.delay == Delay::Soon && timer.runs == 0 && !over
        }) || self
            .links
            .iter()
            .any(|l| matches!(l.pause, Some((Delay::Soon, _))))
    }

    pub fn at_end(&self, link: usize, on: On) -> AtEnd {
        match on {
            On::Close => self.links[link].spec.at_close,
            _ => self.links[link].spec.at_error,
        }
    }
}
