//! `file`: a regular file of this machine, read in pieces between which other downloads have their turn.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use asynchat::{Registry, Result};
use shared::http::consumer::Deadline;
use url::Url;

use crate::download::Download;

const PIECE: usize = 256 * 1024;

pub(crate) fn fetch(
    registry: &mut Registry,
    url: &Url,
    deadline: Option<Deadline>,
    mut download: Download,
) {
    match open(url, &mut download) {
        Ok(file) => read_on(registry, file, deadline, download),
        Err(error) => download.end(Err(error)),
    }
}

fn open(url: &Url, download: &mut Download) -> Result<File> {
    // With a host it would be a share of another machine on Windows.
    let path = url.to_file_path().ok().filter(|_| url.host().is_none());
    let path = path.ok_or("a file URL is file:///PATH, of this machine")?;
    let failed = |error| format!("{}: {error}", path.display());
    // Opening a FIFO would wait for its writer.
    let about = fs::metadata(&path).map_err(failed)?;
    if !about.is_file() {
        return Err(format!("{}: not a regular file", path.display()).into());
    }
    let file = File::open(&path).map_err(failed)?;
    download.begin(Some(about.len()), media_type(&path))?;
    Ok(file)
}

fn media_type(path: &Path) -> Option<String> {
    Some(mime_guess::from_path(path).first()?.to_string())
}

fn read_on(
    registry: &mut Registry,
    mut file: File,
    deadline: Option<Deadline>,
    mut download: Download,
) {
    registry.call_soon(move |registry| {
        if let Some(Deadline { at, limit }) = deadline
            && registry.now() >= at
        {
            let error = format!("timed out: the whole transfer took longer than {limit:?}");
            download.end(Err(error.into()));
            return Ok(());
        }
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).map_err(Into::into);
        match read.and_then(|n| download.take(&piece[..n]).map(|()| n)) {
            Ok(0) => download.end(Ok(())),
            Ok(_) => read_on(registry, file, deadline, download),
            Err(error) => download.end(Err(error)),
        }
        Ok(())
    });
}
