//! Programs that nobody here wrote: `.ci/setup` unpacks them below the target folder.

use std::path::PathBuf;

/// Their names.
pub const OTHERS: [&str; 9] = [
    "medusa",
    "pyftpdlib",
    "pyinotify",
    "pysnmp",
    "secure_smtpd",
    "smtpd",
    "supervisor",
    "waitress",
    "zeo",
];

/// The folder of a program of others. `None`, and a line that says so, where it is not.
pub fn other(name: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let mut folders = test
        .ancestors()
        .map(|above| above.join("python-sources").join(name));
    let found = folders.find(|folder| folder.is_dir());
    if found.is_none() {
        println!("-- skipped: the Python sources of {name} are not unpacked");
    }
    found
}
