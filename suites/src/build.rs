//! Builds the programs, once for each test process: cargo knows of no test that needs another package's examples.

use std::{
    env::{self, consts},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

static EXAMPLES: LazyLock<PathBuf> = LazyLock::new(build);

/// The folder of the programs, in the same target directory and profile as the running test.
pub(crate) fn examples() -> &'static Path {
    &EXAMPLES
}

/// Says to a test that runs itself again, maybe where there is no network, that the programs are there.
const BUILT: &str = "ASYNCHAT_SUITES_BUILT";

pub(crate) fn built() -> (&'static str, &'static Path) {
    (BUILT, examples())
}

fn build() -> PathBuf {
    if let Some(folder) = env::var_os(BUILT) {
        return folder.into();
    }
    let test = env::current_exe().unwrap();
    // TARGET_DIRECTORY[/TRIPLE]/PROFILE/deps/TEST
    let profile = test.ancestors().nth(2).unwrap();
    let above = profile.parent().unwrap();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let triple = Some(name(above)).filter(|name| name.starts_with(&format!("{}-", consts::ARCH)));
    let target_dir = match triple {
        Some(_) => above.parent().unwrap(),
        None => above,
    };
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", "asynchat", "--examples"])
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
