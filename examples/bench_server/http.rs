//! HTTP/1.1 with one answer for everything. The answer lies ready, and is made anew with each date.

use std::{
    cell::RefCell,
    io::{self, Write},
    rc::Rc,
    time::Instant,
};

use asynchat::{AsyncChat, BoxError, ChatChannel, ChatDispatcher, Frame, Result};

use crate::{
    date::Date,
    head::{Head, Then},
    listener,
    pressure::Pressure,
};

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
    head: Head,
    pressure: Pressure,
}

pub(crate) fn connections() -> impl FnMut() -> ChatDispatcher<Http> + 'static {
    let answers = Rc::<RefCell<Answers>>::default();
    move || {
        let http = Http {
            answers: Rc::clone(&answers),
            head: Head::default(),
            pressure: Pressure::default(),
        };
        ChatDispatcher::new(http, "\r\n\r\n").max_frame(MAX_HEAD)
    }
}

impl Http {
    fn answer(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let mut answers = self.answers.borrow_mut();
        answers.renew(chat.registry().now())?;
        match self.head.end() {
            Then::Nothing => {}
            Then::Stay => {
                chat.write_all(&answers.stay)?;
                self.pressure.answered(chat, answers.stay.len());
            }
            Then::Close => {
                chat.write_all(&answers.close)?;
                chat.close_when_done();
            }
        }
        Ok(())
    }
}

impl AsyncChat for Http {
    fn readable(&self) -> bool {
        !self.pressure.holds_up()
    }

    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.head.feed(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.answer(chat)
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, head: Frame<'_>) -> Result {
        self.head.feed(&head);
        self.answer(chat)
    }

    fn handle_drain(&mut self, _: &mut ChatChannel<'_>) -> Result {
        self.pressure.drained();
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        listener::give_up(chat, &error);
    }
}
