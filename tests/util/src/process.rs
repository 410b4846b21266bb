//! What belongs to a process as a whole: its descriptors, and their limit.

use std::{any::type_name, env, ffi::OsString, process::Command};

/// Descriptors this process has open. Without those of /proc and /sys, which the C library has open for a moment when a
/// thread begins.
#[cfg(target_os = "linux")]
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| !target.starts_with("/proc") && !target.starts_with("/sys"))
        .count()
}

const CHILD: &str = "ASYNCHAT_TEST_CHILD";

/// The name under which a test's binary knows it, from the test's function or a closure in it.
pub fn name_of<F>(_: &F) -> &'static str {
    // BINARY::MODULE::TEST or BINARY::MODULE::TEST::{{closure}}
    let name = type_name::<F>();
    let name = name.strip_suffix("::{{closure}}").unwrap_or(name);
    name.split_once("::").map_or(name, |(_, name)| name)
}

/// The words that start the test's binary once more. The system cannot start one of another processor by itself: what
/// started this one, `.ci/platforms` names in `ASYNCHAT_TEST_RUNNER`.
pub fn this_binary() -> Vec<OsString> {
    let runner = env::var("ASYNCHAT_TEST_RUNNER").unwrap_or_default();
    let mut words: Vec<OsString> = runner.split_whitespace().map(OsString::from).collect();
    words.push(env::current_exe().unwrap().into());
    words
}

/// The whole of a test, in a process of its own with a limit of `descriptors`: the test's binary once more, with this
/// test alone.
///
/// # Panics
///
/// If `test` does.
#[track_caller]
pub fn with_descriptors<F: FnOnce()>(descriptors: u32, test: F) {
    if env::var_os(CHILD).is_some() {
        return test();
    }
    // There is neither a shell nor a limit.
    if cfg!(not(unix)) {
        return test();
    }
    let script = format!("ulimit -n {descriptors} && exec \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &script, "sh"])
        .args(this_binary())
        .args(["--exact", "--nocapture", name_of(&test)])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
