//! The programs that the skeletons are tried on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use asynchat_port::{library::Copies, limits::Limits, load, skeleton};

use crate::common::others::{OTHERS, other};

/// A name and the skeleton of each program: those beside this file, and those of others that are there.
pub fn all() -> Vec<(String, String)> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let folders = ["programs", "skeleton/programs"].map(|folder| tests.join(folder));
    let own = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let own = own.map(|entry| entry.unwrap().path());
    let own = own.filter(|path| path.is_dir() || path.extension().is_some_and(|end| end == "py"));
    let mut paths: Vec<PathBuf> = own
        .chain(OTHERS.iter().filter_map(|name| other(name)))
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let loaded = load::load(&[path], &Limits::default(), Copies::default());
            (name, skeleton::skeleton(&loaded.program, &loaded.names))
        })
        .collect()
}
