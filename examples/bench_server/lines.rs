//! Every line back. Only whole lines: what comes behind the last CRLF before the end of file is none.

use std::io::Write;

use asynchat::{AsyncChat, BoxError, ChatChannel, ChatDispatcher, Dispatcher, Result};

use crate::{listener, pressure::Pressure};

/// The longest line, its end not counted.
const MAX_LINE: usize = 16_000;
/// The buffer of a longer line is not kept for the next one, so that ten thousand idle connections stay small.
const KEPT: usize = 4096;

/// What a line counts for as an answer, on average.
const WEIGHT: usize = 512;

#[derive(Default)]
struct Lines {
    /// The line so far.
    line: Vec<u8>,
    pressure: Pressure,
}

pub(crate) fn connection() -> impl Dispatcher {
    ChatDispatcher::new(Lines::default(), "\r\n").max_frame(MAX_LINE)
}

impl Lines {
    #[cold]
    fn answer_pieces(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.write_all(&self.line)?;
        self.line.clear();
        if self.line.capacity() > KEPT {
            self.line = Vec::new();
        }
        Ok(())
    }
}

impl AsyncChat for Lines {
    fn readable(&self) -> bool {
        !self.pressure.holds_up()
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        if chat.is_whole_frame(data) {
            chat.write_all(data)?;
        } else {
            self.line.extend_from_slice(data);
        }
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if !self.line.is_empty() {
            self.answer_pieces(chat)?;
        }
        chat.write_all(b"\r\n")?;
        self.pressure.answered(chat, WEIGHT);
        Ok(())
    }

    fn handle_drain(&mut self, _: &mut ChatChannel<'_>) -> Result {
        self.pressure.drained();
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        listener::give_up(chat, &error);
    }
}
