//! The last callback: `handle_closed`, when the channel is gone (R6).

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::{
    closed::Cause,
    error::{Panicked, drop_payload},
    id::ChannelId,
    state::{
        farewell::{Farewell, Occasion},
        registry::Registry,
    },
};

impl Registry {
    /// The channel whose visit ends is gone, perhaps by its own doing: then nobody else has closed one since.
    #[cold]
    pub(crate) fn end_visit_of_closed(&mut self, id: ChannelId) {
        self.report_departures();
        if let Some(farewell) = self.farewells.take_newest(id) {
            self.bid_farewell(farewell);
        }
    }

    /// Tells an object that its channel is gone, and drops it.
    pub(crate) fn bid_farewell(&mut self, farewell: Farewell) {
        let Farewell { mut object, why } = farewell;
        let id = why.channel;
        self.stats.callbacks += 1;
        #[cfg(feature = "testing")]
        if self.net.is_some() {
            self.ends.push((id, why.cause));
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| object.handle_closed(self, why)));
        let Err(panic) = outcome else {
            return self.discard(object);
        };
        self.stats.errors += 1;
        if self.policy.propagate_panics {
            // A second panic while this one unwinds would abort the process.
            if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(object))) {
                drop_payload(next);
            }
            resume_unwind(panic);
        }
        let panic = Panicked::new(panic);
        log::error!(target: "asynchat::channel", "channel {id}: handle_closed {panic}");
        self.discard(object);
    }

    /// Drops those who are to be told, without telling them.
    pub(crate) fn drop_farewells(&mut self) {
        while let Some(Farewell { object, why }) = self.farewells.take_first() {
            self.discard(object);
            self.discard(why);
        }
        self.forget_lost();
    }

    /// No callback is running, so the objects that are still out were lost to a panic, or with their registry.
    pub(crate) fn forget_lost(&mut self) {
        self.occasion = Occasion::none();
        for why in self.farewells.take_awaited() {
            self.discard(why);
        }
    }

    /// Runs `f`, in which what channel `id` ends has this cause.
    pub(crate) fn on_occasion<R>(
        &mut self,
        id: ChannelId,
        cause: Cause,
        f: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let before = std::mem::replace(&mut self.occasion, Occasion::new(id, cause));
        let result = f(self);
        let over = std::mem::replace(&mut self.occasion, before);
        self.discard(over.error);
        result
    }
}
