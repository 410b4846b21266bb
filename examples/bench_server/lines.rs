//! Every line back. Only whole lines: what comes behind the last CRLF before the end of file is none.

use std::io::Write;

use asynchat::{AsyncChat, BoxError, ChatChannel, ChatDispatcher, Dispatcher, Frame, Result};

use crate::{listener, pressure::Pressure};

/// The longest line, its end not counted.
const MAX_LINE: usize = 16_000;

/// What a line counts for as an answer, on average.
const WEIGHT: usize = 512;

#[derive(Default)]
struct Lines {
    pressure: Pressure,
}

pub(crate) fn connection() -> impl Dispatcher {
    ChatDispatcher::collecting(Lines::default(), "\r\n", MAX_LINE)
}

impl AsyncChat for Lines {
    fn readable(&self) -> bool {
        !self.pressure.holds_up()
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
        chat.write_all(line.with_terminator())?;
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
