//! All skeletons are modules of one crate, which is checked once.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{hostile, mapped, programs};

fn every_skeleton() -> Vec<(String, String)> {
    let mut skeletons = programs::all();
    skeletons.extend(hostile::all());
    skeletons.push(("mapped".to_owned(), mapped::all()));
    skeletons.extend(mapped::pieces());
    skeletons
}

/// A crate beside the other files of tests, with the versions of the workspace.
fn crate_of(name: &str, skeletons: &[(String, String)]) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let lock = root.join("Cargo.lock");
    if !lock.is_file() {
        println!("-- skipped: the library is not beside this package");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = folder.join("src");
    let _ = fs::remove_dir_all(&source);
    fs::create_dir_all(&source).unwrap();
    let path = root.to_str().unwrap();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nedition = \"2024\"\n[workspace]\n[dependencies]\nasynchat.path = {path:?}\nlog = \"0.4\"\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy(lock, folder.join("Cargo.lock")).unwrap();
    let mut modules = String::from("#![deny(warnings)]\n");
    for (number, (name, text)) in skeletons.iter().enumerate() {
        modules.push_str(&format!("// {name}\nmod s{number};\n"));
        fs::write(source.join(format!("s{number}.rs")), text).unwrap();
    }
    fs::write(source.join("lib.rs"), modules).unwrap();
    Some(folder)
}

#[test]
fn every_skeleton_compiles_without_a_warning() {
    let skeletons = every_skeleton();
    let Some(folder) = crate_of("skeletons", &skeletons) else {
        return;
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let check = Command::new(cargo)
        .args(["check", "--quiet", "--lib", "--target-dir", "target"])
        .current_dir(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stderr);
    let names: Vec<_> = skeletons
        .iter()
        .enumerate()
        .map(|(number, (name, _))| format!("s{number}: {name}"))
        .collect();
    assert!(check.status.success(), "{}\n{said}", names.join(", "));
}

/// Those that are made for long names and lines are not.
#[test]
fn the_skeletons_of_programs_are_as_rustfmt_leaves_them() {
    let mut skeletons = programs::all();
    skeletons.push(("mapped".to_owned(), mapped::all()));
    for (name, text) in skeletons {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("formatted_{name}.rs"));
        fs::write(&file, text).unwrap();
        let Ok(formatted) = Command::new("rustfmt")
            .args(["--edition", "2024", "--check"])
            .arg(&file)
            .output()
        else {
            println!("-- skipped: the layout of the skeletons: no rustfmt");
            return;
        };
        let difference = String::from_utf8_lossy(&formatted.stdout);
        assert!(formatted.status.success(), "{name}: {difference}");
    }
}
