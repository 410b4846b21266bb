//! Channels that are gone and whose objects have not been told yet (R6).

use std::collections::VecDeque;

use crate::{
    closed::{Cause, Closed},
    error::BoxError,
    id::ChannelId,
    state::dispatcher::Dispatcher,
};

/// The number of farewells that a reactor keeps room for.
const SPARE_FAREWELLS: usize = 1024;

/// The object of a channel that is gone, and its last callback's argument.
pub(crate) struct Farewell {
    pub(crate) object: Box<dyn Dispatcher>,
    pub(crate) why: Closed,
}

#[derive(Default)]
pub(crate) struct Farewells {
    /// In the order of closing.
    pub(crate) due: VecDeque<Farewell>,
    /// Ends of channels whose objects are out, because their callbacks run: one for each level of calls at most.
    awaited: Vec<Closed>,
}

impl Farewells {
    /// The channel is gone. Its object comes later if a callback of it is running.
    pub(crate) fn add(&mut self, object: Option<Box<dyn Dispatcher>>, why: Closed) {
        match object {
            Some(object) => self.due.push_back(Farewell { object, why }),
            None => self.awaited.push(why),
        }
    }

    /// The callback of an object has returned. Gives the object back if its channel was not closed meanwhile.
    pub(crate) fn join(
        &mut self,
        id: ChannelId,
        object: Box<dyn Dispatcher>,
    ) -> Result<(), Box<dyn Dispatcher>> {
        match self.awaited.iter().rposition(|why| why.channel == id) {
            Some(index) => {
                let why = self.awaited.remove(index);
                self.due.push_back(Farewell { object, why });
                Ok(())
            }
            None => Err(object),
        }
    }

    /// The one that is due first.
    pub(crate) fn take_first(&mut self) -> Option<Farewell> {
        let first = self.due.pop_front();
        if self.due.is_empty() {
            // A flood of them must not stay.
            self.due.shrink_to(SPARE_FAREWELLS);
        }
        first
    }

    /// The newest, if it is that of channel `id`.
    pub(crate) fn take_newest(&mut self, id: ChannelId) -> Option<Farewell> {
        let newest = self.due.back()?;
        if newest.why.channel != id {
            return None;
        }
        self.due.pop_back()
    }

    /// Ends whose objects are lost.
    pub(crate) fn take_awaited(&mut self) -> Vec<Closed> {
        std::mem::take(&mut self.awaited)
    }
}

/// The callback that runs because a channel is about to end: what it ends has this cause.
pub(crate) struct Occasion {
    /// [`ChannelId::NONE`] if no such callback is running.
    pub(crate) channel: ChannelId,
    pub(crate) cause: Cause,
    /// Left by a default callback, for the close that follows.
    pub(crate) error: Option<BoxError>,
}

impl Occasion {
    pub(crate) fn new(channel: ChannelId, cause: Cause) -> Self {
        Self {
            channel,
            cause,
            error: None,
        }
    }

    pub(crate) fn none() -> Self {
        Self::new(ChannelId::NONE, Cause::Close)
    }

    /// The cause of what channel `id` does at this moment, if there is one.
    pub(crate) fn cause_for(&self, id: ChannelId) -> Option<Cause> {
        (self.channel == id).then_some(self.cause)
    }
}
