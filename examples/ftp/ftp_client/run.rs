//! The commands of a run, one after another.

use std::{cell::Cell, collections::VecDeque, rc::Rc};

use asynchat::{BoxError, Registry, Result};
use shared::{
    ftp::{Ask, Client, Command, Fetch, What},
    reply::Reply,
    saving::Target,
};

use crate::{
    Work,
    getting::{Get, Saving},
    putting::Put,
    report::Report,
};

/// Gives a command, unless something here is against it.
type Step = Box<dyn FnOnce() -> Option<Command>>;

pub(crate) struct Run {
    steps: VecDeque<Step>,
    report: Report,
}

impl Run {
    pub(crate) fn new(work: Work) -> Self {
        let mut run = Self {
            steps: VecDeque::new(),
            report: Report::default(),
        };
        match work {
            Work::List { names, facts, path } => {
                let path = path.into_bytes();
                let what = match (names, facts) {
                    (true, _) => What::Names(path),
                    (_, true) => What::Facts(path),
                    _ => What::List(path),
                };
                run.list(what);
            }
            Work::Get {
                output,
                text,
                resume,
                max_size,
                files,
            } => {
                for name in files {
                    run.get(Get {
                        name,
                        target: output.clone(),
                        text,
                        resume,
                        max_size,
                    });
                }
            }
            Work::Put {
                output,
                text,
                binary,
                resume,
                files,
            } => {
                for path in files {
                    run.put(Put::new(path, output.clone(), text, binary, resume));
                }
            }
            Work::Info { files } => files.into_iter().for_each(|name| run.info(&name)),
            Work::Features => run.features(),
        }
        run
    }

    pub(crate) fn report(&self) -> Report {
        self.report.clone()
    }

    fn step(&mut self, step: impl FnOnce() -> Option<Command> + 'static) {
        self.steps.push_back(Box::new(step));
    }

    fn ask(&mut self, verb: &'static str, name: &str, then: impl FnOnce(&Reply) + 'static) {
        let (report, argument) = (self.report(), name.as_bytes().to_vec());
        let name = name.to_owned();
        self.step(move || {
            Some(Command::Ask(Ask {
                verb,
                argument,
                then: Box::new(move |reply| {
                    match reply {
                        Ok(reply) => then(&reply),
                        Err(error) => report.fail(&name, &error),
                    }
                    Ok(())
                }),
            }))
        });
    }

    fn list(&mut self, what: What) {
        let report = self.report();
        self.step(move || {
            Some(Command::Fetch(Fetch {
                what,
                text: true,
                offset: 0,
                length: None,
                consumer: Box::new(Saving::quiet("list".into(), Target::Stdout, report)),
            }))
        });
    }

    /// Asks for the size of a file on the server.
    fn size(&mut self, name: &str) -> Rc<Cell<Option<u64>>> {
        let size = Rc::default();
        let (name, set) = (name.as_bytes().to_vec(), Rc::clone(&size));
        self.step(move || Some(Command::Ask(Ask::size(name, set))));
        size
    }

    fn get(&mut self, get: Get) {
        let report = self.report();
        let size = match get.text {
            // SIZE would be that of the text as it is sent, and few servers count it.
            true => Rc::default(),
            false => {
                self.ask_binary();
                self.size(&get.name)
            }
        };
        self.step(move || {
            let name = get.name.clone();
            match get.command(size.get(), report.clone()) {
                Ok(command) => command,
                Err(error) => {
                    report.fail(&name, &error);
                    None
                }
            }
        });
    }

    fn put(&mut self, put: Put) {
        let report = self.report();
        let size = match put.resume {
            false => Rc::default(),
            true => {
                self.ask_binary();
                self.size(&put.name)
            }
        };
        self.step(move || {
            let shown = put.path.display().to_string();
            match put.command(size.get(), report.clone()) {
                Ok(command) => command,
                Err(error) => {
                    report.fail(&shown, &error);
                    None
                }
            }
        });
    }

    fn info(&mut self, name: &str) {
        let (report, shown) = (self.report(), name.to_owned());
        let size = Rc::new(Cell::new(None));
        let set = Rc::clone(&size);
        self.ask_binary();
        self.ask("SIZE", name, {
            let (report, shown) = (report.clone(), shown.clone());
            move |reply| match reply.code {
                213 => set.set(Some(reply.text().trim().to_owned())),
                _ => report.fail(&shown, &reply.refusal("SIZE")),
            }
        });
        self.ask("MDTM", name, move |reply| {
            let Some(size) = size.take() else { return };
            let changed = match reply.code {
                213 => date(reply.text().trim()),
                _ => "unknown".into(),
            };
            report.say(&format!("{shown}: {size} bytes, changed {changed}"));
        });
    }

    /// Servers give the size of a file as the current type would send it, and some only that of bytes (RFC 3659, 4).
    fn ask_binary(&mut self) {
        self.step(|| Some(Command::Binary));
    }

    fn features(&mut self) {
        let report = self.report();
        self.ask("FEAT", "", move |reply| match reply.code {
            211 => {
                // The first line and the last are none of the list (RFC 2389, 3.2).
                let lines = reply.lines.iter().skip(1);
                let lines: Vec<_> = lines.map(|line| line.trim()).collect();
                for line in lines.split_last().map_or(&[][..], |(_, lines)| lines) {
                    report.say(line);
                }
            }
            _ => report.fail("features", &reply.refusal("FEAT")),
        });
    }
}

/// `YYYYMMDDHHMMSS` with a fraction or none (RFC 3659, 2.3), for people.
fn date(text: &str) -> String {
    let digits = text.split('.').next().unwrap_or_default();
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.to_owned();
    }
    let [year, month, day] = [&digits[..4], &digits[4..6], &digits[6..8]];
    let [hour, minute, second] = [&digits[8..10], &digits[10..12], &digits[12..]];
    format!("{year}-{month}-{day} {hour}:{minute}:{second} UTC")
}

impl Client for Run {
    fn next(&mut self) -> Result<Option<Command>> {
        while let Some(step) = self.steps.pop_front() {
            if let Some(command) = step() {
                return Ok(Some(command));
            }
        }
        Ok(None)
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        self.report.end(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn a_date_is_shown_for_people() {
        for (told, shown) in [
            ("20260102030405", "2026-01-02 03:04:05 UTC"),
            ("20260102030405.123", "2026-01-02 03:04:05 UTC"),
            ("2026", "2026"),
            ("2026010203040\u{e4}", "2026010203040\u{e4}"),
            ("", ""),
        ] {
            assert_eq!(date(told), shown);
        }
    }
}
