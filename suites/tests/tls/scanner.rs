//! testssl.sh finds nothing of medium severity or above. It takes minutes: only with `ASYNCHAT_TLS=all`.

use std::time::Duration;

use suites::others::{run_within, tool};

use crate::{certificate::CERTIFICATES, site::Site, thorough};

#[test]
fn a_scanner_has_nothing_to_say() {
    if !thorough() {
        return;
    }
    let Some(mut testssl) = tool("testssl") else {
        return;
    };
    let Some(site) = Site::start_ours() else {
        return;
    };
    let mark = site.victim.mark();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.csv");
    testssl.args(["--quiet", "--warnings", "off", "--color", "0"]);
    testssl.args(["--add-ca", &CERTIFICATES.authority(), "--ip", "127.0.0.1"]);
    testssl.arg("--csvfile").arg(&report);
    let testssl = testssl.arg(site.url("/hello.txt"));
    let said = run_within(Duration::from_secs(900), testssl, b"");
    let report = std::fs::read_to_string(report).unwrap();
    // "id","fqdn/ip","port","severity","finding",…
    let mut of_severity = std::collections::BTreeMap::<&str, Vec<&str>>::new();
    for line in report.lines().skip(1) {
        let severity = line.split("\",\"").nth(3).unwrap_or("");
        of_severity.entry(severity).or_default().push(line);
    }
    for (severity, findings) in &of_severity {
        eprintln!("testssl.sh: {} of severity {severity}", findings.len());
    }
    assert!(
        of_severity.get("OK").is_some_and(|all| all.len() > 30),
        "{said:?}"
    );
    for severity in ["MEDIUM", "HIGH", "CRITICAL", "FATAL"] {
        assert!(
            !of_severity.contains_key(severity),
            "{:#?}",
            of_severity[severity]
        );
    }
    site.survives("testssl.sh", &mark);
    site.victim.ends_well();
}
