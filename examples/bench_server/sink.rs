//! Takes everything and answers nothing; the end of file is answered by one.

use asynchat::{AsyncChat, Builder, ChatChannel, ChatDispatcher, Dispatcher, Result, Terminator};

struct Sink;

pub(crate) fn connection() -> impl Dispatcher {
    ChatDispatcher::new(Sink, Terminator::None)
}

/// Fewer and longer reads.
pub(crate) fn tune(builder: Builder) -> Builder {
    builder.read_buffer(256 * 1024)
}

impl AsyncChat for Sink {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
        Ok(())
    }

    /// Never called: there is no terminator.
    fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
        Ok(())
    }
}
