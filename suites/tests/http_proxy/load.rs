//! Many requests, and clients that stall.

use std::{
    io::{Read, Write},
    time::Duration,
};

use suites::{
    others::{run, tool},
    victim::within,
    web_server::connect,
};

use crate::scene::Scene;

#[test]
fn no_answer_is_lost_under_load() {
    let Some(mut wrk) = tool("wrk") else {
        return;
    };
    let scene = Scene::new(&["--quiet"]);
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("path.lua");
    let host = scene.origin.address;
    std::fs::write(
        &script,
        format!("wrk.path = \"http://{host}/hello.txt\"\nwrk.headers[\"Host\"] = \"{host}\"\n"),
    )
    .unwrap();
    wrk.args(["-t1", "-c50", "-d2s", "-s"])
        .arg(&script)
        .arg(format!("http://{}/", scene.address));
    let said = run(&mut wrk, b"");
    assert!(
        said.code == Some(0) && said.all.contains("Requests/sec"),
        "{}",
        said.all
    );
    assert!(
        !said.all.contains("Non-2xx") && !said.all.contains("Socket errors"),
        "{}",
        said.all
    );
    // The pool has served them: one connection to the server for each of them at most.
    assert!(descriptors(scene.origin.child.id()) < 70);
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Each costs its high watermark and one read, in the proxy and in the kernel, not what it asked for.
#[test]
fn clients_that_stall_cost_little() {
    const CLIENTS: usize = 100;
    let scene = Scene::new(&["--quiet", "--idle-timeout", "600"]);
    let before = scene.proxy.memory("VmRSS");
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: a\r\n\r\n",
        scene.url("/large.bin")
    );
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = connect(scene.address);
            client.write_all(request.as_bytes()).unwrap();
            client
        })
        .collect();
    for mut client in &clients {
        client.read_exact(&mut [0; 1000]).unwrap();
    }
    let used = scene.proxy.memory("VmHWM").saturating_sub(before);
    assert!(used < 300 * CLIENTS as u64, "{used} KiB");
    // They have nothing to do with another.
    let mut other = connect(scene.address);
    other
        .write_all(request.replace("large.bin", "hello.txt").as_bytes())
        .unwrap();
    other.read_exact(&mut [0; 100]).unwrap();
    // And the rest is still there.
    let mut last = &clients[CLIENTS - 1];
    let mut left: usize = 3_000_000 - 1000;
    while left > 0 {
        let n = last.read(&mut [0; 65536]).unwrap();
        assert!(n > 0, "{left} bytes are missing");
        left = left.saturating_sub(n);
    }
    drop(clients);
    let gone = within(Duration::from_secs(20), || {
        descriptors(scene.proxy.pid()) < 30
    });
    assert!(gone, "{} descriptors", descriptors(scene.proxy.pid()));
}
