//! HTTP/1.1 with one answer for everything. The answer lies ready, and is made anew with each date.

use std::{
    cell::RefCell,
    io::{self, Write},
    rc::Rc,
    time::Instant,
};

use asynchat::{AsyncChat, BoxError, ChatChannel, ChatDispatcher, Frame, Result};

use crate::{date::Date, head::Then, listener};

const MAX_HEAD: usize = 16 * 1024;

/// What all connections of the server share.
#[derive(Default)]
struct Answers {
    date: Date,
    stay: Vec<u8>,
    close: Vec<u8>,
}

impl Answers {
    fn renew(&mut self, now: Instant) -> io::Result<()> {
        let Some(date) = self.date.renewed(now) else {
            return Ok(());
        };
        for (answer, connection) in [
            (&mut self.stay, ""),
            (&mut self.close, "Connection: close\r\n"),
        ] {
            answer.clear();
            write!(
                answer,
                "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n{connection}\r\nHello, world!"
            )?;
        }
        Ok(())
    }
}

pub(crate) struct Http {
    answers: Rc<RefCell<Answers>>,
}

pub(crate) fn connections() -> impl FnMut() -> ChatDispatcher<Http> + 'static {
    let answers = Rc::<RefCell<Answers>>::default();
    move || {
        let http = Http {
            answers: Rc::clone(&answers),
        };
        ChatDispatcher::collecting(http, "\r\n\r\n", MAX_HEAD).hold_while_congested()
    }
}

impl AsyncChat for Http {
    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, head: Frame<'_>) -> Result {
        let mut answers = self.answers.borrow_mut();
        answers.renew(chat.registry().now())?;
        match Then::of(&head) {
            Then::Nothing => {}
            Then::Stay => chat.write_all(&answers.stay)?,
            Then::Close => {
                chat.write_all(&answers.close)?;
                chat.close_when_done();
            }
        }
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        listener::give_up(chat, &error);
    }
}
