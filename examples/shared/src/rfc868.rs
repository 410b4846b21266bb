//! The time protocol's arithmetic (RFC 868): a time as the number of seconds since 1900 in 32 bits, big-endian.
//! Pure: no socket, and the clock is an argument.
//!
//! The count wraps every 2^32 seconds, for the first time on 7 February 2036 at 06:28:16 UTC. A server sends the
//! low 32 bits on either side of that; a client takes the moment nearest to its own clock that they can mean, which
//! is right while the two clocks are less than 68 years apart.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 1970-01-01 00:00:00 UTC in seconds since 1900-01-01 00:00:00 UTC.
const TIME1970: i64 = 2_208_988_800;

/// The answer of a server whose clock shows `now`; `None` before 1900, when it cannot know the time.
pub fn encode(now: SystemTime) -> Option<[u8; 4]> {
    let since_1900 = unix_seconds(now) + TIME1970;
    (since_1900 >= 0).then(|| low_32_bits(since_1900).to_be_bytes())
}

/// Whether the answer to a datagram from this port would be answered: echo, daytime, quote of the day, chargen, time, and
/// servers like the one at `own`. Two of them would keep each other busy for ever, and one forged datagram is enough to
/// start.
pub fn would_answer(port: u16, own: u16) -> bool {
    matches!(port, 7 | 13 | 17 | 19 | 37) || port == own
}

/// The moment a server's answer means, for a client whose clock shows `now`.
pub fn decode(answer: [u8; 4], now: SystemTime) -> SystemTime {
    let here = unix_seconds(now);
    let apart = u32::from_be_bytes(answer).wrapping_sub(low_32_bits(here + TIME1970));
    // Read as signed, the difference is the shorter way round the circle of 2^32 seconds.
    from_unix_seconds(here + i64::from(apart.cast_signed()))
}

/// How many whole seconds `local` is ahead of `server`: positive for a local clock that is fast.
pub fn seconds_off(local: SystemTime, server: SystemTime) -> i64 {
    unix_seconds(local) - unix_seconds(server)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the count wraps by definition"
)]
fn low_32_bits(seconds: i64) -> u32 {
    seconds as u32
}

/// Seconds since 1970, rounded down, also before it.
fn unix_seconds(time: SystemTime) -> i64 {
    let signed = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX / 2);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after.as_secs()),
        Err(error) => {
            let before = error.duration();
            -signed(before.as_secs()) - i64::from(before.subsec_nanos() > 0)
        }
    }
}

fn from_unix_seconds(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        UNIX_EPOCH - distance
    } else {
        UNIX_EPOCH + distance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURNOVER: i64 = (1 << 32) - TIME1970;
    const SUMMER_2026: i64 = 1_782_000_000;

    fn at(unix: i64) -> SystemTime {
        from_unix_seconds(unix)
    }

    fn answer(count: u32) -> [u8; 4] {
        count.to_be_bytes()
    }

    #[test]
    fn the_examples_of_the_rfc_come_out_as_printed() {
        // (count, seconds since 1970): 1970, 1976, 1980 and 1 May 1983, all 00:00.
        let table = [
            (2_208_988_800, 0),
            (2_398_291_200, 189_302_400),
            (2_524_521_600, 315_532_800),
            (2_629_584_000, 420_595_200),
        ];
        for (count, unix) in table {
            assert_eq!(encode(at(unix)), Some(answer(count)));
            assert_eq!(decode(answer(count), at(unix + 1)), at(unix));
        }
    }

    #[test]
    fn the_rfcs_time_before_1900_is_read_by_a_client_of_that_age_and_sent_by_nobody() {
        let november_1858 = -1_297_728_000 - TIME1970;
        let count = low_32_bits(-1_297_728_000);
        assert_eq!(
            decode(answer(count), at(november_1858 + 99)),
            at(november_1858)
        );
        assert_eq!(encode(at(november_1858)), None);
    }

    #[test]
    fn a_clock_before_1900_gives_no_time_and_one_at_1900_gives_zero() {
        assert_eq!(encode(at(-TIME1970 - 1)), None);
        assert_eq!(encode(at(-TIME1970) - Duration::from_nanos(100)), None);
        assert_eq!(encode(at(-TIME1970)), Some([0; 4]));
        assert_eq!(encode(at(-TIME1970 + 1)), Some([0, 0, 0, 1]));
    }

    #[test]
    fn a_server_goes_through_the_turnover_second_by_second() {
        let around = (-2..=1).map(|n| encode(at(TURNOVER + n)));
        assert!(around.eq([u32::MAX - 1, u32::MAX, 0, 1].map(|count| Some(answer(count)))));
    }

    #[test]
    fn a_client_is_right_on_both_sides_of_the_turnover() {
        for local in [-3600, -1, 0, 1, 3600] {
            for server in [-3600, -1, 0, 1, 3600] {
                let (local, server) = (at(TURNOVER + local), at(TURNOVER + server));
                let sent = encode(server).expect("after 1900");
                assert_eq!(decode(sent, local), server);
            }
        }
    }

    #[test]
    fn years_before_the_turnover_a_small_count_is_after_it_and_years_after_it_a_large_one_before() {
        assert_eq!(decode(answer(5), at(SUMMER_2026)), at(TURNOVER + 5));
        let in_2046 = TURNOVER + 10 * 31_556_952;
        let sent = encode(at(SUMMER_2026)).expect("after 1900");
        assert_eq!(decode(sent, at(in_2046)), at(SUMMER_2026));
    }

    #[test]
    fn the_second_turnover_is_no_different() {
        let second = TURNOVER + (1 << 32);
        assert_eq!(decode(answer(3), at(second - 10)), at(second + 3));
        assert_eq!(decode(answer(u32::MAX), at(second + 10)), at(second - 1));
    }

    #[test]
    fn every_count_within_68_years_survives_the_trip() {
        let furthest = i64::from(i32::MAX);
        for apart in [-furthest, -86_400, 0, 86_400, furthest] {
            let server = at(SUMMER_2026 + apart);
            let sent = encode(server).expect("after 1900");
            assert_eq!(decode(sent, at(SUMMER_2026)), server);
        }
    }

    #[test]
    fn fractions_of_a_second_are_cut_off_downwards() {
        let half = Duration::from_millis(500);
        assert_eq!(encode(at(7) + half), encode(at(7)));
        assert_eq!(encode(at(-7) - half), encode(at(-8)));
        assert_eq!(seconds_off(at(7) + half, at(7)), 0);
        assert_eq!(seconds_off(at(7) - half, at(7)), -1);
    }

    #[test]
    fn a_fast_local_clock_is_off_by_a_positive_number() {
        assert_eq!(seconds_off(at(1008), at(1000)), 8);
        assert_eq!(seconds_off(at(1000), at(1008)), -8);
    }
}
