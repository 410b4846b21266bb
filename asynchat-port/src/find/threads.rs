//! Threads, processes, signals, timers, and other loops.

use crate::{
    find::{call::Call, findings::Findings, here::Here},
    syntax::Node,
};

/// Methods that end or begin a pause, and so are given to a timer.
const PAUSES: [&str; 4] = [
    "add_channel",
    "resume_reading",
    "set_reading",
    "set_readable",
];

/// At a call.
pub(crate) fn visit(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let place = call.node;
    touched_in_thread(here, out, call);
    let is_in_channel = here
        .class_around(call.scope)
        .is_some_and(|class| here.context.root(class.id).is_some());
    if !here.context.is_concerned(here.module) {
        return;
    }
    if call.starts_thread() {
        out.idiom(place, 50);
    }
    if call.is_timer() {
        timer(here, out, call);
    }
    if call.name == "reset"
        && is_in_channel
        && call
            .object
            .is_some_and(|object| is_named(here, object, &["idle", "timer", "timeout"]))
    {
        out.idiom(place, 56);
    }
    if call.name == "pull_trigger" {
        out.idiom(place, 50);
    }
    match call.foreign() {
        Some(name @ ("os.fork" | "os.forkpty" | "pty.fork" | "multiprocessing.Process")) => {
            out.difference(place, "`os.fork()`", name);
        }
        Some("os.write")
            if call
                .arguments
                .first()
                .is_some_and(|&file| is_named(here, file, &["trigger", "wake"])) =>
        {
            out.idiom(place, 50);
        }
        Some("signal.signal") => out.idiom(place, 58),
        Some("subprocess.Popen" | "popen2.Popen3" | "popen2.popen2") => out.idiom(place, 64),
        Some(name) if name.starts_with("asyncio.") || name.starts_with("twisted.internet.") => {
            out.idiom(place, 60);
        }
        _ => {}
    }
}

/// A method of a channel, called in a thread that the loop does not run in.
fn touched_in_thread(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let reach = &here.context.reach;
    let in_thread = call
        .function()
        .is_some_and(|function| reach.in_worker(function) && !reach.in_callback(function));
    if in_thread && here.is_on_channel(call) && acts_on_channel(call.name) {
        out.idiom_because(call.node, 50, &format!("`{}` in a thread", call.name));
    }
}

fn acts_on_channel(name: &str) -> bool {
    matches!(
        name,
        "push"
            | "push_with_producer"
            | "send"
            | "close"
            | "close_when_done"
            | "set_terminator"
            | "add_channel"
            | "del_channel"
            | "initiate_send"
            | "handle_close"
            | "connect"
            | "discard_buffers"
    )
}

fn timer(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let tree = here.tree;
    let pause = call.arguments.iter().find_map(|&argument| {
        let name = tree
            .child(argument, "attribute")
            .filter(|_| tree.kind(argument) == "attribute")?;
        PAUSES.iter().find(|&&pause| pause == tree.text(name))
    });
    match pause {
        Some(&"add_channel") => out.idiom(call.node, 36),
        Some(_) => out.idiom(call.node, 45),
        None => {}
    }
    out.difference(call.node, "a timeout is an entry in a list", call.name);
}

/// The last part of a dotted name has one of the words in it.
fn is_named(here: Here<'_, '_>, node: Node, words: &[&str]) -> bool {
    let text = here.tree.text(node).to_lowercase();
    let last = text.rsplit('.').next().unwrap_or_default().to_owned();
    words.iter().any(|word| last.contains(word))
}

/// At an assignment: `self.deadline = time.time() + seconds`.
pub(crate) fn assignment(here: Here<'_, '_>, out: &mut Findings<'_, '_>, node: Node) {
    let tree = here.tree;
    let (Some(left), Some(right)) = (tree.child(node, "left"), tree.child(node, "right")) else {
        return;
    };
    let is_sum = tree.kind(right) == "binary_operator" && tree.kind(left) == "attribute";
    let clock = tree
        .child(right, "left")
        .filter(|_| is_sum)
        .and_then(|clock| here.calls.at(clock));
    let is_own = tree
        .child(left, "object")
        .filter(|_| is_sum)
        .is_some_and(|object| here.is_own_channel(object));
    if is_own
        && clock
            .is_some_and(|clock| matches!(clock.foreign(), Some("time.time" | "time.monotonic")))
    {
        out.idiom(node, 57);
    }
}

/// At a call: datagrams, descriptors and options of sockets.
pub(crate) fn socket(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let Some(object) = call.object else {
        return;
    };
    let concerned = here.is_socket_of_channel(object)
        || here.is_on_channel(call)
        || matches!(here.type_of(object), Some(crate::find::types::Type::Foreign(name)) if name == "socket.socket")
            && here.context.is_concerned(here.module);
    if !concerned {
        return;
    }
    let mentions = |word: &str| {
        call.arguments
            .iter()
            .any(|&argument| here.tree.text(argument).ends_with(word))
    };
    match call.name {
        "recvfrom" | "sendto" => out.idiom(call.node, 61),
        "sendmsg" | "recvmsg" => out.idiom(call.node, 65),
        "getsockopt" if mentions("SO_PEERCRED") => out.idiom(call.node, 65),
        "setsockopt" => out.idiom(call.node, 63),
        "recv" if mentions("MSG_PEEK") => out.idiom(call.node, 49),
        _ => {}
    }
}
