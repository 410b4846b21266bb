//! Dialogues: a test that reads like the protocol.

use std::{fmt, time::Duration};

use super::Harness;

impl Harness {
    /// Plays a dialogue: sends the lines of `C:`, and expects exactly the lines of `S:` in return.
    ///
    /// | a line | means |
    /// |---|---|
    /// | `C: text` | the peer sends this line |
    /// | `S: text` | the channel has sent this line; `…` stands for any text within it, also none |
    /// | `C ends`, `C resets` | [`eof`](Self::eof), [`reset`](Self::reset) |
    /// | `S ends`, `S closes` | [`has_ended`](Self::has_ended), [`is_closed`](Self::is_closed) |
    /// | `wait 30s`, `wait 50ms` | [`advance`](Self::advance) |
    /// | an empty line, `# text` | nothing |
    ///
    /// Lines end with CR LF, or with the end set by [`set_line_end`](Self::set_line_end). A final `\` stands for a line
    /// without its end, such as a prompt. Consecutive lines of the same side are one block: after it, the other side
    /// must have sent its whole block. At the end, no output may be left. [The module](super) has an example.
    ///
    /// # Panics
    /// If the dialogue differs from the script, with the difference, and if the script cannot be read.
    #[track_caller]
    pub fn play(&mut self, script: &str) {
        if let Err(mismatch) = self.try_play(script) {
            panic!("{mismatch}");
        }
    }

    /// Like [`play`](Self::play), with every byte sent on its own.
    ///
    /// # Panics
    /// Like [`play`](Self::play).
    #[track_caller]
    pub fn play_bytewise(&mut self, script: &str) {
        if let Err(mismatch) = self.run(script, true) {
            panic!("{mismatch}");
        }
    }

    /// Like [`play`](Self::play), and returns the difference. [`Mismatch`] has an example.
    ///
    /// # Errors
    /// If the dialogue differs from the script.
    ///
    /// # Panics
    /// If the script cannot be read.
    #[track_caller]
    pub fn try_play(&mut self, script: &str) -> Result<(), Mismatch> {
        self.run(script, false)
    }

    /// Sets the end of a line in [`play`](Self::play). Default: CR LF.
    ///
    /// # Panics
    /// If it is empty.
    #[track_caller]
    pub fn set_line_end(&mut self, end: impl AsRef<[u8]>) {
        self.line_end = end.as_ref().to_vec();
        assert!(!self.line_end.is_empty(), "an empty line end");
    }

    #[track_caller]
    fn run(&mut self, script: &str, bytewise: bool) -> Result<(), Mismatch> {
        let steps = parse(script);
        let mut told = Vec::new();
        let mut rest = &steps[..];
        loop {
            let said = rest.iter().take_while(|step| step.said().is_some());
            let (block, after) = rest.split_at(said.count());
            self.expect(block, &mut told)?;
            let acts = after.iter().take_while(|step| step.is_act());
            let (block, after) = after.split_at(acts.count());
            for step in block {
                self.act_out(&step.what, bytewise);
                told.push(step.text.to_owned());
            }
            rest = after;
            if !block.is_empty() {
                continue;
            }
            let Some((step, after)) = after.split_first() else {
                return Ok(());
            };
            rest = after;
            let wrong = match step.what {
                What::Ends if !self.has_ended() => Some("(the output goes on)"),
                What::Closes if !self.is_closed() => Some("(the connection is open)"),
                What::Wait(time) => {
                    self.advance(time);
                    None
                }
                _ => None,
            };
            if let Some(wrong) = wrong {
                return Err(Mismatch {
                    line: step.number,
                    before: told,
                    expected: vec![step.text.into()],
                    got: vec![wrong.into()],
                    failure: self.pipe.lock().failure.clone(),
                });
            }
            told.push(step.text.to_owned());
        }
    }

    fn act_out(&mut self, what: &What, bytewise: bool) {
        match what {
            What::Sends(line) => self.send(line, bytewise),
            What::PeerEnds => self.eof(),
            What::PeerResets => self.reset(),
            What::Said(_) | What::Ends | What::Closes | What::Wait(_) => {}
        }
    }

    fn send(&mut self, line: &Line, bytewise: bool) {
        let mut bytes = line.text.as_bytes().to_vec();
        if line.ended {
            bytes.extend(&self.line_end);
        }
        if bytewise {
            self.feed_bytewise(bytes);
        } else {
            self.feed(bytes);
        }
    }

    /// Compares the output with all lines of `block`.
    fn expect(&mut self, block: &[Step<'_>], told: &mut Vec<String>) -> Result<(), Mismatch> {
        let got = lines(&self.output(), &self.line_end);
        let expected: Vec<_> = block.iter().filter_map(Step::said).collect();
        let fits = |(line, got): (&&Line, &Line)| line.fits(got);
        if got.len() == expected.len() && expected.iter().zip(&got).all(fits) {
            told.extend(block.iter().map(|step| step.text.to_owned()));
            return Ok(());
        }
        let same = expected.iter().zip(&got).take_while(|&it| fits(it)).count();
        let left = expected[same..].iter().rev().zip(got[same..].iter().rev());
        let same_after = left.take_while(|&it| fits(it)).count();
        told.extend(block[..same].iter().map(|step| step.text.to_owned()));
        let end = |len: usize| len - same_after;
        let difference = &block[same..end(block.len())];
        Err(Mismatch {
            line: difference
                .first()
                .or(block.last())
                .map_or(0, |step| step.number),
            before: std::mem::take(told),
            expected: difference.iter().map(|step| step.text.into()).collect(),
            got: got[same..end(got.len())].iter().map(Line::said).collect(),
            failure: self.pipe.lock().failure.clone(),
        })
    }
}

/// The place where a dialogue differs from its script; see [`Harness::try_play`].
///
/// ```
/// # use asynchat::{testing::Harness, *};
/// # struct Echo;
/// # impl Dispatcher for Echo {
/// #     fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
/// #         Ok(channel.recv_with(std::io::Write::write_all)??)
/// #     }
/// # }
/// let mut peer = Harness::new(Echo);
/// let mismatch = peer.try_play("C: one\nS: one\nC: two\nS: three").unwrap_err();
/// assert_eq!(mismatch.to_string(), "\
/// the dialogue went another way at line 4 of the script (- expected, + got):
///   C: one
///   S: one
///   C: two
/// - S: three
/// + S: two");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Counted from 1; 0 stands for output after the end.
    line: usize,
    before: Vec<String>,
    expected: Vec<String>,
    got: Vec<String>,
    failure: Option<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the dialogue went another way ")?;
        match self.line {
            0 => f.write_str("where nothing was to be said")?,
            line => write!(f, "at line {line} of the script")?,
        }
        f.write_str(" (- expected, + got):")?;
        for (mark, lines) in [(' ', &self.before), ('-', &self.expected), ('+', &self.got)] {
            for line in lines {
                write!(f, "\n{mark} {line}")?;
            }
        }
        match &self.failure {
            Some(error) => write!(f, "\nhandle_error was given: {error}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Mismatch {}

struct Step<'a> {
    /// The line number, from 1.
    number: usize,
    text: &'a str,
    what: What,
}

enum What {
    Sends(Line),
    Said(Line),
    PeerEnds,
    PeerResets,
    Ends,
    Closes,
    Wait(Duration),
}

impl Step<'_> {
    /// Whether the peer does it.
    fn is_act(&self) -> bool {
        matches!(
            self.what,
            What::Sends(_) | What::PeerEnds | What::PeerResets
        )
    }

    fn said(&self) -> Option<&Line> {
        match &self.what {
            What::Said(line) => Some(line),
            _ => None,
        }
    }
}

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    text: String,
    ended: bool,
}

impl Line {
    fn scripted(text: &str) -> Self {
        let text = text.strip_prefix(' ').unwrap_or(text);
        let unended = text.strip_suffix('\\');
        Self {
            text: unended.unwrap_or(text).to_owned(),
            ended: unended.is_none(),
        }
    }

    fn said(&self) -> String {
        let end = if self.ended { "" } else { "\\" };
        format!(
            "S: {}{end}",
            self.text
                .escape_debug()
                .to_string()
                .replace("\\\"", "\"")
                .replace("\\'", "'")
        )
    }

    /// Whether `got` is this line, with any text for each `…`.
    fn fits(&self, got: &Self) -> bool {
        let mut parts = self.text.split('…');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = got.text.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty() && self.ended == got.ended;
        };
        for part in parts {
            let Some(at) = rest.find(part) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last) && self.ended == got.ended
    }
}

fn lines(output: &[u8], end: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut rest = output;
    while !rest.is_empty() {
        let at = memchr::memmem::find(rest, end);
        let text = String::from_utf8_lossy(&rest[..at.unwrap_or(rest.len())]).into_owned();
        lines.push(Line {
            text,
            ended: at.is_some(),
        });
        rest = at.map_or(&[], |at| &rest[at + end.len()..]);
    }
    lines
}

#[track_caller]
fn parse(script: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for (number, text) in (1..).zip(script.lines()) {
        let text = text.trim_start();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let what = if let Some(line) = text.strip_prefix("C:") {
            What::Sends(Line::scripted(line))
        } else if let Some(line) = text.strip_prefix("S:") {
            What::Said(Line::scripted(line))
        } else {
            let text = text.trim_end();
            match text {
                "C ends" => What::PeerEnds,
                "C resets" => What::PeerResets,
                "S ends" => What::Ends,
                "S closes" => What::Closes,
                _ => What::Wait(wait(text).unwrap_or_else(|| {
                    panic!("line {number} of the script says {text:?}: expected C:, S:, C ends, C resets, S ends, S closes or wait 1s")
                })),
            }
        };
        steps.push(Step { number, text, what });
    }
    steps
}

fn wait(text: &str) -> Option<Duration> {
    let time = text.strip_prefix("wait ")?.trim();
    if let Some(millis) = time.strip_suffix("ms") {
        return millis.trim().parse().ok().map(Duration::from_millis);
    }
    let seconds = time.strip_suffix('s')?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
