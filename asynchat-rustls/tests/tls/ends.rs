//! How connections end.

use asynchat::{Filter, FilterPhase};
use asynchat_rustls::rustls::{AlertDescription, Error};

use crate::pair::{Pair, VERSIONS};

#[test]
fn end_is_told_behind_all_plaintext_and_leaves_the_other_direction_open() {
    for version in VERSIONS {
        for piece in [1, 3, usize::MAX] {
            let mut pair = Pair::open(version);
            pair.client.seal(b"last words");
            pair.client.end();
            pair.settle_by(piece);
            assert_eq!(pair.server.take_plain(), b"last words");
            assert_eq!(pair.phases(), [FilterPhase::Open, FilterPhase::PeerEnded]);

            pair.server.seal(b"answer");
            pair.server.end();
            pair.settle_by(piece);
            assert_eq!(pair.client.take_plain(), b"answer");
            assert_eq!(pair.phases(), [FilterPhase::PeerEnded; 2]);
            assert!(pair.client.error.is_none() && pair.server.error.is_none());
        }
    }
}

#[test]
fn end_and_the_last_record_leave_together() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.client.seal(b"x");
        let record = pair.client.wire.len();
        pair.client.end();
        assert!((record + 1..record + 64).contains(&pair.client.wire.len()));
        let ended = pair.client.wire.clone();
        pair.client.end();
        assert_eq!(pair.client.wire, ended, "once is enough");
    }
}

#[test]
fn bytes_behind_the_end_are_ignored() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.client.seal(b"x");
        pair.client.end();
        let mut wire = pair.client.take_wire();
        wire.extend_from_slice(&[23, 3, 3, 0, 20]);
        wire.extend_from_slice(&[0; 100_000]);
        pair.server.feed(&wire);
        pair.server.feed(&[255; 100_000]);
        assert!(pair.server.error.is_none());
        assert_eq!(pair.server.plain, b"x");
        assert_eq!(pair.server.phase(), FilterPhase::PeerEnded);
        pair.server.seal(b"answer");
        pair.settle();
        assert_eq!(pair.client.plain, b"answer");
    }
}

#[test]
fn bad_record_behind_the_own_end_is_an_error_and_no_panic() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.server.end();
        pair.client.seal(b"good");
        let mut wire = pair.client.take_wire();
        wire.extend_from_slice(&[23, 3, 3, 0, 40]);
        wire.extend_from_slice(&[0; 40]);
        pair.server.feed(&wire);
        assert!(pair.server.error.is_some());
        assert_eq!(pair.server.plain, b"good");
        let (mut plain, mut wire) = (Vec::new(), Vec::new());
        assert!(
            pair.server
                .filter
                .feed(b"more", &mut plain, &mut wire)
                .is_err()
        );
        assert!(plain.is_empty());
    }
}

#[test]
fn bad_record_ends_the_stream_behind_the_good_ones_with_an_alert() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.client.seal(b"good");
        let mut wire = pair.client.take_wire();
        pair.client.seal(b"bad");
        let len = wire.len() + pair.client.wire.len();
        wire.append(&mut pair.client.wire);
        wire[len - 1] ^= 1;
        pair.client.seal(b"behind");
        wire.append(&mut pair.client.wire);
        pair.server.feed(&wire);
        assert_eq!(pair.server.rustls_error(), &Error::DecryptError);
        assert_eq!(pair.server.plain, b"good");
        pair.settle();
        assert_eq!(
            pair.client.rustls_error(),
            &Error::AlertReceived(AlertDescription::BadRecordMac)
        );
        // Nothing can be sealed after that.
        let mut wire = Vec::new();
        let sealed = pair
            .server
            .filter
            .seal(&[std::io::IoSlice::new(b"x")], &mut wire);
        assert!(sealed.unwrap_err().is::<Error>());
        assert!(wire.is_empty());
        assert!(
            pair.server.filter.info().is_some(),
            "a log may want to know"
        );
    }
}
