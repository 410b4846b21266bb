//! Which messages an earlier run has saved: a file beside them, with a line for each, `ACCOUNT TAB UNIQUE-ID`.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use asynchat::BoxError;
use shared::saving::Target;

const NAME: &str = ".pop3-seen";
/// Bytes of the file that are read: lines of 200,000 messages.
const MAX_FILE: u64 = 64 * 1024 * 1024;

pub(crate) struct Seen {
    path: PathBuf,
    account: String,
    uids: HashSet<String>,
}

impl Seen {
    pub(crate) fn open(folder: &Path, account: &str) -> Result<Self, BoxError> {
        Self::open_file(folder.join(NAME), account.replace('\t', " "))
    }

    fn open_file(path: PathBuf, account: String) -> Result<Self, BoxError> {
        // Opened for writing too: what could not be written later fails before a message is fetched.
        let uids = open(&path).and_then(|file| read(&file, &account));
        let uids = uids.map_err(|error| failed(&path, &error))?;
        Ok(Self {
            path,
            account,
            uids,
        })
    }

    pub(crate) fn has(&self, uid: &str) -> bool {
        self.uids.contains(uid)
    }

    /// The message with this id is on the disk. The line is there when this returns.
    pub(crate) fn add(&mut self, uid: &str) -> Result<(), BoxError> {
        let line = format!("{}\t{uid}\n", self.account);
        // Not kept open: some versions of Windows replace no open file, which `keep` does.
        let synced = open(&self.path).and_then(|mut file| {
            file.write_all(line.as_bytes())?;
            file.sync_data()
        });
        synced.map_err(|error| failed(&self.path, &error))?;
        self.uids.insert(uid.into());
        Ok(())
    }

    /// Forgets messages of the account that the server no longer has, so that the file does not grow for ever.
    pub(crate) fn keep(&mut self, on_server: &HashSet<&str>) -> Result<(), BoxError> {
        if self.uids.iter().all(|uid| on_server.contains(uid.as_str())) {
            return Ok(());
        }
        let begin = format!("{}\t", self.account);
        let text = fs::read_to_string(&self.path).map_err(|error| failed(&self.path, &error))?;
        let mut sink = Target::File(self.path.clone()).open()?;
        for line in text.lines() {
            let kept = line
                .strip_prefix(&begin)
                .is_none_or(|uid| on_server.contains(uid));
            if kept {
                sink.write_all(format!("{line}\n").as_bytes())?;
            }
        }
        sink.finish(true)?;
        *self = Self::open_file(self.path.clone(), self.account.clone())?;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true).read(true).open(path)
}

fn read(file: &File, account: &str) -> io::Result<HashSet<String>> {
    if file.metadata()?.len() > MAX_FILE {
        return Err(io::Error::other(format!(
            "larger than {MAX_FILE} bytes: remove it, and all messages are new"
        )));
    }
    let mut uids = HashSet::new();
    for line in BufReader::new(file).take(MAX_FILE).lines() {
        if let Some((of, uid)) = line?.split_once('\t')
            && of == account
        {
            uids.insert(uid.to_owned());
        }
    }
    Ok(uids)
}

fn failed(path: &Path, error: &io::Error) -> BoxError {
    format!("{}: {error}", path.display()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_seen_what_the_server_still_has() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = |account| Seen::open(folder.path(), account).expect("a file");
        let mut seen = open("u@a:110");
        for uid in ["1", "2"] {
            seen.add(uid).expect("room");
        }
        open("u@b:110").add("3").expect("room");
        let has = |account, uid| open(account).has(uid);
        assert!(has("u@a:110", "1") && has("u@a:110", "2") && has("u@b:110", "3"));
        assert!(!has("u@a:110", "3") && !has("u@b:110", "1"));
        let mut seen = open("u@a:110");
        seen.keep(&HashSet::from(["2", "4"])).expect("room");
        seen.add("5").expect("room");
        assert!(
            !has("u@a:110", "1")
                && has("u@a:110", "2")
                && has("u@a:110", "5")
                && has("u@b:110", "3")
        );
    }
}
