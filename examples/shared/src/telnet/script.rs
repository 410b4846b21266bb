//! Texts to wait for and lines to send, in order: the `read_until` and `write` of a log-in.

use std::collections::VecDeque;

use memchr::memmem;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for this text of the server's.
    Expect(Vec<u8>),
    /// Send this.
    Send(Vec<u8>),
}

/// The steps that are left. What the server sends is searched once, in pieces of any size; nothing is kept of it but as much
/// as may be the begin of the text.
#[derive(Debug, Default)]
pub struct Script {
    steps: VecDeque<Step>,
    /// The last bytes of the server's, which may be the begin of the text that is waited for.
    tail: Vec<u8>,
}

impl Script {
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            tail: Vec::new(),
        }
    }

    /// Takes what the server sent, none at the start, and gives all that is to be sent now.
    pub fn go_on(&mut self, data: &[u8]) -> Vec<u8> {
        let mut send = Vec::new();
        let mut unsearched = [std::mem::take(&mut self.tail).as_slice(), data].concat();
        while let Some(step) = self.steps.pop_front() {
            match step {
                Step::Send(text) => send.extend_from_slice(&text),
                Step::Expect(text) => match memmem::find(&unsearched, &text) {
                    Some(at) => drop(unsearched.drain(..at + text.len())),
                    None => {
                        let keep = text.len().saturating_sub(1).min(unsearched.len());
                        self.tail = unsearched.split_off(unsearched.len() - keep);
                        self.steps.push_front(Step::Expect(text));
                        break;
                    }
                },
            }
        }
        send
    }

    pub fn is_over(&self) -> bool {
        self.steps.is_empty()
    }

    /// What is waited for; `None` once the script is over.
    pub fn expects(&self) -> Option<&[u8]> {
        match self.steps.front() {
            Some(Step::Expect(text)) => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_in() -> Script {
        let expect = |text: &str| Step::Expect(text.into());
        let send = |text: &str| Step::Send(text.into());
        Script::new([
            expect("login: "),
            send("mulder\n"),
            expect("Password: "),
            send("trustno1\n"),
            send("ls\n"),
            expect("aab"),
        ])
    }

    #[test]
    fn a_text_is_found_however_it_is_cut() {
        let server = "Debian\r\nspam login: mulder\r\nPassword: \r\nlogin: aaab$ ";
        for size in 1..=server.len() {
            let mut script = log_in();
            let mut sent = script.go_on(b"");
            assert_eq!(script.expects(), Some(&b"login: "[..]));
            for piece in server.as_bytes().chunks(size) {
                sent.extend(script.go_on(piece));
                assert!(script.tail.len() < 10);
            }
            assert_eq!(String::from_utf8_lossy(&sent), "mulder\ntrustno1\nls\n");
            assert_eq!(script.expects(), None);
        }
    }

    #[test]
    fn a_text_is_found_behind_the_one_before_it() {
        let mut script = Script::new([Step::Expect("ab".into()), Step::Expect("ba".into())]);
        script.go_on(b"aba");
        assert_eq!(script.expects(), Some(&b"ba"[..]));
        script.go_on(b"ba");
        assert_eq!(script.expects(), None);
        // What is expected may be nothing at all.
        let mut script = Script::new([Step::Expect(vec![]), Step::Send("x".into())]);
        assert_eq!(script.go_on(b""), b"x");
    }
}
