//! Every line back. Only whole lines: what comes behind the last CRLF before the end of file is none.

use std::io::Write;

use asynchat::{AsyncChat, BoxError, ChatChannel, ChatDispatcher, Dispatcher, Frame, Result};

use crate::listener;

/// The longest line, its end not counted.
const MAX_LINE: usize = 16_000;

struct Lines;

pub(crate) fn connection() -> impl Dispatcher {
    ChatDispatcher::collecting(Lines, "\r\n", MAX_LINE).hold_while_congested()
}

impl AsyncChat for Lines {
    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
        Ok(chat.write_all(line.with_terminator())?)
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        listener::give_up(chat, &error);
    }
}
