//! How properties are tried in unit tests: alike, and on a small scale under Miri.

use proptest::test_runner::{Config, RngAlgorithm};

pub fn config(cases: u32, cases_under_miri: u32) -> Config {
    let mut config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    if cfg!(miri) {
        config.cases = cases_under_miri;
        // To interpret a cipher takes longer than the tests.
        config.rng_algorithm = RngAlgorithm::XorShift;
    }
    config
}
