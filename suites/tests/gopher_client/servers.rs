//! Servers of others, which serve a folder.

use suites::others::{self, Server, free_address, tool, unpacked};
use tempfile::TempDir;

/// In C, started for each connection by xinetd. It does not run as root, and only root can start another user's.
pub fn gophernicus(site: TempDir) -> Option<Server> {
    let (xinetd, gophernicus) = (unpacked("xinetd")?, unpacked("gophernicus")?);
    if !others::is_root() {
        suites::skip("xinetd needs root");
        return None;
    }
    let address = free_address();
    let (root, port) = (site.path().display(), address.port());
    let program = gophernicus.path("usr/sbin/gophernicus");
    let configuration = site.path().join(".xinetd.conf");
    let text = format!(
        "service gopher\n{{\n type = UNLISTED\n socket_type = stream\n protocol = tcp\n user = nobody\n wait = no\n \
         port = {port}\n bind = 127.0.0.1\n cps = 100000 1\n instances = UNLIMITED\n server = {}\n \
         server_args = -h 127.0.0.1 -p {port} -r {root} -nu -nm -nv\n}}\n",
        program.display()
    );
    std::fs::write(&configuration, text).unwrap();
    let mut xinetd = xinetd.command("usr/sbin/xinetd");
    xinetd
        .args(["-dontfork", "-stayalive", "-f"])
        .arg(&configuration)
        .arg("-pidfile")
        .arg(site.path().join(".pid"));
    Some(Server::start_in(site, &mut xinetd, address))
}

/// In Python. It sends files as they are.
pub fn pygopherd(site: TempDir) -> Option<Server> {
    let pygopherd = unpacked("pygopherd")?;
    let mut python = tool("python3")?;
    let address = free_address();
    let text = std::fs::read_to_string(pygopherd.path("etc/pygopherd/pygopherd.conf")).unwrap();
    let ours = [
        ("port", address.port().to_string()),
        ("servername", "127.0.0.1".into()),
        ("interface", "127.0.0.1".into()),
        ("root", site.path().display().to_string()),
        ("usechroot", "no".into()),
        ("detach", "no".into()),
        ("logmethod", "file".into()),
        ("pidfile", site.path().join(".pid").display().to_string()),
        ("cachetime", "0".into()),
    ];
    let mut configuration = String::new();
    for line in text.lines() {
        // Some are there as comments.
        let name = line.trim_start_matches("# ").split('=').next();
        let name = name.unwrap_or_default().trim();
        let setting = ours
            .iter()
            .find(|(ours, _)| line.contains('=') && *ours == name);
        match setting {
            Some((_, value)) => configuration += &format!("{name} = {value}\n"),
            None if ["setuid", "setgid"].contains(&name) => {}
            None => configuration += &format!("{line}\n"),
        }
    }
    let file = site.path().join(".pygopherd.conf");
    std::fs::write(&file, configuration).unwrap();
    python
        .env(
            "PYTHONPATH",
            pygopherd.path("usr/lib/python3/dist-packages"),
        )
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(pygopherd.path("usr/sbin/pygopherd"))
        .arg(&file);
    Some(Server::start_in(site, &mut python, address))
}
