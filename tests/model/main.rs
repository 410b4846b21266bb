//! The whole reactor against a model (R1, R3–R14, R20–R22): random programs of operations, from outside and out of
//! callbacks, over socket pairs; nothing may happen that a rule forbids, and all that it promises must.
//! `ASYNCHAT_MODEL_CASES` sets the number of programs, `ASYNCHAT_MODEL_SEED` repeats a run.
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    reason = "a program of several files"
)]

mod expectation;
mod peer;
mod program;
mod subject;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestCaseError, TestError, TestRunner};

const CASES: u32 = 5_000;

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.replace('_', "").parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

#[test]
fn no_program_makes_the_reactor_break_a_rule() {
    util::silence_scripted_panics();
    let cases = number_from("ASYNCHAT_MODEL_CASES").map_or(CASES, |n| n.try_into().unwrap());
    let seed = number_from("ASYNCHAT_MODEL_SEED").unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::from(since.subsec_nanos()) ^ since.as_secs() << 20
    });
    let mut runner = TestRunner::new(Config {
        cases,
        // The default one takes longer than the programs in a debug build.
        rng_algorithm: RngAlgorithm::XorShift,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        max_shrink_time: 60_000,
        ..Config::default()
    });
    let run = Cell::new(0_u32);
    let reached = RefCell::new(BTreeSet::new());
    let failed_at = Cell::new(None);
    let outcome = runner.run(&program::program(), |program| {
        run.set(run.get() + 1);
        // What never comes is waited for; while a failure is made smaller, not as long.
        let patience = match failed_at.get() {
            None => Duration::from_secs(5 * util::SLOWNESS),
            Some(_) => Duration::from_millis(200),
        };
        let (faults, callbacks) = subject::run(&program, patience);
        reached.borrow_mut().extend(callbacks);
        if faults.is_empty() {
            return Ok(());
        }
        failed_at.set(failed_at.get().or(Some(run.get())));
        Err(TestCaseError::fail(faults.join("\n")))
    });
    match outcome {
        // Programs that do not get there prove nothing about it.
        Ok(()) => assert!(
            cases < 1_000 || reached.borrow().len() == 14,
            "only these callbacks ran at all: {reached:?}"
        ),
        Err(TestError::Fail(why, program)) => {
            let case = failed_at.get().unwrap_or_default();
            panic!("case {case} of seed {seed} failed\n\n{why}\n\n{program:?}\n");
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}
