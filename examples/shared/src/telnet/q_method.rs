//! One side of one option by the Q method (RFC 1143, 7): an answer only to what changes something, so no two ends answer each
//! other for ever.

/// Whether the option is on at this side. One end keeps two: of itself (WILL, WONT) and of the other (DO, DONT).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    #[default]
    No,
    Yes,
    /// "Off" was sent.
    WantNo,
    /// The same, and it is to be on again after the answer.
    WantNoThenYes,
    /// "On" was sent.
    WantYes,
    /// The same, and it is to be off again after the answer.
    WantYesThenNo,
}

/// Each method gives what is to be sent, if anything: on or off.
impl Side {
    /// The peer wants it on, or agrees.
    #[must_use]
    pub fn peer_on(&mut self, allowed: bool) -> Option<bool> {
        let (next, send) = match *self {
            Self::No if allowed => (Self::Yes, Some(true)),
            Self::No => (Self::No, Some(false)),
            Self::Yes => (Self::Yes, None),
            // "Off" was answered by "on", which is against the rules.
            Self::WantNo => (Self::No, None),
            Self::WantNoThenYes | Self::WantYes => (Self::Yes, None),
            Self::WantYesThenNo => (Self::WantNo, Some(false)),
        };
        *self = next;
        send
    }

    /// The peer wants it off, or refuses.
    #[must_use]
    pub fn peer_off(&mut self) -> Option<bool> {
        let (next, send) = match *self {
            Self::Yes => (Self::No, Some(false)),
            Self::WantNoThenYes => (Self::WantYes, Some(true)),
            Self::No | Self::WantNo | Self::WantYes | Self::WantYesThenNo => (Self::No, None),
        };
        *self = next;
        send
    }

    /// This end wants it on.
    #[must_use]
    pub fn ask_on(&mut self) -> Option<bool> {
        let (next, send) = match *self {
            Self::No => (Self::WantYes, Some(true)),
            Self::WantNo => (Self::WantNoThenYes, None),
            Self::WantYesThenNo => (Self::WantYes, None),
            settled => (settled, None),
        };
        *self = next;
        send
    }

    /// This end wants it off.
    #[must_use]
    pub fn ask_off(&mut self) -> Option<bool> {
        let (next, send) = match *self {
            Self::Yes => (Self::WantNo, Some(false)),
            Self::WantYes => (Self::WantYesThenNo, None),
            Self::WantNoThenYes => (Self::WantNo, None),
            settled => (settled, None),
        };
        *self = next;
        send
    }

    pub fn is_on(self) -> bool {
        self == Self::Yes
    }

    /// Whether an answer is waited for.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::No | Self::Yes)
    }
}
