//! Builds programs when a test needs them: cargo knows of no test that needs another package's examples.

use std::{
    collections::BTreeMap,
    env::{self, consts},
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, Mutex, PoisonError},
};

static EXAMPLES: LazyLock<PathBuf> = LazyLock::new(|| build(&["--examples"]));

/// The programs that this process has built, and their folder.
static BUILT_SO_FAR: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());

/// The folder of the program, in the same target directory and profile as the running test.
pub(crate) fn folder_of(program: &str) -> PathBuf {
    let built = BUILT_SO_FAR.lock();
    // A program that does not compile fails each test that needs it.
    let mut built = built.unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = built.get(program) {
        return folder.clone();
    }
    let folder = build(&["--example", program]);
    built.insert(program.to_owned(), folder.clone());
    folder
}

/// The folder of programs that are there: for a test that runs itself again, maybe where there is no network, and for
/// programs of another target, which `.ci/platforms` builds.
const BUILT: &str = "ASYNCHAT_SUITES_BUILT";

pub(crate) fn built() -> (&'static str, &'static Path) {
    (BUILT, &EXAMPLES)
}

fn build(what: &[&str]) -> PathBuf {
    if let Some(folder) = env::var_os(BUILT) {
        return folder.into();
    }
    let test = env::current_exe().unwrap();
    // TARGET_DIRECTORY[/TRIPLE]/PROFILE/deps/TEST
    let profile = test.ancestors().nth(2).unwrap();
    let above = profile.parent().unwrap();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let arch = match consts::ARCH {
        "x86" => "i686",
        arch => arch,
    };
    let triple = Some(name(above)).filter(|name| name.starts_with(&format!("{arch}-")));
    let target_dir = match triple {
        Some(_) => above.parent().unwrap(),
        None => above,
    };
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", "asynchat"])
        .args(what)
        .current_dir(crate::root())
        .arg("--target-dir")
        .arg(target_dir)
        .arg("--profile")
        .arg(match name(profile).as_str() {
            "debug" => "dev".to_owned(),
            name => name.to_owned(),
        });
    if let Some(triple) = triple {
        cargo.args(["--target", &triple]);
    }
    let built = cargo.status().unwrap();
    assert!(built.success(), "the programs do not compile: {cargo:?}");
    profile.join("examples")
}
