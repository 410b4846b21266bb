//! The attackers of `hostile_client.py`, by tlslite-ng: alerts, records and messages where they have no place.

use suites::others::{python_with_tlslite, run};

use crate::{
    script,
    site::{Site, is_nginx},
    thorough,
};

#[test]
fn alerts_records_and_messages_out_of_place() {
    let Some(mut python) = python_with_tlslite() else {
        return;
    };
    let Some(site) = Site::start(&[]) else { return };
    let mark = site.victim.mark();
    python.arg(script("hostile_client.py"));
    if is_nginx() {
        python.arg("--lenient");
    }
    python.args(["--many", if thorough() { "10000" } else { "500" }]);
    python.arg(site.address().port().to_string());
    let said = run(&mut python, b"");
    assert_eq!(said.code, Some(0), "{}", said.all);
    if thorough() {
        eprintln!("{}", said.all);
    }
    site.survives("attackers by tlslite-ng", &mark);
    site.victim.ends_well();
}
