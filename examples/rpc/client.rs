//! The client: one connection, one request after the other.

use std::{cell::RefCell, collections::VecDeque, path::Path, rc::Rc, time::Duration};

use asynchat::{
    Address, AsyncChat, BoxError, ChatChannel, ChatDispatcher, Exceptional, Frame, FrameTooLong,
    Reactor, Result,
};

use crate::wire::{self, Answer, CLOSE, END};

/// The longest answer.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Sends each request when the one before is answered, and gives the answers: fewer than requests if the last one is
/// an error, as the requests after it are not sent.
pub(crate) fn call(
    path: &Path,
    requests: Vec<Vec<String>>,
    timeout: Duration,
) -> Result<Vec<Answer>> {
    let outcome = Rc::new(RefCell::new(Ok(Vec::new())));
    let client = Client {
        server: path.display().to_string(),
        requests: requests.into(),
        outcome: outcome.clone(),
        is_done: false,
    };
    let mut reactor = Reactor::new()?;
    let chat = ChatDispatcher::collecting(client, END, MAX_ANSWER);
    let id = reactor.connect(Address::Unix(path.into()), chat)?;
    reactor.call_later(timeout, move |registry| {
        // There is no client any more where the farewell is sent too.
        let _ = registry.with_chat(id, |client: &mut Client, chat| {
            client.fail(format!("no answer within {timeout:?}"));
            chat.close();
        });
        Ok(())
    });
    // Not `run`, which would wait for the timer too.
    while reactor.channel(id).is_some() {
        reactor.turn(None)?;
    }
    outcome.replace(Ok(Vec::new()))
}

struct Client {
    server: String,
    requests: VecDeque<Vec<String>>,
    outcome: Rc<RefCell<Result<Vec<Answer>>>>,
    /// The last answer is there.
    is_done: bool,
}

impl Client {
    fn send_next(&mut self, chat: &mut ChatChannel<'_>) {
        if let Some(request) = self.requests.pop_front() {
            chat.push(wire::encode(&request));
            chat.push(END);
        } else {
            self.is_done = true;
            chat.push(CLOSE);
            chat.push(END);
            // A server that keeps its end open has nothing more to say.
            chat.set_linger(Duration::ZERO, 0);
            chat.close_when_done();
        }
    }

    /// What goes wrong behind the last answer, as a server that was told to stop may be quicker than the farewell, does
    /// not take the answers away.
    fn fail(&self, error: impl Into<BoxError>) {
        if !self.is_done {
            *self.outcome.borrow_mut() = Err(error.into());
        }
    }
}

impl AsyncChat for Client {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.send_next(chat);
        Ok(())
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, answer: Frame<'_>) -> Result {
        let answer = wire::decode_answer(&answer)?;
        if answer.is_err() {
            self.requests.clear();
        }
        if let Ok(answers) = &mut *self.outcome.borrow_mut() {
            answers.push(answer);
        }
        self.send_next(chat);
        Ok(())
    }

    fn handle_expt(&mut self, _: &mut ChatChannel<'_>, what: Exceptional) -> Result {
        if let Exceptional::ConnectFailed(error) = what {
            self.fail(format!("cannot connect to {}: {error}", self.server));
        }
        Ok(())
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.fail("the server closed the connection");
        chat.close();
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        if error.is::<FrameTooLong>() {
            // Its own text is for the operator, who can raise the limit.
            self.fail(format!("the answer has more than {MAX_ANSWER} bytes"));
        } else {
            self.fail(error);
        }
        chat.close();
    }
}
