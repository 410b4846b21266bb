//! What begins with a slash, by name. Python looked for a method, `getattr(self, 'cmd_' + name)`; here a table names
//! them, and `/help` shows it.

use asynchat::ChatChannel;

use crate::user::User;

type Run = fn(&User, &mut ChatChannel<'_>, &str);

struct Command {
    names: &'static [&'static str],
    help: &'static str,
    run: Run,
}

const COMMANDS: &[Command] = &[
    Command {
        names: &["help"],
        help: "/help: this",
        run: help,
    },
    Command {
        names: &["me"],
        help: "/me DOES: say what you do",
        run: me,
    },
    Command {
        names: &["msg"],
        help: "/msg NICK TEXT: say it to one user only",
        run: msg,
    },
    Command {
        names: &["nick"],
        help: "/nick NICK: take another nick",
        run: nick,
    },
    Command {
        names: &["quit", "q"],
        help: "/quit [WORDS]: leave",
        run: quit,
    },
    Command {
        names: &["who"],
        help: "/who: show who is here",
        run: who,
    },
];

/// Runs a command line, given without its slash.
pub(crate) fn run(user: &User, chat: &mut ChatChannel<'_>, line: &str) {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let called = |command: &&Command| command.names.iter().any(|n| n.eq_ignore_ascii_case(name));
    match COMMANDS.iter().find(called) {
        Some(command) => (command.run)(user, chat, rest.trim()),
        None => chat.push(format!("*** There is no /{name}; try /help\r\n")),
    }
}

fn help(_: &User, chat: &mut ChatChannel<'_>, _: &str) {
    for command in COMMANDS {
        chat.push(format!("*** {}\r\n", command.help));
    }
}

fn me(user: &User, chat: &mut ChatChannel<'_>, does: &str) {
    let id = chat.id();
    user.with_room(chat, |room, registry| {
        if let Some(nick) = room.nick(id) {
            let line = format!("* {nick} {does}\r\n");
            room.tell(registry, None, line);
        }
    });
}

fn msg(user: &User, chat: &mut ChatChannel<'_>, rest: &str) {
    let id = chat.id();
    let Some((to, text)) = rest.split_once(' ') else {
        chat.push("*** /msg NICK TEXT\r\n");
        return;
    };
    let sent = user.with_room(chat, |room, registry| {
        let from = room.nick(id)?;
        let mut to = registry.channel(room.find(to)?)?;
        to.push(format!("[{from}] {}\r\n", text.trim()));
        Some(())
    });
    if sent.flatten().is_none() {
        chat.push(format!("*** Nobody here is called {to}.\r\n"));
    }
}

fn nick(user: &User, chat: &mut ChatChannel<'_>, nick: &str) {
    let id = chat.id();
    match user.with_room(chat, |room, registry| room.call(registry, id, nick)) {
        Some(Ok(())) => chat.push(format!("*** You are now {nick}.\r\n")),
        Some(Err(error)) => chat.push(format!("*** {error}\r\n")),
        None => {}
    }
}

fn quit(user: &User, chat: &mut ChatChannel<'_>, words: &str) {
    chat.push("*** Goodbye.\r\n");
    let why = if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    };
    user.leave(chat, &why);
}

fn who(user: &User, chat: &mut ChatChannel<'_>, _: &str) {
    let nicks = user.with_room(chat, |room, _| room.nicks().join(" "));
    chat.push(format!("*** Here: {}\r\n", nicks.unwrap_or_default()));
}
